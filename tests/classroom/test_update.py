"""update.yml: one Pi goes first. If it fails, the others are not touched, and all still serve their lessons."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.classroom.test_site import wait_for_login
from tests.support import apt_repository
from tests.support.apt_repository import CONFFILE
from tests.support.classroom import ROOT, Classroom, on, recap, root
from tests.support.playbook_run import PlaybookRun

CANARY, NEXT = "pi-01", "pi-02"
MODULES = "journalctl --quiet --boot --grep='Invoked [w]ith' | wc -l"


def summary_of(output: str) -> dict[str, str]:
    """Return the line of update.yml's summary for each Pi."""
    return dict(re.findall(r"^(\S+): (.*)$", output.partition("\nUPDATED ")[2], re.M))


def where(folder: Path) -> tuple[str, ...]:
    """Return the options that send the results of verification to a folder."""
    return "-e", f"report_folder={folder}/report", "-e", f"verify_results={folder}/work"


def assert_serves(*pis: Classroom) -> None:
    for pi in pis:
        assert wait_for_login(f"http://{pi.address}:8888") == 200


@pytest.fixture
def canary(ten: Classroom) -> Iterator[Classroom]:
    """Return a Pi for a test to break. Its sources are restored and the test package is removed afterwards."""
    pi = on(ten, CANARY)
    root(pi, "cp -a /etc/apt/sources.list /root/sources.list")
    yield pi
    root(pi, f"cp -a /root/sources.list /etc/apt/sources.list; dpkg --configure --pending; {apt_repository.REMOVE}")


def test_if_the_first_fails_the_others_are_not_touched(ten: Classroom, canary: Classroom, tmp_path: Path) -> None:
    """The first Pi's mirror is not available."""
    other = on(ten, NEXT)
    root(canary, "sed -i -E 's,https?://[^ ]+,http://127.0.0.1:9/debian,' /etc/apt/sources.list")
    before = root(other, MODULES)
    done = ten.playbook("update", f"--limit={CANARY},{NEXT}", *where(tmp_path))
    assert done.returncode != 0
    assert f"{CANARY} could not be brought up to date, and serves its lessons as before: Failed to fetch" in done.stdout
    assert summary_of(done.stdout)[CANARY].startswith("not finished")
    assert summary_of(done.stdout)[NEXT] == "not touched"
    assert NEXT not in recap(done.stdout)
    assert root(other, MODULES) == before
    assert_serves(canary, other)


def test_an_edited_file_is_kept_and_named(canary: Classroom, tmp_path: Path) -> None:
    """A package has a new version of a conffile that was edited; dpkg must not ask."""
    apt_repository.install_edited(canary, "1")
    apt_repository.offer(canary, "2")
    done = canary.playbook("update", f"--limit={CANARY}", *where(tmp_path))
    assert done.returncode == 0
    assert apt_repository.version(canary) == "ii 2"
    assert root(canary, f"cat {CONFFILE}") == "version 1\nmine"
    line = summary_of(done.stdout)[CANARY]
    assert re.match(r"Debian 13\.\d+, Python 3\.13, \d+ packages \([1-9]\d* upgraded\), smoke accuracy ", line)
    assert re.search(r"smoke accuracy unknown -> 8\d\.\d%, \d+ min \d+ s, ", line)
    assert f"kept because they were edited: {CONFFILE} (" in line
    assert_serves(canary)


@pytest.mark.long
def test_one_goes_first_then_the_others(ten: Classroom, tmp_path: Path) -> None:
    """All succeed, one after the other, and a second run upgrades nothing."""
    limit = f"--limit={CANARY},{NEXT},pi-03"
    assert ten.playbook("update", limit, *where(tmp_path)).returncode == 0
    done = ten.playbook("update", limit, *where(tmp_path))
    assert done.returncode == 0
    assert {name: counts.changed for name, counts in recap(done.stdout).items()} == dict.fromkeys(
        summary_of(done.stdout), 0
    )
    assert list(summary_of(done.stdout)) == [CANARY, NEXT, "pi-03"]
    assert all("packages (0 upgraded)" in line for line in summary_of(done.stdout).values())
    began = [done.stdout.index(f"ok: [{name}]") for name in (CANARY, NEXT)]
    assert done.stdout[began[0] : began[1]].count("TASK [verify : Test each Pi") == 1


@pytest.mark.long
def test_if_one_of_a_batch_fails_the_batch_is_finished(ten: Classroom, tmp_path: Path) -> None:
    """The second Pi's mirror is gone. The third, in the same batch, is finished, and the fourth not touched."""
    broken = on(ten, NEXT)
    root(
        broken,
        "cp -a /etc/apt/sources.list /root/; sed -i -E 's,https?://[^ ]+,http://127.0.0.1:9/,' /etc/apt/sources.list",
    )
    try:
        limit = f"--limit={CANARY},{NEXT},pi-03,pi-04"
        done = ten.playbook("update", limit, "-e", "update_at_once=2", *where(tmp_path))
    finally:
        root(broken, "mv /root/sources.list /etc/apt/")
    assert done.returncode != 0
    lines = summary_of(done.stdout)
    assert [name for name, line in lines.items() if line.startswith("Debian 13.")] == [CANARY, "pi-03"]
    assert (lines[NEXT], lines["pi-04"]) == ("not finished", "not touched")


@pytest.mark.long
def test_a_power_cut_during_an_update(ten: Classroom, canary: Classroom, tmp_path: Path) -> None:
    """The power is cut while dpkg is running; the next run, of update.yml or site.yml, completes the update."""
    apt_repository.install_edited(canary, "1")
    for version, next_run in (("2", "update"), ("3", "site")):
        apt_repository.offer(canary, version, "[ -e /run/later ] || { touch /run/mid-install; sleep 300; }")
        root(canary, "rm -f /run/later")
        limit = f"--limit={CANARY},{NEXT}"
        run = PlaybookRun(ten.command("update", limit, *where(tmp_path)), ROOT, dict(os.environ))
        root(canary, "while ! [ -e /run/mid-install ]; do sleep 0.2; done", timeout=600)
        ten.fleet.kill(CANARY)
        assert run.wait() != 0
        assert summary_of(run.output)[NEXT] == "not touched"
        ten.fleet.start(CANARY)
        assert_serves(canary)
        assert apt_repository.version(canary).startswith("iF")
        root(canary, "touch /run/later")
        done = ten.playbook(next_run, f"--limit={CANARY}", *(where(tmp_path) if next_run == "update" else ()))
        assert done.returncode == 0
        assert apt_repository.version(canary) == f"ii {version}"
        assert root(canary, f"cat {CONFFILE}") == "version 1\nmine"
        assert recap(ten.playbook("site", f"--limit={CANARY}").stdout)[CANARY].changed == 0


@pytest.mark.long
def test_a_full_card(canary: Classroom, tmp_path: Path) -> None:
    """The update does not fit on the card: it is reported, and nothing changes until there is space."""
    apt_repository.install_edited(canary, "1")
    apt_repository.offer(canary, "2")
    archives = "/var/cache/apt/archives"
    root(canary, f"apt-get clean; mount -t tmpfs -o size=200k none {archives}; mkdir -p {archives}/partial")
    done = canary.playbook("update", f"--limit={CANARY}", *where(tmp_path))
    assert done.returncode != 0
    assert f"{CANARY} could not be brought up to date, and serves its lessons as before: " in done.stdout
    assert "enough free space" in done.stdout
    assert apt_repository.version(canary) == "ii 1"
    assert_serves(canary)
    root(canary, f"umount {archives}")
    assert canary.playbook("update", f"--limit={CANARY}", *where(tmp_path)).returncode == 0
    assert apt_repository.version(canary) == "ii 2"


@pytest.mark.long
def test_an_upgrade_by_hand_leaves_nothing_to_repair(canary: Classroom) -> None:
    apt_repository.install_edited(canary, "1")
    apt_repository.offer(canary, "2")
    by_hand = "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get -qy -o Dpkg::Options::=--force-confold upgrade"
    root(canary, by_hand, timeout=600)
    assert apt_repository.version(canary) == "ii 2"
    done = canary.playbook("site", f"--limit={CANARY}")
    assert done.returncode == 0
    assert recap(done.stdout)[CANARY].changed == 0
    assert_serves(canary)


# Simulate a Pi that was provisioned with an older lock file: an older package, and that file's stamp.
OLDER = r"""
set -e
cd /opt/mynn/venv/lib/python3*/site-packages
sed -i 's/^Version: .*/Version: 0.0.1/' comm-*.dist-info/METADATA
sed -i 's,^comm-[^/]*/,comm-0.0.1.dist-info/,' comm-*.dist-info/RECORD
mv comm-*.dist-info comm-0.0.1.dist-info
cd /opt/mynn/venv
mv installed-* "$(echo installed-* | sed 's/-[^-]*$/-000000000000/')"
"""
COMM = "/opt/mynn/venv/bin/python -m pip list --format freeze 2>/dev/null | grep ^comm=="


@pytest.mark.long
def test_an_older_state_is_brought_up_to_date(canary: Classroom, tmp_path: Path) -> None:
    """An older environment, and a package on hold, which is upgraded only once the hold is removed."""
    current = root(canary, COMM)
    apt_repository.install_edited(canary, "1")
    apt_repository.offer(canary, "2")
    root(canary, f"apt-mark hold {apt_repository.PACKAGE}")
    root(canary, OLDER)
    assert root(canary, COMM) == "comm==0.0.1"
    for held, installed in ((True, "hi 1"), (False, "ii 2")):
        if not held:
            root(canary, f"apt-mark unhold {apt_repository.PACKAGE}")
        done = canary.playbook("update", f"--limit={CANARY}", *where(tmp_path))
        assert done.returncode == 0
        assert apt_repository.version(canary) == installed
        assert root(canary, COMM) == current
    assert recap(canary.playbook("site", f"--limit={CANARY}").stdout)[CANARY].changed == 0
