"""Request handlers for root's static files: the start page and the manual. No path reaches any other file."""

from __future__ import annotations

import mimetypes
import zipfile
from contextlib import suppress

from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError, authenticated

from mynn.translation import _, language
from mynn_server.try_files import FOLDER, MYNN, POLICY, in_language

FILES = {
    path.relative_to(FOLDER).as_posix(): path
    for path in (*FOLDER.iterdir(), *(FOLDER / "pictures").iterdir())
    if path.is_file()
} | {name: MYNN / name for name in ("translation.js", "catalog.js")}


class StartPage(JupyterHandler):
    """Handler for the static files of the start page."""

    content_security_policy = POLICY  # no script in a file name or lesson title can run

    @authenticated
    async def get(self, path: str | None) -> None:
        """Send a page, or one of its pictures or scripts."""
        if path is None:
            return self.redirect(f"{self.request.path}/")
        name = path.removeprefix("/") or "index.html"
        try:
            content = self.read(name)
        except (OSError, LookupError, zipfile.BadZipFile) as error:
            raise HTTPError(404, _("There is no such page.")) from error
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "application/octet-stream")
        self.finish(content)

    def read(self, name: str) -> bytes:
        """Return a file's bytes. OSError or LookupError: there is no such file."""
        return in_language(FILES[name]).read_bytes()


class Manual(StartPage):
    """Handler for the manual's pages, read from a ZIP archive."""

    content_security_policy = JupyterHandler.content_security_policy

    def initialize(self, archive: str) -> None:
        """Set the archive's path."""
        self.archive = archive

    def read(self, name: str) -> bytes:
        """Return a file's bytes, translated if the archive has a translation."""
        with zipfile.ZipFile(self.archive) as archive:
            with suppress(KeyError):
                return archive.read(f"{language()}/{name}")
            return archive.read(name)
