"""The files of the page `/try/`: a closed list, and what a browser is told about each.

The notebook server sends them (try_page.py), and while it is loading, so does serve.py: nothing here loads Jupyter or
numpy.
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from pathlib import Path

import mynn
from mynn.files import networks_folder
from mynn.words import language

FOLDER, MYNN, READY = Path(__file__).parent / "page", Path(mynn.__file__).parent, networks_folder() / "try"
PAGE = FOLDER / "try"
SHARED = (*MYNN.glob("*.js"), MYNN / "widget/pad.css", FOLDER / "page.css")  # with lessons and the start page
# By name. No address leads to any other file.
FILES = {path.name: path for path in (*SHARED, *PAGE.iterdir())} | {
    "network.bin": READY / "network.bin.gz",
    "digits.bin": READY / "digits.bin.gz",  # 10,000 to train on
    "test.bin": READY / "test.bin.gz",  # 1,000 to test with
}
MNIST = ("digits.bin", "test.bin")
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The page loads its own files only, and asks this Pi only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CHUNK = 16 << 10  # bytes that are in memory at once for each that asks
TAKEN = 300  # seconds in which they must be taken: where many are lost, TCP itself is silent for a minute and more
ASKED = re.compile(rb"GET /try/([a-z0-9_.-]{0,40}) HTTP/1\.1\r\n")


def in_language(path: Path) -> Path:
    """Return the file in the language, which mynn_control/languages.py has built, or the file itself."""
    if language() == "en":
        return path
    other = FOLDER / language() / (path.relative_to(FOLDER) if path.is_relative_to(FOLDER) else path.name)
    return other if other.is_file() else path


def find(name: str) -> tuple[Path, dict[str, str]]:
    """Return where a file is, and the headers of the answer; a LookupError or an OSError where there is none.

    MNIST stays as it is: for a week nobody asks again. Of all others the browser asks whether they have changed.
    """
    path = in_language(FILES[name or "index.html"])
    about = path.stat()
    headers = {
        "Content-Type": TYPES.get(path.suffix, "application/octet-stream"),
        "Content-Length": str(about.st_size),
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "max-age=604800" if name in MNIST else "no-cache",
        "Etag": tag(path, about.st_mtime_ns, about.st_size),
    }
    return path, headers | ({"Content-Encoding": "gzip"} if path.suffix == ".gz" else {})


@cache
def tag(path: Path, changed: int, size: int) -> str:
    """Return a name of a file's contents. All files of an image may have one time, so the time is not enough."""
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(64 << 10):
            total = zlib.crc32(chunk, total)
    return f'"{total:08x}-{size:x}"'


def asked_for(head: bytes) -> tuple[Path, dict[str, str]] | None:
    """Return what the head of a request asks for, as `find` does; None if that is none of these files."""
    asked = ASKED.match(head)
    try:
        return find(asked[1].decode()) if asked and b"\r\n\r\n" in head else None
    except (LookupError, OSError):
        return None
