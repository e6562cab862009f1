"""Static files of the page `/try/`, as a closed list, with their HTTP headers.

The notebook server sends them (try_page.py), and serve.py does while that is loading. Do not import Jupyter or numpy
here.
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from pathlib import Path

import mynn
from mynn.files import networks_folder
from mynn.translation import language

FOLDER, MYNN, READY = Path(__file__).parent / "page", Path(mynn.__file__).parent, networks_folder() / "try"
PAGE = FOLDER / "try"
SHARED = (*MYNN.glob("*.js"), MYNN / "widget/pad.css", FOLDER / "page.css")  # with lessons and the start page
# By name. No address reaches any other file.
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
# The pages load their own files only, and connect to this Pi only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CHUNK = 16 << 10  # bytes in memory per request
TAKEN = 300  # seconds to send a chunk: if many packets are lost, TCP itself is silent for a minute and more
ASKED = re.compile(rb"GET /try/([a-z0-9_.-]{0,40}) HTTP/1\.1\r\n")


def in_language(path: Path) -> Path:
    """Return the file in the current language, as built by mynn_control/languages.py, or the file itself."""
    if language() == "en":
        return path
    other = FOLDER / language() / (path.relative_to(FOLDER) if path.is_relative_to(FOLDER) else path.name)
    return other if other.is_file() else path


def find(name: str) -> tuple[Path, dict[str, str]]:
    """Return a file's path and the headers of the answer. LookupError or OSError: there is no such file.

    MNIST does not change, so browsers cache it for a week. They revalidate all other files.
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
    """Return an ETag from a file's contents: all files of an image may have the same time."""
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(64 << 10):
            total = zlib.crc32(chunk, total)
    return f'"{total:08x}-{size:x}"'


def asked_for(head: bytes) -> tuple[Path, dict[str, str]] | None:
    """Return the file that a request's head asks for, as `find` does; None for any other request."""
    asked = ASKED.match(head)
    try:
        return find(asked[1].decode()) if asked and b"\r\n\r\n" in head else None
    except (LookupError, OSError):
        return None
