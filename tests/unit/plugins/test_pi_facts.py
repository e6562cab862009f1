"""A Pi's facts: which programs listen, which units run, which settings are not in effect yet, and its names."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of
from ansible_collections.mynn.pi.plugins.module_utils.system import listeners
from ansible_collections.mynn.pi.plugins.modules import pi_facts


def test_apt_uses_a_proxy_only_if_a_trusted_account_runs_it() -> None:
    """It answers as apt-cacher-ng does, here at any address."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 406 usage\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port, me = server.getsockname()[1], os.geteuid()
        assert listeners()[port] == {me}
        assert pi_facts.apt_proxy(port, {me}, {4711}) == ""
        assert pi_facts.apt_proxy(port, {me, 4711}, {me}) == ""
        assert pi_facts.apt_proxy(port, {me}, {me, 4711}) == f"http://127.0.0.1:{port}"
    assert port not in listeners()
    assert pi_facts.apt_proxy(port, set(), {0}) == pi_facts.apt_proxy(None, set(), {0}) == ""


class Systemd:
    """A stand-in for systemd, and the file with the units' settings."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "settings"
        self.file.touch()
        self.now = self.file.stat().st_ctime
        monkeypatch.setattr(pi_facts.Path, "is_dir", lambda _: True)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        clock = SimpleNamespace(time=lambda: self.now, clock_gettime=lambda _: 1000, CLOCK_MONOTONIC=1)
        monkeypatch.setattr(pi_facts, "time", clock)

    def ask(self, names: str, *states: dict[str, str], written: float = -100) -> dict[str, list[str]]:
        """Return the facts about units. written: when their file was, in seconds from now."""
        self.now = self.file.stat().st_ctime - written
        usual = {"LoadState": "loaded", "ActiveState": "active", "CanReload": "no"}
        blocks = ("\n".join(f"{key}={value}" for key, value in {**usual, **state}.items()) for state in states)
        program = self.folder / "systemctl"
        program.write_text("#!/bin/sh\ncat <<E\n" + "\n\n".join(blocks) + "\nE\n")
        program.chmod(0o755)
        return pi_facts.units({"other.service": [], names: [str(self.file), f"{self.folder}/none-*"]})


def ago(program: int = 0, change: int = 0) -> dict[str, str]:
    """Return the properties of a unit that started, and changed, so many seconds ago; 0: never."""
    times = {pi_facts.START: program, pi_facts.CHANGE: change}
    return {name: str((1000 - seconds) * 1_000_000 if seconds else 0) for name, seconds in times.items()}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("written", "state", "is_stale"),
    [
        (-100, ago(200, 200), True),  # a run was interrupted between the change and the restart
        (-100, ago(50, 50), False),
        (+100_000, ago(200, 200), False),  # since booting, the clock is in the past
        (-100, ago(), True),  # it never ran
        (-100, ago(0, 50), False),  # a swap, which has no program
        (-100, ago(130, 70), True),  # a notebook server answers only a minute after it starts,
        (-100, {**ago(130, 70), "CanReload": "yes"}, False),  # but this one has read its settings again
    ],
)
def test_units_with_settings_that_are_not_in_effect_yet_are_found(
    systemd: Systemd, written: int, state: dict[str, str], is_stale: bool
) -> None:
    found = systemd.ask("a.service", {"Id": "a.service", **state}, written=written)
    assert (found["running"], found["stale"]) == (["a.service"], ["a.service"] if is_stale else [])


def test_a_pattern_stands_for_each_matching_unit_that_systemd_knows(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = systemd.ask(
        "a@*.service",
        {"Id": "other.service", "LoadState": "not-found"},
        {"Id": "a@1.service", "UnitFileState": "enabled", **ago(9)},
        {"Id": "a@2.service", "UnitFileState": "disabled", "ActiveState": "failed", **ago(300)},
        {"Id": "a@3.service", "UnitFileState": "masked", "LoadState": "masked", "ActiveState": "inactive", **ago()},
        {"Id": "a@4.service", "UnitFileState": "masked", "LoadState": "masked", **ago()},
    )
    assert found == {
        "running": ["a@1.service", "a@4.service"],
        "enabled": ["a@1.service"],
        "masked": ["a@3.service", "a@4.service"],
        "stale": ["a@2.service"],
    }
    monkeypatch.setattr(pi_facts.Path, "is_dir", lambda _: False)  # as while an image is built
    assert not any(systemd.ask("a.service", {"Id": "a.service", **ago(200)}).values())


def test_a_link_has_its_own_age_and_not_its_targets(tmp_path: Path) -> None:
    """A virtual environment's stamp is a link to the interpreter, which Debian's updates replace."""
    (tmp_path / "link").symlink_to("/proc/self/stat")
    assert pi_facts.changed([f"{tmp_path}/link"]) == (tmp_path / "link").lstat().st_ctime


def test_a_path_is_described_in_a_word_or_two(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "folder").mkdir(mode=0o755)
    os.mkfifo(tmp_path / "other")
    for name in ("line\nbreak", "é"):  # of these a Pi says nothing
        (tmp_path / name).touch()
    found = pi_facts.files([f"{tmp_path}/*", f"{tmp_path}/file", "/nowhere/*"])
    assert {path.removeprefix(f"{tmp_path}/"): state_of(Path(path)) for path in found} == {
        "file": "0640 a9993e364706816aba3e25717850c26c9cd0d89d",  # FIPS 180
        "link": "link",
        "broken": "broken",
        "folder": "0755 folder",
        "other": "other",
    }
    assert state_of(tmp_path / "nothing") == "other"


def test_a_pis_host_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_facts.platform, "node", lambda: "pi-01")
    monkeypatch.setattr(pi_facts, "ETC", tmp_path)
    for hostname, hosts, names in (
        ("pi-01\n", "127.0.0.1 localhost\n127.0.1.1\tpi-01\n", ["pi-01"]),
        ("raspberrypi\n", "127.0.1.1\tpi-01\n", ["pi-01", "raspberrypi"]),
        ("$(id)\n", "127.0.0.1 localhost\n", ["", "pi-01"]),
    ):
        (tmp_path / "hostname").write_text(hostname)
        (tmp_path / "hosts").write_text(hosts)
        assert pi_facts.host_names() == names
