"""What can be wrong with a file, in one sentence: which file, what is wrong with it, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mynn.words import _, marked

# What Linux says most often, which Python passes on in English.
REASONS = (
    marked("no such file or directory"),
    marked("permission denied"),
    marked("is a directory"),
    marked("not a directory"),
    marked("file name too long"),
    marked("no space left on device"),
    marked("disk quota exceeded"),
    marked("read-only file system"),
    marked("input/output error"),
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
    """Make an OSError a DataError, or another kind.

    The sentence, which is marked for translation, has {reason} where the system's reason goes.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads what is printed: no fault of the file
    except OSError as error:
        raise kind(f"{path}: {_(sentence).format(reason=reason(error))}") from error
