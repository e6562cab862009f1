"""Who listens where apt would ask the control node for packages: a student's program is not asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.programs import ROOT, load


@pytest.fixture(scope="module")
def pi_facts() -> ModuleType:
    module: ModuleType = load(ROOT / "roles/system/library/pi_facts.py")
    return module


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


def test_only_who_is_trusted_is_asked_for_packages(pi_facts: ModuleType, port: int) -> None:
    me = os.geteuid()
    assert pi_facts.listeners(port) == {me}
    assert pi_facts.apt_proxy(port, {me, 4711}) == f"http://127.0.0.1:{port}"
    assert pi_facts.apt_proxy(port, {4711}) == ""


def test_nobody_listens(pi_facts: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert pi_facts.listeners(port) == set()
    assert pi_facts.apt_proxy(port, {0}) == pi_facts.apt_proxy(None, {0}) == ""


def test_the_account_that_logged_in_is_trusted(pi_facts: ModuleType) -> None:
    assert pi_facts.user_ids("root", "nobody-of-this-name") == {0}


@pytest.mark.parametrize("answer", [0, 1])
def test_a_kernel_that_cannot_filter_is_noticed(
    pi_facts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\n[ "$*" = "list tables" ] || exit 2\nexit {answer}\n', encoding="utf-8")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pi_facts.nft() is (answer == 0)
