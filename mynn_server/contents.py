"""The student's files, as Jupyter's pages read and save them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from mynn_server.settings import LARGEST_REQUEST


class Contents(AsyncLargeFileManager):
    """Saves files atomically, so that a power cut leaves the old file or the new one.

    Jupyter itself writes into the file, with the old contents in a second one, which may not have reached the card yet.
    """

    async def get(self, path: str, content: bool = True, *arguments: Any, **options: Any) -> Any:
        """Return a file or folder. A file that is too large to be saved, such as MNIST's, does not fit into memory."""
        place = Path(self._get_os_path(path))
        if content and place.is_file() and place.stat().st_size > LARGEST_REQUEST:
            raise HTTPError(413, f"{path.strip('/')} is too large to be shown: read it in a notebook, with read_csv.")
        return await super().get(path, content, *arguments, **options)

    @contextmanager
    def atomic_writing(
        self, os_path: str, text: bool = True, encoding: str = "utf-8", **options: Any
    ) -> Iterator[IO[Any]]:
        """Open a new file that replaces the one at that path once it is on the card."""
        path = Path(os_path).resolve()
        new = path.with_name(f".~{path.name}")
        how = {"mode": "w", "encoding": encoding, "newline": "\n"} if text else {"mode": "wb"}
        with self.perm_to_403(os_path):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, "It is read-only", os_path)
            try:
                with new.open(**{**how, **options}) as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                if path.exists():
                    shutil.copymode(path, new)
                new.replace(path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            # The name must be on the card, too.
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
