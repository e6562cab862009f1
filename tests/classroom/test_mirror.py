"""A faulty mirror stops only what needs it, and the summary says which Pi is not up to date, and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.callback.summary import NOT_UP_TO_DATE
from tests.classroom.test_update import where
from tests.support import apt_repository
from tests.support.apt_repository import HEALTHY, PORT, own_mirror, set_fault
from tests.support.classroom import ROOT, Classroom, recap, root
from tests.support.playbook_run import PlaybookRun

MOST_SECONDS = 60
# What the summary says about each fault.
REASONS = {
    "gone": f"The mirror 127.0.0.1:{PORT} does not have its lists of packages (404).",
    "misfit": f"The mirror 127.0.0.1:{PORT} is being updated",
    "silent": f"The mirror 127.0.0.1:{PORT} does not answer.",
    "unknown": "The name of the mirror mirror.invalid is not found.",
}
NEEDED = "python3-psutil"
KEPT = "/root/kept"  # NEEDED is restored from there
OLD = "touch --date='1 day ago' /var/lib/apt/lists"


@pytest.fixture(scope="module")
def pi(classroom: Classroom) -> Iterator[Classroom]:
    """Return a fully provisioned Pi whose mirror offers an update."""
    root(classroom, f"mkdir -p {KEPT}; cd {KEPT}; apt-get -q update; apt-get -q download {NEEDED}")
    with own_mirror(classroom):
        yield classroom
    root(classroom, f"rm -r {KEPT}")


@pytest.fixture
def lacking(pi: Classroom) -> Iterator[Classroom]:
    """Return a Pi that lacks a package it needs."""
    root(pi, f"dpkg --force-depends --remove {NEEDED}")
    yield pi
    root(pi, f"dpkg --install {KEPT}/{NEEDED}_*.deb")


def summary(output: str, title: str) -> str:
    """Return the reason in the one-Pi table below a title, in one line."""
    header, *rows = output.partition(f"\n{title} ")[2].split("\n\n")[0].splitlines()[1:]
    begin, end = header.index("why"), header.index("what to do")
    return " ".join(row[begin:end].strip() for row in rows)


@pytest.mark.parametrize("kind", ["gone", "misfit", "silent", pytest.param("unknown", marks=pytest.mark.long)])
def test_a_pi_that_lacks_nothing_is_finished(pi: Classroom, kind: str) -> None:
    set_fault(pi, kind)
    root(pi, OLD)
    run = PlaybookRun(pi.command("site"), ROOT, dict(os.environ))
    assert run.wait() == 0
    began = run.when(r"TASK \[system : Refresh apt's lists\]")
    assert run.when(r"TASK \[system : Record why") - began < MOST_SECONDS
    assert REASONS[kind] in summary(run.output, NOT_UP_TO_DATE)
    assert "NOT FINISHED" not in run.output
    assert recap(run.output)["pi-01"].failed == 0


def test_update_fails_and_says_why(pi: Classroom, tmp_path: Path) -> None:
    set_fault(pi, "gone")
    done = pi.playbook("update", *where(tmp_path))
    assert done.returncode != 0
    reason = f"serves its lessons as before: Failed to fetch http://127.0.0.1:{PORT}/main/"
    assert f"pi-01 could not be brought up to date, and {reason}" in " ".join(done.stdout.split())
    assert REASONS["gone"] in summary(done.stdout, "NOT FINISHED")


def test_a_pi_that_lacks_something_is_not_finished(lacking: Classroom) -> None:
    set_fault(lacking, "gone")
    root(lacking, OLD)
    done = lacking.playbook("site")
    assert done.returncode != 0
    assert f"pi-01 lacks {NEEDED}, which could not be installed: Failed to fetch" in " ".join(done.stdout.split())
    assert REASONS["gone"] in summary(done.stdout, "NOT FINISHED")
    assert NOT_UP_TO_DATE not in done.stdout


def test_the_next_run_tries_again(pi: Classroom) -> None:
    """It does so within the hour, although one of the suites was fetched successfully."""
    emptied = "A package is not where its mirror's list says"
    root(pi, OLD)
    for kind, reason, installed in (
        ("misfit", REASONS["misfit"], "ii 1"),
        ("emptied", emptied, "ii 1"),
        (HEALTHY, "", "ii 2"),
    ):
        set_fault(pi, kind)
        done = pi.playbook("site")
        assert done.returncode == 0
        assert "TASK [system : Refresh apt's lists]" in done.stdout
        assert reason in summary(done.stdout, NOT_UP_TO_DATE) if reason else NOT_UP_TO_DATE not in done.stdout
        assert apt_repository.version(pi) == installed
    assert recap(pi.playbook("site").stdout)["pi-01"].changed == 0
