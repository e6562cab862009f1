"""The upgrade from Debian 12 to 13. If it fails, nothing changes; no student loses any work."""

import json
from collections.abc import Iterator

import pytest

from tests.classroom.test_update import NO_MIRROR, SOURCES, summary_of
from tests.support.browser import signed_in_server
from tests.support.classroom import ROOT, Classroom, root, serves
from tests.virtual import Fleet

pytestmark = pytest.mark.long

UPGRADED = "pi-01"
MYNN = "/opt/mynn/venv/bin/mynn"
TO_13 = ("-e", "update_to=trixie")


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Classroom]:
    """Return a classroom of one provisioned Pi with Debian 12."""
    fleet = Fleet(ROOT / "build/virtual-release", address="127.77.21.0")
    fleet.down()
    fleet.up(1, suite="bookworm")
    classroom = Classroom(fleet, UPGRADED)
    classroom.run("site")
    yield classroom
    fleet.down()


def in_folder(pi: Classroom, script: str) -> str:
    """Run a shell script as the student in the student's folder, and return its output."""
    return root(pi, f"cd /home/student/notebooks; runuser -u student -- sh -ec '{script}'", timeout=600)


def test_without_its_mirror_a_pi_stays_unchanged(bookworm: Classroom, own_report: list[str]) -> None:
    root(bookworm, NO_MIRROR)
    try:
        sources = root(bookworm, f"cat {SOURCES}; ls -A /etc/apt/sources.list.d")
        output = bookworm.fail("update", *TO_13, f"--limit={UPGRADED}", *own_report)
        assert f"{UPGRADED} stays with Debian GNU/Linux 12 (bookworm), and serves its lessons as before" in output
        assert root(bookworm, f"cat {SOURCES}; ls -A /etc/apt/sources.list.d") == sources
        assert root(bookworm, "cat /etc/debian_version").startswith("12.")
        assert serves(bookworm)
    finally:
        root(bookworm, f"mv {SOURCES}.kept {SOURCES}")


def test_12_is_upgraded_to_13(bookworm: Classroom, own_report: list[str]) -> None:
    in_folder(
        bookworm,
        'mkdir deep; echo mine >"deep/with a space.txt"; '
        f"{MYNN} train --hidden 20 --examples 5000 --save my.npz >/dev/null 2>&1",
    )
    sums = 'find . -type f ! -path "./.*" -exec sha256sum {} + | sort -k 2'
    test = f"{MYNN} test my.npz --json 2>/dev/null"
    files, score = in_folder(bookworm, sums), json.loads(in_folder(bookworm, test))
    root(bookworm, "echo '# mine' >>/etc/services")
    signed_in_server(bookworm).ask("POST", "/api/kernels", json={"name": "python3"}).raise_for_status()

    output = bookworm.run("update", *TO_13, f"--limit={UPGRADED}", *own_report, timeout=7200)
    line = summary_of(output)[UPGRADED]
    assert "Debian 12." in line and "-> 13." in line and "Python 3.11 -> 3.13" in line
    assert "/etc/services" in line
    assert root(bookworm, "cat /etc/debian_version").startswith("13.")
    assert root(bookworm, "grep -rh bookworm /etc/apt/sources.list /etc/apt/sources.list.d || :") == ""
    assert root(bookworm, "tail -n 1 /etc/services") == "# mine"
    kept = in_folder(bookworm, sums).splitlines()
    assert [entry for entry in files.splitlines() if entry not in kept] == []
    assert json.loads(in_folder(bookworm, test)) == score
    assert serves(bookworm)
    assert bookworm.changes("site", f"--limit={UPGRADED}") == {UPGRADED: 0}
