"""The upgrade from Debian 12 to 13. If it is refused or fails, nothing changes; no student loses any work."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.classroom.test_site import wait_for_login
from tests.classroom.test_update import assert_serves, summary_of, where
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ROOT, Classroom, on, recap, root
from tests.support.playbook_run import PlaybookRun
from tests.virtual import Fleet

pytestmark = pytest.mark.long

UPGRADED, INTERRUPTED = "pi-01", "pi-02"
FOLDER = "/home/student/notebooks"
MYNN = "/opt/mynn/venv/bin/mynn"
PACKAGES = "dpkg-query --show --showformat='${db:Status-Abbrev}${Package} ${Version}\\n' | sed -n 's/^ii //p'"
SOURCES = "cat /etc/apt/sources.list; ls -A /etc/apt/sources.list.d"
TO_13 = ("-e", "update_to=trixie")


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Classroom]:
    """Return a classroom of two provisioned Pis with Debian 12."""
    fleet = Fleet(ROOT / "build/virtual-release", address="127.77.21.0")
    fleet.down()
    fleet.up(2, suite="bookworm")
    classroom = Classroom(fleet, UPGRADED)
    assert classroom.playbook("site").returncode == 0
    yield classroom
    fleet.down()


def as_student(pi: Classroom, script: str) -> str:
    return root(pi, f"cd {FOLDER}; runuser -u student -- sh -ec '{script}'", timeout=600)


def assert_not_upgraded(pi: Classroom, sources: str) -> None:
    assert root(pi, SOURCES) == sources
    assert root(pi, "cat /etc/debian_version").startswith("12.")
    assert root(pi, "ls -d /var/cache/mynn-update || :") == ""
    assert_serves(pi)


def test_an_impossible_upgrade_is_refused(bookworm: Classroom, tmp_path: Path) -> None:
    sources = root(bookworm, SOURCES)
    settings = (f"--limit={UPGRADED}", *where(tmp_path))
    full = bookworm.playbook("update", *TO_13, "-e", "__update_free_mb=99999999", *settings)
    assert full.returncode != 0
    assert "MB free on its card and a new release needs 99999999 MB, so nothing was changed on it" in full.stdout
    unknown = bookworm.playbook("update", "-e", "update_to=forky", *settings)
    assert unknown.returncode != 0
    assert "update_to" in unknown.stdout
    assert_not_upgraded(bookworm, sources)


def test_without_its_mirror_a_pi_stays_unchanged(bookworm: Classroom, tmp_path: Path) -> None:
    root(
        bookworm,
        "cp -a /etc/apt/sources.list /root/; sed -i -E 's,https?://[^ ]+,http://127.0.0.1:9/,' /etc/apt/sources.list",
    )
    sources = root(bookworm, SOURCES)
    try:
        done = bookworm.playbook("update", *TO_13, f"--limit={UPGRADED}", *where(tmp_path))
        assert done.returncode != 0
        assert f"{UPGRADED} stays with Debian GNU/Linux 12 (bookworm), and serves its lessons as before" in done.stdout
        assert_not_upgraded(bookworm, sources)
    finally:
        root(bookworm, "mv /root/sources.list /etc/apt/")
    done = bookworm.playbook("site", f"--limit={UPGRADED}")
    assert recap(done.stdout)[UPGRADED].changed == 0


def test_12_is_upgraded_to_13(
    bookworm: Classroom, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    first = as_student(bookworm, "ls *.ipynb | head -n 1")
    as_student(
        bookworm,
        f'echo " " >>{first}; cp {first} my_own.ipynb; mkdir deep; echo mine >"deep/with a space.txt"; '
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
    assert bookworm.playbook("verify", f"--limit={UPGRADED}", *where(tmp_path)).returncode == 0

    began = time.monotonic()
    done = bookworm.playbook("update", *TO_13, f"--limit={UPGRADED}", *where(tmp_path), timeout=7200)
    seconds = time.monotonic() - began
    assert done.returncode == 0
    line = summary_of(done.stdout)[UPGRADED]
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

    again = bookworm.playbook("update", *TO_13, f"--limit={UPGRADED}", *where(tmp_path))
    assert again.returncode == 0
    assert recap(again.stdout)[UPGRADED].changed == 0
    assert recap(bookworm.playbook("site", f"--limit={UPGRADED}").stdout)[UPGRADED].changed == 0


def test_a_power_cut_during_the_upgrade(bookworm: Classroom, tmp_path: Path) -> None:
    """The power is cut while a library that booting needs is being replaced; the next run completes the upgrade.

    With dpkg paused at some 2,600 points of such an upgrade, systemd could not have started at 35 of them.
    """
    pi = on(bookworm, INTERRUPTED)
    as_student(pi, "echo mine >mine.txt")
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}  # prints a task's name as it begins
    run = PlaybookRun(bookworm.command("update", *TO_13, f"--limit={INTERRUPTED}", *where(tmp_path)), ROOT, environment)
    run.when(r"TASK \[update : Install the updates", patience=3600)
    gone = "grep -q ' not-installed libssl3' /var/log/dpkg.log"
    root(pi, f"until {gone}; do sleep 0.02; done; pkill -STOP -x dpkg", timeout=3600)
    assert root(pi, "ls /usr/lib/*-linux-gnu*/libcrypto.so.3 2>/dev/null || :") == ""
    bookworm.fleet.kill(INTERRUPTED)
    assert run.wait() != 0
    assert summary_of(run.output)[INTERRUPTED].startswith("not finished")
    bookworm.fleet.start(INTERRUPTED)
    for _ in range(60):
        if pi.ssh("true").returncode == 0:
            break
        time.sleep(1)
    assert root(pi, "dpkg --audit | head -n 1") != ""
    done = bookworm.playbook("update", *TO_13, f"--limit={INTERRUPTED}", *where(tmp_path), timeout=7200)
    assert done.returncode == 0
    assert root(pi, "cat /etc/debian_version").startswith("13.")
    assert as_student(pi, "cat mine.txt") == "mine"
    assert root(pi, "find /usr/lib -maxdepth 1 -name '*mynn*'; find /usr/lib -maxdepth 1 -lname '*mynn*'") == ""
    assert wait_for_login(f"http://{pi.address}:8888") == 200
    assert recap(bookworm.playbook("site", f"--limit={INTERRUPTED}").stdout)[INTERRUPTED].changed == 0
