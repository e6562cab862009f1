"""update.yml: one Pi goes first. If it fails, the others are not touched, and all still serve their lessons."""

import re
from collections.abc import Iterator

import pytest

from ansible_collections.mynn.pi.plugins.callback.summary import NOT_UP_TO_DATE
from tests.support.classroom import Classroom, on, recap, root, serves

# An apt repository on the Pi, with one package.
CONFFILE = "/etc/mynn-test.conf"
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
VERSION = "dpkg-query --show --showformat='${db:Status-Abbrev}${Version}' mynn-test"
REMOVE = f"apt-get purge -qy mynn-test; rm -rf /srv/mynn-test /etc/apt/sources.list.d/mynn-test.list {CONFFILE}*"
FIRST, NEXT = "pi-01", "pi-02"
MODULES = "journalctl --quiet --boot --grep='Invoked [w]ith' | wc -l"
SOURCES = "/etc/apt/sources.list"
NO_MIRROR = f"sed -i.kept -E 's,https?://[^ ]+,http://127.0.0.1:9/debian,' {SOURCES}"


def summary_of(output: str) -> dict[str, str]:
    """Return the line of update.yml's summary for each Pi that was updated."""
    return dict(re.findall(r"^(\S+): (.*)$", output.partition("\nUPDATED ")[2], re.M))


@pytest.fixture
def canary(three: Classroom) -> Iterator[Classroom]:
    """Return a Pi that has a package with an edited file, and is offered a newer version of it."""
    pi = on(three, FIRST)
    root(pi, f"{BUILD}dpkg --install new.deb && echo mine >>{CONFFILE}", "1")
    root(pi, BUILD, "2")
    yield pi
    root(pi, f"[ ! -e {SOURCES}.kept ] || mv {SOURCES}.kept {SOURCES}")
    root(pi, f"dpkg --configure --pending; {REMOVE}; apt-get update -q")


def test_without_its_mirror_a_pi_goes_on_and_the_others_are_not_touched(
    three: Classroom, canary: Classroom, own_report: list[str]
) -> None:
    other = on(three, NEXT)
    root(canary, f"{NO_MIRROR}; touch --date='1 day ago' /var/lib/apt/lists")
    output = three.run("site", f"--limit={FIRST}")
    assert FIRST in output.partition(NOT_UP_TO_DATE)[2]
    assert "NOT FINISHED" not in output

    before = root(other, MODULES)
    output = three.fail("update", f"--limit={FIRST},{NEXT}", *own_report)
    assert f"{FIRST} could not be brought up to date, and serves its lessons as before: Failed to fetch" in output
    assert f"Not finished: {FIRST}, {NEXT}. Finished: 0 of 2." in output and not summary_of(output)
    assert NEXT not in recap(output)
    assert root(other, MODULES) == before
    assert serves(canary) and serves(other)


def test_all_are_updated_and_an_edited_file_is_kept_and_named(
    three: Classroom, canary: Classroom, own_report: list[str]
) -> None:
    output = three.run("update", f"--limit={FIRST},{NEXT}", *own_report)
    assert root(canary, VERSION) == "ii 2"
    assert root(canary, f"cat {CONFFILE}") == "version 1\nmine"
    lines = summary_of(output)
    assert list(lines) == [FIRST, NEXT]
    assert re.search(r"Debian 13\.\d+, .*\([1-9]\d* upgraded\), .*smoke accuracy .*8\d\.\d%", lines[FIRST])
    assert f"kept because they were edited: {CONFFILE} (" in lines[FIRST]
    began = [output.index(f"ok: [{name}]") for name in (FIRST, NEXT)]
    assert output[began[0] : began[1]].count("TASK [verify : Test each Pi") == 1
    assert serves(canary)
