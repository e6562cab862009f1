"""Who listens where apt would ask the control node for packages: a student's program is not asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.system import listeners
from ansible_collections.mynn.pi.plugins.modules import pi_facts


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of something that answers as apt-cacher-ng does."""
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


def test_only_who_is_trusted_is_asked_for_packages(port: int) -> None:
    me = os.geteuid()
    assert listeners()[port] == {me}
    assert pi_facts.apt_proxy(port, {me}, {me, 4711}) == f"http://127.0.0.1:{port}"
    assert pi_facts.apt_proxy(port, {me}, {4711}) == ""


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert port not in listeners()
    assert pi_facts.apt_proxy(port, set(), {0}) == pi_facts.apt_proxy(None, set(), {0}) == ""


def test_the_account_that_logged_in_is_trusted() -> None:
    assert pi_facts.user_ids("root", "nobody-of-this-name") == {0}


@pytest.mark.parametrize("answer", [0, 1])
def test_a_kernel_that_cannot_filter_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\n[ "$*" = "list tables" ] || exit 2\nexit {answer}\n', encoding="utf-8")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pi_facts.nft() is (answer == 0)


def test_a_port_is_open_without_a_connection(tmp_path: Path) -> None:
    """Of Linux's table, the ports where somebody listens, not those where somebody is connected."""
    table = tmp_path / "net"
    table.mkdir(parents=True)
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    rest = "0:0 00:00000000 00000000"
    (table / "tcp").write_text(
        f"{head}   0: 00000000:22B8 00000000:0000 0A {rest} 1000\n   1: 0100007F:0016 0100007F:8888 01 {rest} 0\n"
    )
    (table / "tcp6").write_text(f"{head}   0: {'0' * 32}:22B9 {'0' * 32}:0000 0A {rest} 0\n")
    assert listeners(tmp_path) == {8888: {1000}, 8889: {0}}


@pytest.mark.parametrize(
    ("written", "noted", "ago", "is_stale"),
    [
        (-100, -200, 200, True),  # a run was cut off between the change and the restart
        (-100, -50, 50, False),
        (-100, -100_000, 50, False),  # at this boot, the clock was in the past until it was set
        (+100_000, -200, 200, False),  # and it is so still
        (-100, -95, 110, False),  # the clock was set back since
        (-100, None, 0, True),  # it never ran
    ],
)
def test_settings_that_are_not_in_effect_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int, noted: int | None, ago: int, is_stale: bool
) -> None:
    settings = tmp_path / "settings"
    settings.touch()
    now = settings.stat().st_ctime - written
    monkeypatch.setattr(
        pi_facts, "time", SimpleNamespace(time=lambda: now, clock_gettime=lambda _: 1000, CLOCK_MONOTONIC=1)
    )
    monkeypatch.setattr(pi_facts.Path, "is_dir", lambda _: True)
    (tmp_path / "systemctl").write_text(
        "#!/bin/sh\necho LoadState=loaded\n"
        f"echo StateChangeTimestamp={'' if noted is None else f'@{now + noted:.0f}'}\n"
        f"echo StateChangeTimestampMonotonic={0 if noted is None else (1000 - ago) * 1_000_000}\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pi_facts.stale({"a.service": str(settings)}) == (["a.service"] if is_stale else [])
