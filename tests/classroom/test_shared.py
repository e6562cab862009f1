"""The shared Pis: whatever a test did to them, the next file gets them repaired."""

from __future__ import annotations

import pytest

from tests.classroom.conftest import Shared
from tests.support.classroom import Classroom


@pytest.mark.parametrize("harm", ["systemctl disable --now jupyter", "hostname somebody-else"])
def test_a_broken_pi_is_repaired(classroom: Classroom, one_pi: Shared, harm: str) -> None:
    assert one_pi.is_provisioned()
    boot = classroom.ssh("cat /proc/sys/kernel/random/boot_id").stdout
    assert classroom.ssh(f"sudo {harm}").returncode == 0
    assert not one_pi.is_provisioned()
    assert one_pi.provisioned().ssh("cat /proc/sys/kernel/random/boot_id").stdout == boot  # repaired, not recreated
    assert one_pi.is_provisioned()


def test_a_stopped_pi_is_started(one_pi: Shared) -> None:
    one_pi.provisioned().fleet.kill("pi-01")
    assert not one_pi.is_provisioned()
    assert one_pi.provisioned().ssh("true").returncode == 0


@pytest.mark.long
def test_a_pi_beyond_repair_is_recreated(one_pi: Shared) -> None:
    pi = one_pi.provisioned()
    pi.ssh("sudo rm -r /usr/lib/python3 /usr/lib/python3.13")
    assert not one_pi.is_provisioned()
    assert one_pi.provisioned().ssh("python3 -c 'import numpy'").returncode == 0
