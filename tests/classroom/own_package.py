"""A package of our own, from a folder on the Pi: an update that is there when a test wants one."""

from __future__ import annotations

from dataclasses import replace

from tests.classroom.classroom import Classroom

NAME = "mynn-test"
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
REMOVE = f"apt-get purge -qy {NAME}; rm -rf /srv/mynn-test {SOURCE} {CONFFILE}*; apt-get update -q"


def on(classroom: Classroom, name: str) -> Classroom:
    """Return the classroom with another Pi to be looked at."""
    return replace(classroom, host=name)


def root(classroom: Classroom, script: str, *arguments: str, timeout: float = 300) -> str:
    """Run a script as root on the Pi, with arguments; return what it printed."""
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in (script, "test", *arguments))
    done = classroom.ssh(f"sudo sh -c {words}", timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def have(classroom: Classroom, version: str) -> None:
    """Have the package installed, in this version, and its settings changed by hand."""
    offer(classroom, version)
    root(classroom, f"dpkg --install /srv/mynn-test/new.deb && echo mine >>{CONFFILE}")


def offer(classroom: Classroom, version: str, deed: str = "true") -> None:
    """Let apt find a version, whose installation does this deed."""
    root(classroom, BUILD, version, deed)


def version(classroom: Classroom) -> str:
    """Return the version that is installed, and how whole it is: "ii 2"."""
    return root(classroom, f"dpkg-query --show --showformat='${{db:Status-Abbrev}}${{Version}}' {NAME}")
