"""Exceptions for files that cannot be used. Each message says which file, what is wrong, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mynn.translation import N_, _

# Linux's most common errors, listed for translation: Python passes them on in English.
REASONS = (
    N_("no such file or directory"),
    N_("permission denied"),
    N_("is a directory"),
    N_("not a directory"),
    N_("file name too long"),
    N_("no space left on device"),
    N_("disk quota exceeded"),
    N_("read-only file system"),
    N_("input/output error"),
)


class DataError(ValueError):
    """Data that cannot be used: the message says which file, which line, why, and what to do."""


class NetworkFileError(ValueError):
    """A file that does not hold a network: the message says which file, what is wrong, what to do."""


def reason(error: OSError) -> str:
    """Return the system's reason as part of a sentence: "no such file or directory"."""
    return _((error.strerror or str(error)).lower())


@contextmanager
def os_errors_as(sentence: str, *, path: str | os.PathLike[str], kind: type[ValueError] = DataError) -> Iterator[None]:
    """Turn an OSError into a DataError, or another `kind`.

    sentence: the message, marked for translation, with {reason} for the system's reason
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: {_(sentence).format(reason=reason(error))}") from error
