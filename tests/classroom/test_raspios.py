"""Raspberry Pi OS as Raspberry Pi Imager writes it: sudo asks for a password, and cloud-init would reset the name."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.support.classroom import ROOT, Classroom
from tests.virtual import Fleet
from tests.virtual.raspios import HOSTNAME, SSID

QUESTION = "Password (not shown): "
WIFI = f"netplan-wlan0-{SSID}"


@contextmanager
def watched(secret: str) -> Iterator[set[str]]:
    """Search all processes, also those in containers, for a secret again and again; yield where it was seen."""
    places, over = set[str](), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if secret in "\n".join([*process.cmdline(), *process.environ().values()]):
                        places.add(process.name())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield places
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Card:
    """A Pi that was flashed with Imager, and its account's password."""

    classroom: Classroom
    password: str

    def make(self, target: str, *answers: str) -> str:
        """Run a Makefile target in a terminal, answer its password prompts, and return its output.

        It must succeed, ask as often as it is answered, and show the password to nobody.
        """
        command = pexpect.spawn(
            "make",
            [target, f"INVENTORY={self.classroom.inventory}"],
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=1200,
            dimensions=(50, 150),
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        output = ""
        with watched(self.password) as places:
            for answer in answers:
                command.expect_exact(QUESTION)
                output += command.before + QUESTION
                command.waitnoecho(10)
                command.sendline(answer)
            command.expect(pexpect.EOF)
        command.close()
        output += command.before
        print(output[-20000:])
        assert command.exitstatus == 0
        assert output.count(QUESTION) == len(answers)
        assert self.password not in output
        assert places == set()
        assert readable_by_others(self.password) == []
        return str(output)


@pytest.fixture(scope="module")
def card() -> Iterator[Card]:
    """Return a fresh Pi, without storing its password for Ansible."""
    fleet = Fleet(ROOT / "build/virtual-raspios", address="127.77.8.0")
    fleet.down()
    fleet.up(1, system="raspios")
    password = fleet.state.ensure_password()
    fleet.state.group_vars.unlink()
    yield Card(Classroom(fleet), password)
    fleet.down()


@pytest.fixture(scope="module")
def provisioned(card: Card) -> Card:
    """Provision the Pi as a teacher does, who mistypes the password first."""
    answer = card.classroom.ssh("hostname; id -un; nmcli -t -f NAME connection; cloud-init status; sudo -n true 2>&1")
    assert answer.stdout.split("\n")[:2] == [HOSTNAME, "teacher"]
    for words in (WIFI, "status: done", "password is required"):
        assert words in answer.stdout
    output = card.make("site", "wrong", card.password)
    assert "sudo on pi-01 wants the password of teacher" in output
    assert "does not accept that password" in output
    return card


def readable_by_others(secret: str) -> list[Path]:
    """Return this project's output files that contain a secret and that others can read."""
    search = ["grep", "-rlF", "--devices=skip", "--exclude-dir=pis", "--", secret]
    found = subprocess.run([*search, ROOT / "dist", ROOT / "build"], capture_output=True, text=True, check=False)
    return [path for path in map(Path, found.stdout.splitlines()) if stat.S_IMODE(path.stat().st_mode) != 0o600]


def test_a_second_run_changes_nothing(provisioned: Card, tmp_path: Path) -> None:
    """With Ansible's own strategy, and the password in a file."""
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text(provisioned.password)
    options = [f"--become-password-file={tmp_path}/password"]
    assert provisioned.classroom.changes("site", *options, env={"ANSIBLE_STRATEGY": "linear"}) == {"pi-01": 0}


def test_verify_asks_too(provisioned: Card) -> None:
    """Its tests open their own SSH connections."""
    provisioned.make("verify", provisioned.password)


def test_after_a_reboot_the_name_stays_and_cloud_init_is_off(provisioned: Card) -> None:
    fleet = provisioned.classroom.fleet
    fleet.container("pi-01").stop()
    fleet.start("pi-01")
    ask = (
        "hostname; getent hosts 127.0.1.1; cloud-init status; nmcli -t -f NAME connection; "
        "systemctl is-active NetworkManager; systemctl --failed --quiet --no-legend; "
        "until systemctl -q is-active avahi-daemon; do sleep 0.1; done; "
        "busctl call org.freedesktop.Avahi / org.freedesktop.Avahi.Server GetHostNameFqdn"
    )
    lines = provisioned.classroom.ssh(ask).stdout.splitlines()
    print(lines)
    assert lines[:3] == ["pi-01", "127.0.1.1       pi-01", "status: disabled"]
    assert WIFI in lines
    assert lines[-2:] == ["active", 's "pi-01.local"']
