"""Deleting what takes long to delete: it is moved aside at once, and deleted behind the scenes."""

import os
import shutil
import tempfile
from pathlib import Path

from .host import PROJECT
from .shell import say, spawn

_MARK = ".removed-"


def remove_later(folder: Path, beside: Path) -> None:
    """Move a folder away, to beside ``beside``, where ``remove_leftovers`` finds it."""
    aside = tempfile.mkdtemp(prefix=f".{beside.name}{_MARK}", dir=beside.parent)
    folder.rename(Path(aside, folder.name))


def remove_leftovers(beside: Path, wait: bool = False) -> None:
    """Delete what was moved away, also by a command that ended before it was deleted; wait for it if told to."""
    leftovers = [path for path in beside.parent.glob(f".{beside.name}{_MARK}*") if path.is_dir()]
    if wait:
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)  # another process may be deleting it too
    elif leftovers:
        say("Its disks are being deleted behind the scenes.")
        spawn(["nice", "-n", "19", "ionice", "-c", "3", "rm", "-rf", *leftovers], log=Path(os.devnull), cwd=PROJECT)
