"""Jupyter contents manager: atomic saves, and no save overwrites another page's work."""

from __future__ import annotations

import asyncio
import codecs
import errno
import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from mynn.files import replacing
from mynn.outline import NOT_AS_EXPECTED
from mynn.translation import N_, _
from mynn_server import output_store
from mynn_server.settings import LARGEST_REQUEST

FULL = 32 << 20  # bytes: the card is full below this, since a save writes the new notebook beside the old one
MOST = 100  # numbered saves that are remembered
CARD_FULL = N_("The Pi’s card is full. Delete files that you do not need, or ask your teacher; then save again.")


def card_full(folder: Path) -> str:
    """Return a sentence if there is no room for a student's work, else an empty string."""
    return _(CARD_FULL) if shutil.disk_usage(folder).free < FULL else ""


class Contents(AsyncLargeFileManager):
    """Contents manager with atomic saves: a power cut leaves the old file or the new one.

    Jupyter itself overwrites the file, and its backup of the old contents may not have reached the card yet.

    A page names the version of a file that it has changed (page/keep.js). If another page has saved a newer one
    meanwhile, both are kept, so nothing is lost, no matter which page saves first. A save that is sent twice, as a page
    is left and by the next page, has a number and is made once.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lock = asyncio.Lock()
        self._saved: dict[str, tuple[str, Any]] = {}  # by path: last saved version, and its page
        self._numbered: dict[str, str] = {}  # by page and number of a save: its path

    async def get(self, path: str, content: bool = True, *arguments: Any, **options: Any) -> Any:
        """Return a file or folder. Refuse a file above LARGEST_REQUEST, such as MNIST: it does not fit into memory."""
        place = Path(self._get_os_path(path))
        if content and place.is_file() and place.stat().st_size > LARGEST_REQUEST:
            sentence = _("{file} is too large to be shown: read it in a notebook, with read_csv.")
            raise HTTPError(413, sentence.format(file=path.strip("/")))
        return await super().get(path, content, *arguments, **options)

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """Save a file; if the card is full, answer with a sentence."""
        try:
            return await self._save(model, path)
        except HTTPError as error:
            if getattr(error.__cause__, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise HTTPError(507, _(CARD_FULL)) from error

    async def _save(self, model: dict[str, Any], path: str) -> Any:
        """Save a file; if another page has saved it meanwhile, save under a new name."""
        if "made_from" not in model:
            return await super().save(model, path)
        made_from, page, kernel, number = (model.pop(name, None) for name in ("made_from", "page", "kernel", "number"))
        path, twice = path.strip("/"), number and f"{page} {number}"
        async with self._lock:
            there = self._numbered.get(twice)
            if there and self._version(there) == self._saved[there][0]:  # else it was replaced, and not by a page
                return await self.get(there, content=False)
            version = self._version(path)
            await self._fill_outputs(model, path)
            # On a poor Wi-Fi, a page may miss the answer to its own save.
            is_its_own = page and self._saved.get(path) == (version, page)
            if version not in ("", made_from) and not is_its_own:
                path = await self._other_name(path)
            saved = await super().save(model, path)
            self._saved[path] = self._version(path), page
            if twice:
                self._numbered[twice] = path
                for old in [*self._numbered][:-MOST]:
                    del self._numbered[old]
            output_store.forget_saved(kernel, model)
            return {**saved, "hash": self._saved[path][0], "hash_algorithm": self.hash_algorithm}

    async def _fill_outputs(self, model: dict[str, Any], path: str) -> None:
        """Give cells without outputs those of the saved file. A page that is left has no room for them."""
        with suppress(HTTPError, *NOT_AS_EXPECTED):
            bare = [one for one in model["content"]["cells"] if one["cell_type"] == "code" and "outputs" not in one]
            for cell in bare:
                cell |= {"outputs": [], "execution_count": None}
            saved = (await self.get(path, type="notebook"))["content"]["cells"] if bare else []
            for cell, old in itertools.product(bare, saved):
                if old["cell_type"] == "code" and old["id"] == cell["id"]:
                    cell |= {name: old[name] for name in ("outputs", "execution_count")}

    def _version(self, path: str) -> str:
        """Return a file's hash, which identifies its version; empty if it is missing."""
        place = Path(self._get_os_path(path))
        if not place.is_file():
            return ""
        with place.open("rb") as file:
            return hashlib.file_digest(file, self.hash_algorithm).hexdigest()

    async def _other_name(self, path: str) -> str:
        """Return an unused path in the same folder, with the time in its name."""
        folder, _slash, name = path.rpartition("/")
        stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
        # Translators: a file name, so without : / or quotation marks.
        other = _("{name} (from another page, {time})").format(name=stem[:50], time=time.strftime("%H.%M"))
        name = f"{other}{dot}{ending}"
        name = await self.increment_filename(name, folder, insert=" ")
        return f"{folder}/{name}".strip("/")

    @contextmanager
    def atomic_writing(self, os_path: str, text: bool = True, encoding: str = "utf-8") -> Iterator[Any]:
        """Open a new file that replaces the one at that path once it is on the card."""
        path = Path(os_path).resolve()
        with self.perm_to_403(os_path):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, "It is read-only", os_path)
            with replacing(path) as file:
                yield codecs.getwriter(encoding)(file) if text else file
            # Sync the folder, so that the name is on the card, too.
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
