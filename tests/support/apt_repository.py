"""An apt repository of our own on the Pi, with one package in it: an update, or a mirror in trouble.

The package lies in a folder that apt reads (`offer`); `own_mirror` serves that folder as the Pi's only mirror.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.classroom import Classroom, root

PACKAGE = "mynn-test"
CONFFILE = "/etc/mynn-test.conf"
SOURCE = "/etc/apt/sources.list.d/mynn-test.list"
# Its settings change with each version; at its installation it does what $2 says.
BUILD = r"""
set -eu
mkdir -p /srv/mynn-test
cd /srv/mynn-test
rm -rf tree
mkdir -p tree/DEBIAN tree/etc tree/usr/share/mynn-test
echo "version $1" >tree/etc/mynn-test.conf
echo /etc/mynn-test.conf >tree/DEBIAN/conffiles
head -c 1000000 /dev/urandom >tree/usr/share/mynn-test/$1
printf '#!/bin/sh\n%s\n' "$2" >tree/DEBIAN/postinst
chmod 0755 tree/DEBIAN/postinst
cat >tree/DEBIAN/control <<END
Package: mynn-test
Version: $1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: an update, for a test
END
dpkg-deb --build tree new.deb >/dev/null
{ cat tree/DEBIAN/control; echo "Filename: ./new.deb"; echo "Size: $(stat -c %s new.deb)"
  echo "SHA256: $(sha256sum new.deb | cut -d' ' -f1)"; } >Packages
echo "deb [trusted=yes] copy:/srv/mynn-test ./" >/etc/apt/sources.list.d/mynn-test.list
"""
REMOVE = f"apt-get purge -qy {PACKAGE}; rm -rf /srv/mynn-test {SOURCE} {CONFFILE}*; apt-get update -q"
PORT = 8088
HEALTHY = "well"
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


def install_edited(classroom: Classroom, version: str) -> None:
    """Have the package installed, in this version, and its settings changed by hand."""
    offer(classroom, version)
    root(classroom, f"dpkg --install /srv/mynn-test/new.deb && echo mine >>{CONFFILE}")


def offer(classroom: Classroom, version: str, postinst: str = "true") -> None:
    """Let apt find a version, whose installation does this deed."""
    root(classroom, BUILD, version, postinst)


def version(classroom: Classroom) -> str:
    """Return the version that is installed, and how whole it is: "ii 2"."""
    return root(classroom, f"dpkg-query --show --showformat='${{db:Status-Abbrev}}${{Version}}' {PACKAGE}")


def trouble(classroom: Classroom, kind: str) -> None:
    """Let the mirror be in a trouble, or in none (WELL).

    gone: it answers 404; misfit: its index is not what its Release file says; silent: it takes connections and answers
    nothing; unknown: its name cannot be resolved; emptied: its lists are well, but it does not have the package.
    """
    host = "mirror.invalid" if kind == "unknown" else "127.0.0.1"
    suites = {"main": host, "updates": host, "security": host, HEALTHY: "127.0.0.1"}
    sources = "\n".join(f"deb [trusted=yes] http://{name}:{PORT}/{suite} ./" for suite, name in suites.items())
    root(classroom, f'echo "$1" >/srv/mynn-test/trouble; echo "$2" >{SOURCE}', kind, sources)


@contextlib.contextmanager
def own_mirror(classroom: Classroom) -> Iterator[None]:
    """Let it be the Pi's only mirror meanwhile: it offers version 2 of our package, and the Pi has version 1."""
    install_edited(classroom, "1")
    offer(classroom, "2")
    root(classroom, START, SERVER)
    try:
        trouble(classroom, HEALTHY)
        root(classroom, "apt-get update -q")
        yield
    finally:
        root(classroom, STOP)
        root(classroom, REMOVE)
