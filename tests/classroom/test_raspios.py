"""Raspberry Pi OS as Raspberry Pi Imager makes it: sudo wants a password, and cloud-init would undo the Pi's name."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from tests.support.classroom import ROOT, Classroom, recap
from tests.virtual import Fleet
from tests.virtual.raspios import HOSTNAME, SSID

QUESTION = "Password (not shown): "
WIFI = f"netplan-wlan0-{SSID}"


class Eavesdropper:
    """Somebody who reads, again and again, every process's arguments and environment: also the Pi's, a container."""

    def __init__(self, secret: str) -> None:
        self.secret = secret.encode()
        self.found: set[str] = set()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Eavesdropper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        if self.secret in (process / name).read_bytes():
                            self.found.add(f"{name} of {(process / 'comm').read_text().strip()}")


@dataclass(frozen=True)
class Typed:
    """What a command said to somebody at a terminal, how it ended, and who could read the password meanwhile."""

    output: str
    code: int | None
    overheard: Eavesdropper


@dataclass(frozen=True)
class Card:
    """A Pi whose card Imager made, and its account's password."""

    classroom: Classroom
    password: str

    def make(self, target: str, *answers: str) -> Typed:
        """Run a target of the Makefile at a terminal, and answer its questions for a password."""
        command = pexpect.spawn(
            "make",
            [target, f"INVENTORY={self.classroom.inventory}"],
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=1200,
            dimensions=(50, 150),
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        said = ""
        with Eavesdropper(self.password) as overheard:
            for answer in answers:
                command.expect_exact(QUESTION)
                said += command.before + QUESTION
                command.waitnoecho(10)
                command.sendline(answer)
            command.expect(pexpect.EOF)
        command.close()
        output = (said + command.before).replace("\r", "")
        print(output[-20000:])
        return Typed(output, command.exitstatus, overheard)


@pytest.fixture(scope="module")
def card() -> Iterator[Card]:
    """Return a fresh Pi, whose password is nowhere that Ansible looks."""
    fleet = Fleet(ROOT / "build/virtual-raspios", address="127.77.8.0")
    fleet.down()
    fleet.up(1, system="raspios")
    password = fleet.state.ensure_password()
    fleet.state.group_vars.unlink()
    yield Card(Classroom(fleet), password)
    fleet.down()


@dataclass(frozen=True)
class FirstRun:
    """The run that provisioned it."""

    card: Card
    typed: Typed


@pytest.fixture(scope="module")
def first(card: Card) -> FirstRun:
    """Provision the Pi as a teacher does, who knows of no option."""
    return FirstRun(card, card.make("site", card.password))


@pytest.fixture(scope="module")
def provisioned(first: FirstRun) -> Card:
    assert first.typed.code == 0
    return first.card


@pytest.fixture
def password_file(card: Card, tmp_path: Path) -> Path:
    """Return a file with the password, as --become-password-file reads it."""
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text(card.password)
    return path


def readable_by_others(secret: str) -> list[Path]:
    """Return the files with a secret that this project left, but for those that only their owner reads."""
    search = [
        "grep",
        "-rlF",
        "--devices=skip",
        "--exclude-dir=pis",
        "--",
        secret,
        str(ROOT / "dist"),
        str(ROOT / "build"),
    ]
    found = subprocess.run(search, capture_output=True, text=True, check=False)
    paths = map(Path, found.stdout.splitlines())
    return [path for path in paths if stat.S_IMODE(path.stat().st_mode) != 0o600]


def test_it_is_as_imager_makes_it(card: Card) -> None:
    """And so the tests below can fail: sudo refuses, cloud-init runs, NetworkManager knows the Wi-Fi."""
    asked = card.classroom.ssh(
        "hostname; id -un; . /etc/os-release; echo $ID; nmcli -t -f NAME connection; cloud-init status"
    )
    name, account, system, *others = asked.stdout.split("\n")
    assert (name, account, system) == (HOSTNAME, "teacher", "raspbian")
    assert WIFI in others
    assert "status: done" in others
    assert "password is required" in card.classroom.ssh("sudo -n true").stderr


def test_without_a_terminal_one_sentence_says_what_to_do(card: Card) -> None:
    done = card.classroom.playbook("site")
    assert done.returncode != 0
    summary = " ".join(done.stdout.partition("NOT FINISHED")[2].split())
    for words in ("sudo on it wants a", "was given", "in a terminal", "When sudo wants a"):
        assert words in summary


def test_a_wrong_password_gives_one_clear_sentence(card: Card) -> None:
    typed = card.make("site", "wrong", "wrong as well", "not this one")
    assert typed.code != 0
    assert typed.output.count("does not accept that password") == 2
    summary = typed.output.partition("NOT FINISHED")[2]
    assert re.search(r"^pi-01 .*sudo on it does not accept the password that was", summary, re.M)


def test_it_is_asked_for_once(first: FirstRun) -> None:
    assert first.typed.code == 0
    assert first.typed.output.count(QUESTION) == 1
    assert "sudo on pi-01 wants the password of teacher" in first.typed.output


def test_the_password_is_nowhere_to_be_read(first: FirstRun) -> None:
    assert first.card.password not in first.typed.output
    assert first.typed.overheard.looks > 50
    assert first.typed.overheard.found == set()
    assert readable_by_others(first.card.password) == []


@pytest.mark.parametrize("strategy", ["classroom", pytest.param("linear", marks=pytest.mark.long)])
def test_a_second_run_changes_nothing(provisioned: Card, password_file: Path, strategy: str) -> None:
    env = {**os.environ, "ANSIBLE_STRATEGY": strategy}
    done = provisioned.classroom.playbook("site", f"--become-password-file={password_file}", env=env)
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].changed == 0


@pytest.mark.long
def test_stock_ansible_asks_too(provisioned: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mitogen is not installed."""
    (tmp_path / "ansible_mitogen.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    typed = provisioned.make("report", "wrong", provisioned.password)
    assert typed.code == 0
    assert "does not accept that password" in typed.output


def test_verify_asks_as_well(provisioned: Card) -> None:
    """Its tests come over SSH by themselves."""
    typed = provisioned.make("verify", provisioned.password)
    assert typed.code == 0
    assert typed.overheard.found == set()
    assert provisioned.password not in typed.output
    assert readable_by_others(provisioned.password) == []
    assert not (ROOT / "build/verify/settings.json").exists()


def test_verify_says_when_it_has_no_password(provisioned: Card) -> None:
    done = provisioned.classroom.playbook("verify")
    assert done.returncode != 0
    sentence = "sudo on pi-01 wants the password of teacher, and none was given."
    assert sentence in " ".join(done.stdout.split())
    assert sentence in (ROOT / "dist/report/index.html").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("name", ["collect", "handout", "labels", "report", "reset", "restore"])
def test_every_playbook_takes_it_from_a_file(provisioned: Card, password_file: Path, name: str) -> None:
    sheets = password_file.with_name("sheets")
    sheets.mkdir()
    options = [f"--become-password-file={password_file}", "-e", f"student_work_handout={sheets}"]
    assert provisioned.classroom.playbook(name, *options).returncode == 0


def test_after_a_reboot_the_name_stays_and_cloud_init_is_off(provisioned: Card) -> None:
    fleet = provisioned.classroom.fleet
    fleet.stop("pi-01")
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


@pytest.mark.long
def test_update(provisioned: Card, password_file: Path) -> None:
    """Packages, the roles, a verification."""
    assert provisioned.classroom.playbook("update", f"--become-password-file={password_file}").returncode == 0
