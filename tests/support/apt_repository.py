"""A local apt repository on the Pi with one package, to test updates and faulty mirrors.

`offer` puts the package into a folder that apt reads; `own_mirror` serves that folder as the Pi's only mirror.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.classroom import Classroom, root

PACKAGE = "mynn-test"
CONFFILE = "/etc/mynn-test.conf"
SOURCE = "/etc/apt/sources.list.d/mynn-test.list"
# Build version $1 of the package, whose conffile contains the version, with the post-installation script $2.
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
# The first part of a path is the suite. The one named "well" has no fault, except when the repository is emptied.
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
    """Install a version of the package, and edit its conffile."""
    offer(classroom, version)
    root(classroom, f"dpkg --install /srv/mynn-test/new.deb && echo mine >>{CONFFILE}")


def offer(classroom: Classroom, version: str, postinst: str = "true") -> None:
    """Offer a version of the package to apt, with a post-installation script."""
    root(classroom, BUILD, version, postinst)


def version(classroom: Classroom) -> str:
    """Return the package's dpkg status and version, such as "ii 2"."""
    return root(classroom, f"dpkg-query --show --showformat='${{db:Status-Abbrev}}${{Version}}' {PACKAGE}")


def set_fault(classroom: Classroom, kind: str) -> None:
    """Give the mirror a fault, or none (HEALTHY).

    gone: it answers 404; misfit: its index does not match its Release file; silent: it accepts connections, but does
    not answer; unknown: its name cannot be resolved; emptied: its lists are fine, but the package is missing.
    """
    host = "mirror.invalid" if kind == "unknown" else "127.0.0.1"
    suites = {"main": host, "updates": host, "security": host, HEALTHY: "127.0.0.1"}
    sources = "\n".join(f"deb [trusted=yes] http://{name}:{PORT}/{suite} ./" for suite, name in suites.items())
    root(classroom, f'echo "$1" >/srv/mynn-test/trouble; echo "$2" >{SOURCE}', kind, sources)


@contextlib.contextmanager
def own_mirror(classroom: Classroom) -> Iterator[None]:
    """Make it the Pi's only mirror: it offers version 2 of the package, and version 1 is installed."""
    install_edited(classroom, "1")
    offer(classroom, "2")
    root(classroom, START, SERVER)
    try:
        set_fault(classroom, HEALTHY)
        root(classroom, "apt-get update -q")
        yield
    finally:
        root(classroom, STOP)
        root(classroom, REMOVE)
