"""A Pi's facts: which programs listen, which units run, which settings are not in effect yet, and its names."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.system import listeners
from ansible_collections.mynn.pi.plugins.modules import pi_facts


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers as apt-cacher-ng does."""
    family = socket.AF_INET6 if request.param == "::" else socket.AF_INET
    with socket.create_server((request.param, 0), family=family, dualstack_ipv6=request.param == "::") as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.0 406 usage\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_apt_uses_a_proxy_only_if_a_trusted_account_runs_it(port: int) -> None:
    me = os.geteuid()
    assert listeners()[port] == {me}
    assert pi_facts.apt_proxy(port, {me}, {me, 4711}) == f"http://127.0.0.1:{port}"
    assert pi_facts.apt_proxy(port, {me}, {4711}) == ""


def test_without_a_listener_there_is_no_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert port not in listeners()
    assert pi_facts.apt_proxy(port, set(), {0}) == pi_facts.apt_proxy(None, set(), {0}) == ""


def test_the_account_that_ansible_logged_in_as_is_trusted() -> None:
    assert pi_facts.user_ids("root", "nobody-of-this-name") == {0}


@pytest.mark.parametrize("answer", [0, 1])
def test_a_missing_packet_filter_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\n[ "$*" = "list tables" ] || exit 2\nexit {answer}\n', encoding="utf-8")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pi_facts.nft() is (answer == 0)


def test_listening_ports_are_read_from_linuxs_table(tmp_path: Path) -> None:
    """Connections, which are in the same table, are left out."""
    table = tmp_path / "net"
    table.mkdir(parents=True)
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    rest = "0:0 00:00000000 00000000"
    (table / "tcp").write_text(
        f"{head}   0: 00000000:22B8 00000000:0000 0A {rest} 1000\n   1: 0100007F:0016 0100007F:8888 01 {rest} 0\n"
    )
    (table / "tcp6").write_text(f"{head}   0: {'0' * 32}:22B9 {'0' * 32}:0000 0A {rest} 0\n")
    assert listeners(tmp_path) == {8888: {1000}, 8889: {0}}


@dataclass
class Units:
    """A stand-in for systemd, and the file with the units' settings."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.file = self.folder / "settings"
        self.file.touch()
        self.monkeypatch.setattr(pi_facts.Path, "is_dir", lambda _: True)
        self.monkeypatch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")

    def ask(
        self, names: str, *states: Mapping[str, object], written: float = -100, uptime: int = 1000
    ) -> tuple[list[str], list[str]]:
        """Return the running and the stale units. written: when the file was, in seconds from now."""
        found = self.facts(names, *states, written=written, uptime=uptime)
        return found["running"], found["stale"]

    def facts(
        self, names: str, *states: Mapping[str, object], written: float = -100, uptime: int = 1000
    ) -> dict[str, list[str]]:
        """Return all facts about units."""
        now = self.file.stat().st_ctime - written
        clock = SimpleNamespace(time=lambda: now, clock_gettime=lambda _: uptime, CLOCK_BOOTTIME=7)
        self.monkeypatch.setattr(pi_facts, "time", clock)
        (self.folder / "systemctl").write_text("#!/bin/sh\ncat <<E\n" + "\n\n".join(
            "\n".join(f"{key}={value}" for key, value in self.properties(state, now, uptime)) for state in states
        ) + "\nE\n")  # fmt: skip
        (self.folder / "systemctl").chmod(0o755)
        return pi_facts.units({"other.service": [], names: [str(self.file), f"{self.folder}/none-*"]})

    def properties(self, state: Mapping[str, object], now: float, uptime: int) -> Iterator[tuple[str, object]]:
        """Yield a unit's properties; a pair is an event's recorded time, from now, and how long ago it was."""
        yield from {"LoadState": "loaded", "ActiveState": "active", "CanReload": "no"}.items()
        for key, value in state.items():
            if not isinstance(value, tuple):
                yield key, value
                continue
            recorded, ago = value
            yield key, "" if recorded is None else f"@{now + recorded:.0f}"
            yield f"{key}Monotonic", 0 if recorded is None else (uptime - ago) * 1_000_000


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Units:
    """The stand-in for systemd."""
    return Units(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("written", "recorded", "ago", "is_stale"),
    [
        (-100, -200, 200, True),  # a run was interrupted between the change and the restart
        (-100, -50, 50, False),
        (-100, -100_000, 50, False),  # after booting, the clock was in the past until it was set
        (+100_000, -200, 200, False),  # and it still is
        (-100, -95, 110, False),  # the clock has been set back since
        (-100, None, 0, True),  # it never ran
    ],
)
def test_units_with_settings_that_are_not_in_effect_yet_are_found(
    systemd: Units, written: int, recorded: int | None, ago: int, is_stale: bool
) -> None:
    state: dict[str, object] = {"Id": "dev-a.swap", "StateChangeTimestamp": (recorded, ago)}
    found = systemd.ask("dev-a.swap", state, written=written)
    assert found == (["dev-a.swap"], ["dev-a.swap"] if is_stale else [])


@pytest.mark.parametrize(("can_reload", "is_stale"), [("yes", False), ("no", True)])
def test_settings_are_read_when_the_program_starts_or_reloads(systemd: Units, can_reload: str, is_stale: bool) -> None:
    """A notebook server answers only a minute after it starts."""
    times = {"ExecMainStartTimestamp": (-130, 130), "StateChangeTimestamp": (-70, 70)}
    found = systemd.ask("a.service", {"Id": "a.service", "CanReload": can_reload, **times})
    assert found[1] == (["a.service"] if is_stale else [])


def test_a_pattern_stands_for_each_matching_unit_that_systemd_knows(systemd: Units) -> None:
    at = {
        number: {"ExecMainStartTimestamp": (number, -number), "StateChangeTimestamp": (0, 0)} for number in (-9, -300)
    }
    idle = {"Id": "a@idle.service", "ActiveState": "inactive", **at[-300]}
    gone = {"Id": "other.service", "LoadState": "not-found"}
    found = systemd.ask("a@*.service", gone, idle, {"Id": "a@x.service", **at[-9]}, {"Id": "a@y.service", **at[-300]})
    assert found == (["a@x.service", "a@y.service"], ["a@idle.service", "a@y.service"])
    assert systemd.ask("a@*.service", written=-9) == ([], [])


def test_no_unit_runs_while_an_image_is_built(systemd: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_facts.Path, "is_dir", lambda _: False)
    assert systemd.ask("a.service", {"Id": "a.service"}) == ([], [])


def test_a_link_has_its_own_age_and_not_its_targets(systemd: Units) -> None:
    """A virtual environment's stamp is a link to the interpreter, which Debian's updates replace."""
    link = systemd.folder / "none-1"
    link.symlink_to("/proc/self/stat")
    assert pi_facts.changed([str(link)]) == link.lstat().st_ctime
    assert pi_facts.changed([f"{systemd.folder}/nothing"]) == 0


def test_files_are_found_by_patterns(tmp_path: Path) -> None:
    for name in ("b", "a b", "line\nbreak", "é"):
        (tmp_path / name).touch()
    assert pi_facts.files([f"{tmp_path}/*", f"{tmp_path}/b", "/nowhere/*"]) == [f"{tmp_path}/a b", f"{tmp_path}/b"]


def test_enabled_and_masked_units_are_found(systemd: Units) -> None:
    never = {"StateChangeTimestamp": (0, 0)}
    found = systemd.facts(
        "a@*.service",
        {"Id": "a@1.service", "UnitFileState": "enabled", **never},
        {"Id": "a@2.service", "UnitFileState": "disabled", "ActiveState": "failed", **never},
        {"Id": "a@3.service", "UnitFileState": "masked", "LoadState": "masked", "ActiveState": "inactive", **never},
        {"Id": "a@4.service", "UnitFileState": "masked", "LoadState": "masked", **never},
    )
    assert found["enabled"] == ["a@1.service"]
    assert found["masked"] == ["a@3.service", "a@4.service"]
    assert found["running"] == ["a@1.service", "a@4.service"]


def test_a_path_is_described_in_a_word_or_two(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "folder").mkdir(mode=0o755)
    os.mkfifo(tmp_path / "other")
    assert {path.name: pi_facts.state(path) for path in tmp_path.iterdir()} == {
        "file": "0640 a9993e364706816aba3e25717850c26c9cd0d89d",  # FIPS 180
        "link": "link",
        "broken": "broken",
        "folder": "0755 folder",
        "other": "other",
    }
    assert pi_facts.state(tmp_path / "nothing") == "other"


@pytest.mark.parametrize(
    ("hostname", "hosts", "names"),
    [
        ("pi-01\n", "127.0.0.1 localhost\n127.0.1.1\tpi-01\n", ["pi-01"]),
        ("pi-01\n", "127.0.0.1 localhost\n127.0.1.1 raspberrypi\n", ["pi-01", "raspberrypi"]),
        ("raspberrypi\n", "127.0.1.1\tpi-01\n", ["pi-01", "raspberrypi"]),
        ("pi-01\n", "127.0.0.1 localhost\n", ["", "pi-01"]),
        ("pi-01\n", "127.0.1.1\tpi-01 # mine\n", ["", "pi-01"]),
        ("$(id)\n", None, ["", "pi-01"]),
        ("pi-01\n", "".join(f"127.0.1.1 pi-{number}\n" for number in range(99)), None),
    ],
)
def test_a_pis_host_names_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostname: str, hosts: str | None, names: list[str] | None
) -> None:
    (tmp_path / "hostname").write_text(hostname)
    if hosts is not None:
        (tmp_path / "hosts").write_text(hosts)
    monkeypatch.setattr(pi_facts.platform, "node", lambda: "pi-01")
    monkeypatch.setattr(pi_facts, "ETC", tmp_path)
    found = pi_facts.host_names()
    assert found == names or (names is None and len(found) == 10)


def test_dpkgs_architecture_is_that_of_the_package_dpkg() -> None:
    stanza = "Package: dpkg\nStatus: install ok installed\nArchitecture: armel\n"
    assert pi_facts.dpkg_architecture([pi_facts.Package(stanza)]) == "armel"
