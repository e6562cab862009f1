"""What is at a path, in a word or two: how a Pi reports its files, and what the control node compares them with."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path


def state_of(path: Path) -> str:
    """Return the mode, and the SHA1 or `folder`; or `link`, `broken` (it leads nowhere), `other`."""
    try:
        status = path.lstat()
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        if stat.S_ISLNK(status.st_mode):
            return "link" if path.exists() else "broken"
        if stat.S_ISDIR(status.st_mode):
            return f"{mode} folder"
        if not stat.S_ISREG(status.st_mode):
            return "other"
        return state_with(path.read_bytes(), mode)
    except OSError:  # it is gone, or the card is damaged
        return "other"


def state_with(content: bytes, mode: str) -> str:
    """Return the state of a file with this content and mode (in octal). Ansible's `copy` uses SHA1, too."""
    return f"{int(mode, 8):04o} {hashlib.sha1(content, usedforsecurity=False).hexdigest()}"
