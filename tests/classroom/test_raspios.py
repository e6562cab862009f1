"""Raspberry Pi OS as Raspberry Pi Imager writes it: sudo asks for a password, and cloud-init would reset the name."""

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


class SecretWatcher:
    """Repeatedly search the arguments and environment of all processes for a secret, including those in containers."""

    def __init__(self, secret: str) -> None:
        self.secret = secret.encode()
        self.found: set[str] = set()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> SecretWatcher:
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
class TerminalRun:
    """A command run in a terminal: its output, its exit code, and where its password could be seen."""

    output: str
    code: int | None
    watcher: SecretWatcher


@dataclass(frozen=True)
class Card:
    """A Pi that was flashed with Imager, and its account's password."""

    classroom: Classroom
    password: str

    def make(self, target: str, *answers: str) -> TerminalRun:
        """Run a Makefile target in a terminal, and answer its password prompts."""
        command = pexpect.spawn(
            "make",
            [target, f"INVENTORY={self.classroom.inventory}"],
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=1200,
            dimensions=(50, 150),
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        earlier = ""
        with SecretWatcher(self.password) as watcher:
            for answer in answers:
                command.expect_exact(QUESTION)
                earlier += command.before + QUESTION
                command.waitnoecho(10)
                command.sendline(answer)
            command.expect(pexpect.EOF)
        command.close()
        output = (earlier + command.before).replace("\r", "")
        print(output[-20000:])
        return TerminalRun(output, command.exitstatus, watcher)


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


@dataclass(frozen=True)
class FirstRun:
    """The run that provisioned the Pi."""

    card: Card
    run: TerminalRun


@pytest.fixture(scope="module")
def first(card: Card) -> FirstRun:
    """Provision the Pi as a teacher does, without options."""
    return FirstRun(card, card.make("site", card.password))


@pytest.fixture(scope="module")
def provisioned(first: FirstRun) -> Card:
    assert first.run.code == 0
    return first.card


@pytest.fixture
def password_file(card: Card, tmp_path: Path) -> Path:
    """Return a password file for --become-password-file."""
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text(card.password)
    return path


def readable_by_others(secret: str) -> list[Path]:
    """Return this project's output files that contain a secret and that others can read."""
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


def test_it_is_as_imager_writes_it(card: Card) -> None:
    """The tests below rely on this: sudo asks for a password, cloud-init has run, NetworkManager knows the Wi-Fi."""
    answer = card.classroom.ssh(
        "hostname; id -un; . /etc/os-release; echo $ID; nmcli -t -f NAME connection; cloud-init status"
    )
    name, account, system, *others = answer.stdout.split("\n")
    assert (name, account, system) == (HOSTNAME, "teacher", "raspbian")
    assert WIFI in others
    assert "status: done" in others
    assert "password is required" in card.classroom.ssh("sudo -n true").stderr


def test_without_a_terminal_the_summary_says_what_to_do(card: Card) -> None:
    done = card.classroom.playbook("site")
    assert done.returncode != 0
    summary = " ".join(done.stdout.partition("NOT FINISHED")[2].split())
    for words in ("sudo on it wants a", "was given", "in a terminal", "When sudo wants a"):
        assert words in summary


def test_a_wrong_password_is_reported_clearly(card: Card) -> None:
    run = card.make("site", "wrong", "wrong as well", "not this one")
    assert run.code != 0
    assert run.output.count("does not accept that password") == 2
    summary = run.output.partition("NOT FINISHED")[2]
    assert re.search(r"^pi-01 .*sudo on it does not accept the password that was", summary, re.M)


def test_the_password_is_asked_for_once(first: FirstRun) -> None:
    assert first.run.code == 0
    assert first.run.output.count(QUESTION) == 1
    assert "sudo on pi-01 wants the password of teacher" in first.run.output


def test_the_password_is_never_exposed(first: FirstRun) -> None:
    assert first.card.password not in first.run.output
    assert first.run.watcher.looks > 50
    assert first.run.watcher.found == set()
    assert readable_by_others(first.card.password) == []


@pytest.mark.parametrize("strategy", ["classroom", pytest.param("linear", marks=pytest.mark.long)])
def test_a_second_run_changes_nothing(provisioned: Card, password_file: Path, strategy: str) -> None:
    env = {**os.environ, "ANSIBLE_STRATEGY": strategy}
    done = provisioned.classroom.playbook("site", f"--become-password-file={password_file}", env=env)
    assert done.returncode == 0
    assert recap(done.stdout)["pi-01"].changed == 0


@pytest.mark.long
def test_stock_ansible_asks_too(provisioned: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mitogen installed."""
    (tmp_path / "ansible_mitogen.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = provisioned.make("report", "wrong", provisioned.password)
    assert run.code == 0
    assert "does not accept that password" in run.output


def test_verify_asks_too(provisioned: Card) -> None:
    """Its tests open their own SSH connections."""
    run = provisioned.make("verify", provisioned.password)
    assert run.code == 0
    assert run.watcher.found == set()
    assert provisioned.password not in run.output
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
def test_every_playbook_accepts_a_password_file(provisioned: Card, password_file: Path, name: str) -> None:
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
    assert provisioned.classroom.playbook("update", f"--become-password-file={password_file}").returncode == 0
