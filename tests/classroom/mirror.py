"""A mirror of our own on the Pi, in whatever trouble a test wants: apt there knows no other while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.classroom import own_package
from tests.classroom.classroom import Classroom
from tests.classroom.own_package import SOURCE, root

PORT = 8088
WELL = "well"
# The first part of a path is a repository of its own, as a suite of Debian's is; the one named "well" has no trouble.
SERVER = r"""
import hashlib, http.server, pathlib, time
from email.utils import formatdate

FOLDER = pathlib.Path("/srv/mynn-test")

class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        suite, _, name = self.path.strip("/").partition("/")
        trouble = (FOLDER / "trouble").read_text().strip()
        if suite == "well" and trouble != "emptied":
            trouble = ""
        packages = (FOLDER / "Packages").read_bytes()
        promised = packages + b"\n" * (trouble == "misfit")
        digest = hashlib.sha256(promised).hexdigest()
        release = f"Suite: {suite}\nDate: {formatdate(usegmt=True)}\nSHA256:\n {digest} {len(promised)} Packages\n"
        if trouble == "silent":
            time.sleep(3600)
        files = {
            "Release": release.encode(),
            "Packages": packages,
            "new.deb": (FOLDER / "new.deb").read_bytes(),
        }
        body = files.get(name.removeprefix("./"))
        if body is None or trouble == "gone" or trouble == "emptied" and name.endswith(".deb"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", 8088), Mirror).serve_forever()
"""
START = """
set -eu
mv /etc/apt/sources.list /etc/apt/sources.list.d /root
mkdir /etc/apt/sources.list.d
echo >/srv/mynn-test/trouble
systemd-run --quiet --collect --unit=mynn-mirror /usr/bin/python3 -c "$1"
until ss --listening --tcp --numeric | grep -q 127.0.0.1:8088; do sleep 0.1; done
"""
STOP = """
set -eu
systemctl stop mynn-mirror
rm -rf /etc/apt/sources.list.d
mv /root/sources.list /root/sources.list.d /etc/apt
"""


def trouble(classroom: Classroom, kind: str) -> None:
    """Let the mirror be in a trouble, or in none (WELL).

    gone: it answers 404; misfit: its index is not what its Release file says; silent: it takes connections and answers
    nothing; unknown: its name cannot be resolved; emptied: its lists are well, but it does not have the package.
    """
    host = "mirror.invalid" if kind == "unknown" else "127.0.0.1"
    suites = {"main": host, "updates": host, "security": host, WELL: "127.0.0.1"}
    sources = "\n".join(f"deb [trusted=yes] http://{name}:{PORT}/{suite} ./" for suite, name in suites.items())
    root(classroom, f'echo "$1" >/srv/mynn-test/trouble; echo "$2" >{SOURCE}', kind, sources)


@contextlib.contextmanager
def own_mirror(classroom: Classroom) -> Iterator[None]:
    """Let it be the Pi's only mirror meanwhile: it offers version 2 of our package, and the Pi has version 1."""
    own_package.have(classroom, "1")
    own_package.offer(classroom, "2")
    root(classroom, START, SERVER)
    try:
        trouble(classroom, WELL)
        root(classroom, "apt-get update -q")
        yield
    finally:
        root(classroom, STOP)
        root(classroom, own_package.REMOVE)
