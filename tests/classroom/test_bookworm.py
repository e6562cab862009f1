"""Debian 12 works too: its Python is older, and two compiled packages come as wheels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.classroom import ROOT, Classroom, recap
from tests.virtual import Fleet


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Classroom]:
    fleet = Fleet(ROOT / "build/virtual-bookworm", address="127.77.6.0")
    fleet.down()
    fleet.up(1, suite="bookworm")
    yield Classroom(fleet)
    fleet.down()


def test_debian_12_is_provisioned_and_verified(bookworm: Classroom) -> None:
    assert "VERSION_CODENAME=bookworm" in bookworm.ssh("cat /etc/os-release").stdout
    assert bookworm.playbook("site").returncode == 0
    again = bookworm.playbook("site")
    assert recap(again.stdout)["pi-01"].changed == 0
    report = ROOT / "dist/report-bookworm"
    assert bookworm.playbook("verify", "-e", f"report_folder={report}").returncode == 0
    assert (report / "index.html").is_file()
