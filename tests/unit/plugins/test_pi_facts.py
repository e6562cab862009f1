"""A Pi's facts: which programs listen, which units run, which settings are not in effect yet, and its names."""

import os
import socket
import threading
import time
from pathlib import Path

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


@pytest.mark.parametrize(
    ("written", "started", "changed", "can_reload", "is_stale"),
    [
        (100, 200, 200, "no", True),  # a run was interrupted between the change and the restart
        (100, 50, 50, "no", False),
        (-100_000, 200, 200, "no", False),  # since booting, the clock is in the past
        (100, None, None, "no", True),  # it never ran
        (100, None, 50, "no", False),  # a swap, which has no program
        (100, 130, 70, "no", True),  # a notebook server answers only a minute after it starts,
        (100, 130, 70, "yes", False),  # but this one has read its settings again
    ],
)
def test_a_unit_with_settings_that_are_not_in_effect_yet_is_found(
    written: int, started: int | None, changed: int | None, can_reload: str, is_stale: bool
) -> None:
    """All times are in seconds ago."""
    state = {"CanReload": can_reload}
    for name, seconds in ((pi_facts.START, started), (pi_facts.CHANGE, changed)):
        state[name] = str(int((time.clock_gettime(time.CLOCK_MONOTONIC) - seconds) * 1e6)) if seconds else "0"
    assert pi_facts.is_stale(state, time.time() - written) == is_stale


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
