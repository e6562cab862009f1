"""File states in a word or two: a Pi reports them, and the control node compares them with its own files."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path


def state_of(path: Path) -> str:
    """Return a file's mode and SHA1 sum, a folder's mode and `folder`, or `link`, `broken` (link) or `other`."""
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
    """Return the state of a file with this content and mode (octal). SHA1, as in Ansible's `copy`."""
    return f"{int(mode, 8):04o} {hashlib.sha1(content, usedforsecurity=False).hexdigest()}"
