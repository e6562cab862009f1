"""The Pis that several files share: whatever a test did to them, the next file gets them whole."""

from __future__ import annotations

import pytest

from tests.classroom.conftest import Shared
from tests.support.classroom import Classroom


@pytest.mark.parametrize("harm", ["systemctl disable --now jupyter", "hostname somebody-else"])
def test_a_broken_pi_is_mended(classroom: Classroom, one_pi: Shared, harm: str) -> None:
    assert one_pi.is_whole()
    boot = classroom.ssh("cat /proc/sys/kernel/random/boot_id").stdout
    assert classroom.ssh(f"sudo {harm}").returncode == 0
    assert not one_pi.is_whole()
    assert one_pi.whole().ssh("cat /proc/sys/kernel/random/boot_id").stdout == boot  # repaired, and not made anew
    assert one_pi.is_whole()


def test_a_dead_pi_is_switched_on(one_pi: Shared) -> None:
    one_pi.whole().fleet.kill("pi-01")
    assert not one_pi.is_whole()
    assert one_pi.whole().ssh("true").returncode == 0


@pytest.mark.long
def test_a_pi_beyond_repair_is_made_anew(one_pi: Shared) -> None:
    pi = one_pi.whole()
    pi.ssh("sudo rm -r /usr/lib/python3 /usr/lib/python3.13")
    assert not one_pi.is_whole()
    assert one_pi.whole().ssh("python3 -c 'import numpy'").returncode == 0
