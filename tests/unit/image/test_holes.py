"""The list of known holes in an image's packages: roles/image/files/holes.py, with data as the tracker writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ROOT
from tests.unit.image.test_manifest import make_manifest, root

__all__ = ["root"]  # a fixture

PROGRAM = ROOT / "roles/image/files/holes.py"
KERNEL, NUMPY = "6.12.107-1", "1:2.2.4+ds-1"  # what the image has
Release = dict[str, Any]


def release(version: str, status: str, urgency: str = "not yet assigned", **more: str) -> Release:
    """Return what the tracker says of an issue in a release, as its bin/tracker_service.py does.

    version: what the release has. more: fixed_version, if resolved and known; and for <no-dsa>, <ignored> and
    <postponed>, nodsa (the comment, which may be empty) and nodsa_reason (empty for <no-dsa>).
    """
    repositories = {"trixie": version, "trixie-security": version}
    return {"status": status, "repositories": repositories, "urgency": urgency, **more}


def issue(trixie: Release | None, **others: Release) -> dict[str, Any]:
    """Return an issue, with other releases besides trixie."""
    sid = release("6.17.8-1", "resolved", fixed_version="6.17.8-1")
    releases = ({"trixie": trixie} if trixie else {}) | {"sid": sid} | others
    return {"description": "A flaw in \u201cfoo\u201d", "debianbug": 1112345, "scope": "local", "releases": releases}


OPEN = release(KERNEL, "open")
DATA: dict[str, dict[str, Any]] = {
    "linux": {
        "CVE-2026-1001": issue(OPEN),
        "CVE-2026-1002": issue(release("6.12.110-1", "resolved", fixed_version="6.12.110-1")),
        "CVE-2026-1003": issue(release("6.12.110-1", "resolved", "high", fixed_version="6.12.107-1")),  # it has that
        "CVE-2026-1004": issue(release("6.12.110-1", "resolved", fixed_version="0")),  # never had it
        "CVE-2026-1005": issue(release("6.12.110-1", "resolved")),  # never had it: only other releases did
        "CVE-2026-1006": issue(release(KERNEL, "undetermined")),
        "CVE-2026-1007": issue(release(KERNEL, "open", "unimportant")),
        "CVE-2026-1008": issue(None, bookworm=release("6.1.1-1", "open")),
    },
    "numpy": {
        "CVE-2026-2001": issue(release(NUMPY, "open", "low", nodsa="Minor issue", nodsa_reason="")),
        "CVE-2026-2002": issue(release(NUMPY, "open", nodsa="", nodsa_reason="ignored")),
        "CVE-2026-2003": issue(release(NUMPY, "open", nodsa="Fix\x1b[2J later", nodsa_reason="postponed")),
        "TEMP-0000000-A1B2C3": issue(release(NUMPY, "open", "end-of-life")),
        "CVE-2026-2004": issue(release(NUMPY, "resolved", fixed_version="1:2.2.4+ds-1+deb13u1")),
    },
    "elsewhere": {"CVE-2026-3001": issue(OPEN)},
    "linux-image-6.12.107+deb13-rpi": {"CVE-2026-4001": issue(OPEN)},  # a binary package's name
}
LIST = """\
Holes in the packages of a.cdx.json, by Debian's security tracker of 20 November 2026

2 closed by Debian since: `make update` installs that
  linux 6.12.107-1  CVE-2026-1002  closed in 6.12.110-1
  numpy 1:2.2.4+ds-1  CVE-2026-2004  closed in 1:2.2.4+ds-1+deb13u1

2 not closed by Debian yet
  linux 6.12.107-1  CVE-2026-1001
  numpy 1:2.2.4+ds-1  TEMP-0000000-A1B2C3  end-of-life

4 minor: Debian plans no update for them, or they do no harm in its packages
  linux 6.12.107-1  CVE-2026-1007  unimportant
  numpy 1:2.2.4+ds-1  CVE-2026-2001  low  Minor issue
  numpy 1:2.2.4+ds-1  CVE-2026-2002
  numpy 1:2.2.4+ds-1  CVE-2026-2003  Fix\\x1b[2J later

1 not examined by Debian yet: they may not concern its version
  linux 6.12.107-1  CVE-2026-1006
"""


@pytest.fixture
def listed(root: Path, tmp_path: Path) -> Path:
    """The list of packages of an armel image, with a signed kernel, and with numpy built a second time."""
    status = root / "var/lib/dpkg/status"
    kernel = "Version: 6.12.107-1\nSource: linux-signed-armel (6.12.107+1)\nBuilt-Using: linux (= 6.12.107-1)\n"
    text = status.read_text().replace("Version: 6.12.107-1\n", kernel)
    numpy = "Version: 1:2.2.4+ds-1+b2\nSource: numpy (1:2.2.4+ds-1)\n"
    status.write_text(text.replace("Version: 1:2.2.4+ds-1\n", numpy))
    assert make_manifest(root, tmp_path / "a.cdx.json").returncode == 0
    return tmp_path / "a.cdx.json"


def ask(listed: Path, data: bytes | str, suite: str = "trixie", size: int = 0) -> subprocess.CompletedProcess[str]:
    """Ask a tracker with such data of 20 November. size: to how many bytes the data is stretched."""
    tracker = listed.with_name("tracker.json")
    tracker.write_bytes(data if isinstance(data, bytes) else data.encode())
    if size:
        os.truncate(tracker, size)
    day = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))
    os.utime(tracker, (day, day))
    command: list[str | Path] = [
        sys.executable,
        PROGRAM,
        listed,
        tracker,
        listed.with_name("a.holes.txt"),
        f"--suite={suite}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_holes_are_those_of_the_source_packages_in_this_release(listed: Path) -> None:
    done = ask(listed, json.dumps(DATA, separators=(",", ":")))
    assert (done.returncode, done.stderr) == (0, "")
    assert listed.with_name("a.holes.txt").read_text() == LIST
    assert done.stdout == (
        "Debian's security tracker of 20 November 2026 knows 4 holes in these packages: 2 that `make update` closes, "
        "and 2 that Debian has not closed yet. (5 more are minor, or not examined.) They are listed in "
        f"{listed.with_name('a.holes.txt')}.\n"
    )


def test_a_release_that_the_tracker_has_dropped_is_not_taken_for_one_without_holes(listed: Path) -> None:
    done = ask(listed, json.dumps(DATA), "bullseye")
    assert (done.returncode, done.stdout) == (1, "")
    assert "tracker.json knows nothing of bullseye." in done.stderr
    assert not listed.with_name("a.holes.txt").exists()


BROKEN: dict[str, bytes | str] = {
    "empty": "",
    "cut off": json.dumps(DATA)[:-200],
    "a school's page": "<!doctype html><title>Sign in</title>",
    "not UTF-8": b'{"linux": "\xff\xfe"}',
    "a list": "[1, 2]",
    "an error": '{"error": "too many requests"}',
    "no issues": '{"linux": [1]}',
    "no releases": '{"linux": {"CVE-2026-1": {"description": "x"}}}',
    "a new status": json.dumps({"linux": {"CVE-2026-1": issue(release(KERNEL, "disputed"))}}),
    "a new urgency": json.dumps({"linux": {"CVE-2026-1": issue(release(KERNEL, "open", "medium**"))}}),
    "a version that is none": json.dumps(
        {"linux": {"CVE-2026-1": issue(release("", "resolved", fixed_version="§ 5"))}}
    ),
    "deep": "[" * 200_000,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_data_is_named_and_lists_nothing(listed: Path, data: bytes | str) -> None:
    done = ask(listed, data)
    assert (done.returncode, done.stdout) == (1, "")
    assert "tracker.json is not the data of Debian's security tracker (" in done.stderr
    assert "Download it again: `.venv/bin/debsbom sec-scan --update-db" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not listed.with_name("a.holes.txt").exists()


def test_data_that_is_too_large_is_refused_unread(listed: Path) -> None:
    done = ask(listed, "", size=(1 << 29) + 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert "tracker.json is too large for the data of Debian's security tracker." in done.stderr
