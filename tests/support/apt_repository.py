"""A local apt repository on the Pi with one package, to test updates: `offer` puts it into a folder that apt reads."""

from tests.support.classroom import Classroom, root

PACKAGE = "mynn-test"
CONFFILE = "/etc/mynn-test.conf"
SOURCE = "/etc/apt/sources.list.d/mynn-test.list"
# Build version $1 of the package, whose conffile contains the version.
BUILD = r"""
set -eu
mkdir -p /srv/mynn-test
cd /srv/mynn-test
rm -rf tree
mkdir -p tree/DEBIAN tree/etc tree/usr/share/mynn-test
echo "version $1" >tree/etc/mynn-test.conf
echo /etc/mynn-test.conf >tree/DEBIAN/conffiles
head -c 1000000 /dev/urandom >tree/usr/share/mynn-test/$1
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


def install_edited(classroom: Classroom, version: str) -> None:
    """Install a version of the package, and edit its conffile."""
    offer(classroom, version)
    root(classroom, f"dpkg --install /srv/mynn-test/new.deb && echo mine >>{CONFFILE}")


def offer(classroom: Classroom, version: str) -> None:
    """Offer a version of the package to apt."""
    root(classroom, BUILD, version)


def version(classroom: Classroom) -> str:
    """Return the package's dpkg status and version, such as "ii 2"."""
    return root(classroom, f"dpkg-query --show --showformat='${{db:Status-Abbrev}}${{Version}}' {PACKAGE}")
