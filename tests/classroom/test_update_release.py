"""Debian 12 becomes 13 in place: refused or broken off, all is as it was; done, no student has lost anything."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.classroom.test_site import patient_page
from tests.classroom.test_update import assert_serves, told, where
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, on, recap, root
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet

pytestmark = pytest.mark.long

WHOLE, CUT = "pi-01", "pi-02"
FOLDER = "/home/student/notebooks"
MYNN = "/opt/mynn/venv/bin/mynn"
PACKAGES = "dpkg-query --show --showformat='${db:Status-Abbrev}${Package} ${Version}\\n' | sed -n 's/^ii //p'"
SOURCES = "cat /etc/apt/sources.list; ls -A /etc/apt/sources.list.d"
TO_13 = ("-e", "update_to=trixie")


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Classroom]:
    """Return a classroom of two Pis with Debian 12, provisioned."""
    fleet = Fleet(ROOT / "build/virtual-release", address="127.77.21.0")
    fleet.down()
    fleet.up(2, suite="bookworm")
    classroom = Classroom(fleet, WHOLE)
    assert classroom.playbook("site").returncode == 0
    yield classroom
    fleet.down()


def as_student(pi: Classroom, script: str) -> str:
    return root(pi, f"cd {FOLDER}; runuser -u student -- sh -ec '{script}'", timeout=600)


def assert_stays(pi: Classroom, sources: str) -> None:
    assert root(pi, SOURCES) == sources
    assert root(pi, "cat /etc/debian_version").startswith("12.")
    assert root(pi, "ls -d /var/cache/mynn-update || :") == ""
    assert_serves(pi)


def test_what_cannot_be_done_is_refused(bookworm: Classroom, tmp_path: Path) -> None:
    sources = root(bookworm, SOURCES)
    settings = (f"--limit={WHOLE}", *where(tmp_path))
    full = bookworm.playbook("update", *TO_13, "-e", "update_free_mb=99999999", *settings)
    assert full.returncode != 0
    assert "MB free on its card and a new release needs 99999999 MB, so nothing was changed on it" in full.stdout
    unknown = bookworm.playbook("update", "-e", "update_to=forky", *settings)
    assert unknown.returncode != 0
    assert "update_to" in unknown.stdout
    assert_stays(bookworm, sources)


def test_where_the_mirror_is_gone_it_stays_as_it_is(bookworm: Classroom, tmp_path: Path) -> None:
    root(
        bookworm,
        "cp -a /etc/apt/sources.list /root/; sed -i -E 's,https?://[^ ]+,http://127.0.0.1:9/,' /etc/apt/sources.list",
    )
    sources = root(bookworm, SOURCES)
    try:
        done = bookworm.playbook("update", *TO_13, f"--limit={WHOLE}", *where(tmp_path))
        assert done.returncode != 0
        assert f"{WHOLE} stays with Debian GNU/Linux 12 (bookworm), and serves its lessons as before" in done.stdout
        assert_stays(bookworm, sources)
    finally:
        root(bookworm, "mv /root/sources.list /etc/apt/")
    done = bookworm.playbook("site", f"--limit={WHOLE}")
    assert recap(done.stdout)[WHOLE].changed == 0


def test_12_becomes_13(bookworm: Classroom, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    first = as_student(bookworm, "ls *.ipynb | head -n 1")
    as_student(
        bookworm,
        f'echo " " >>{first}; cp {first} my_own.ipynb; mkdir deep; echo mine >"deep/with a blank.txt"; '
        f"{MYNN} train --hidden 20 --examples 5000 --save my.npz >/dev/null 2>&1",
    )
    sums = 'find . -type f ! -path "./.*" -exec sha256sum {} + | sort -k 2'
    test = f"{MYNN} test my.npz --json 2>/dev/null"
    files, score = as_student(bookworm, sums), json.loads(as_student(bookworm, test))
    packages = dict(line.split() for line in root(bookworm, PACKAGES).splitlines())
    root(bookworm, "echo '# mine' >>/etc/services")
    services = root(bookworm, "cat /etc/services")
    server = NotebookServer(f"http://{bookworm.address}:8888")
    assert server.sign_in(bookworm.password)
    server.ask("POST", "/api/kernels", json={"name": "python3"}).raise_for_status()
    assert bookworm.playbook("verify", f"--limit={WHOLE}", *where(tmp_path)).returncode == 0

    began = time.monotonic()
    done = bookworm.playbook("update", *TO_13, f"--limit={WHOLE}", *where(tmp_path), timeout=7200)
    seconds = time.monotonic() - began
    assert done.returncode == 0
    line = told(done.stdout)[WHOLE]
    after = dict(entry.split() for entry in root(bookworm, PACKAGES).splitlines())
    figures = {
        "line": line,
        "renewed": sum(after.get(name, version) != version for name, version in packages.items()),
        "new": len(after.keys() - packages.keys()),
        "gone": len(packages.keys() - after.keys()),
        "seconds": round(seconds),
    }
    for name, figure in figures.items():
        print(f"{name}: {figure}")
        record_property(name, figure)
    assert root(bookworm, "cat /etc/debian_version").startswith("13.")
    assert root(bookworm, "grep -rh bookworm /etc/apt/sources.list /etc/apt/sources.list.d || :") == ""
    assert root(bookworm, "ls /opt/mynn/venv/lib") == "python3.13"
    assert "Debian 12." in line and "-> 13." in line and "Python 3.11 -> 3.13" in line
    assert "/etc/services" in line
    assert root(bookworm, "cat /etc/services") == services
    kept = as_student(bookworm, sums).splitlines()
    assert [entry for entry in files.splitlines() if entry not in kept] == []
    assert json.loads(as_student(bookworm, test)) == score
    assert_serves(bookworm)

    again = bookworm.playbook("update", *TO_13, f"--limit={WHOLE}", *where(tmp_path))
    assert again.returncode == 0
    assert recap(again.stdout)[WHOLE].changed == 0
    assert recap(bookworm.playbook("site", f"--limit={WHOLE}").stdout)[WHOLE].changed == 0


def test_a_power_cut_within_it(bookworm: Classroom, tmp_path: Path) -> None:
    """The power goes when a library that a boot needs is gone, and the new one not there; the next run completes it.

    Looked at while dpkg stood still, in some 2,600 moments of such an upgrade, systemd would not have started in 35.
    """
    pi = on(bookworm, CUT)
    as_student(pi, "echo mine >mine.txt")
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}  # then a task is named as it begins
    run = PlaybookRun(bookworm.command("update", *TO_13, f"--limit={CUT}", *where(tmp_path)), ROOT, environment)
    run.when(r"TASK \[update : Install the updates", patience=3600)
    gone = "grep -q ' not-installed libssl3' /var/log/dpkg.log"
    root(pi, f"until {gone}; do sleep 0.02; done; pkill -STOP -x dpkg", timeout=3600)
    assert root(pi, "ls /usr/lib/*-linux-gnu*/libcrypto.so.3 2>/dev/null || :") == ""
    bookworm.fleet.kill(CUT)
    assert run.wait() != 0
    assert told(run.output)[CUT].startswith("not finished")
    bookworm.fleet.start(CUT)
    for _ in range(60):
        if pi.ssh("true").returncode == 0:
            break
        time.sleep(1)
    assert root(pi, "dpkg --audit | head -n 1") != ""
    done = bookworm.playbook("update", *TO_13, f"--limit={CUT}", *where(tmp_path), timeout=7200)
    assert done.returncode == 0
    assert root(pi, "cat /etc/debian_version").startswith("13.")
    assert as_student(pi, "cat mine.txt") == "mine"
    assert root(pi, "find /usr/lib -maxdepth 1 -name '*mynn*'; find /usr/lib -maxdepth 1 -lname '*mynn*'") == ""
    assert patient_page(f"http://{pi.address}:8888") == 200
    assert recap(bookworm.playbook("site", f"--limit={CUT}").stdout)[CUT].changed == 0
