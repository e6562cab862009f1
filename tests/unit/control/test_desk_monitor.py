"""The Pis are asked over SSH, each by itself, for what the desk shows."""

import asyncio
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from mynn import wall
from mynn_control.desk import monitor
from mynn_control.desk.connections import connections
from mynn_control.desk.monitor import Answers, Monitor
from mynn_control.desk.runs import Fleet
from mynn_server.status_stream import VERSION
from tests.support.desk import running
from tests.support.playbook_run import descendants
from tests.support.ports import free_port
from tests.support.programs import DEBIAN_12

ME = pwd.getpwuid(os.geteuid()).pw_name
SUDO = """\
#!/bin/sh
while [ "$1" != -u ]; do prompt=$1; shift; done; shift 2
for try in 1 2 3; do
    printf %s "$prompt" >&2
    read -r given && [ "$given" = 'open "sesame' ] && exec "$@"
done
"""
HELLO = f"echo '{{\"mynn\": {VERSION}}}'; read -r asked\n"


def program(path: Path, text: str) -> Path:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Class:
    """A class of Pis that are this computer. program: instead of mynn_server.status_stream, for the shell."""

    def __init__(self, folder: Path, program_of_pi: str = "", /, **settings: Any) -> None:
        self.folder, self.inventory = folder, folder / "inventory.json"
        settings = {"ansible_connection": "local", "ansible_become": False} | settings
        venv = program(folder / "venv/bin/python", program_of_pi).parents[1] if program_of_pi else Path(sys.prefix)
        student = {"name": ME, "url": "http://pi", "folder": str(folder), "hash_file": f"{folder}/hash"}
        self.settings = {"__python_venv": str(venv), "classroom_students": [student], "ansible_user": ME} | settings
        self.list("pi-01")
        self.answers = Answers()
        self.monitor = Monitor(Fleet(self.inventory), "", [self.inventory], self.answers)

    def list(self, *pis: str) -> None:
        """Write the inventory."""
        group = {"hosts": {pi: {} for pi in pis}, "vars": self.settings}
        self.inventory.write_text(json.dumps({"all": {"children": {"pis": group}}}))

    def show(self, text: str) -> None:
        """Have a student show something on the wall."""
        (self.folder / wall.FILE).write_text(text)

    def ask(self, *steps: Callable[[], object]) -> None:
        """Ask until each step returned what is true, one after the other."""
        left, end = [*steps], time.monotonic() + 600
        ended = threading.Event()

        def update() -> None:
            self.answers.update()
            if left and left[0]():
                left.pop(0)
            if (not left or time.monotonic() > end) and not ended.is_set():
                ended.set()  # a second interrupt would not wait for anything
                os.kill(os.getpid(), signal.SIGINT)

        asyncio.run(self.monitor.run(update, lambda: None))
        assert left == []

    def lost(self, why: str, pi: str = "pi-01") -> Callable[[], bool]:
        """Return whether a Pi is lost for a reason."""
        return lambda: why in (said := self.answers.pis[pi]["lost"] or "") and bool(why) == bool(said)

    def shows(self, text: str, pi: str = "pi-01", lost: str = "") -> Callable[[], bool]:
        """Return whether a student shows this, and the Pi answers, or is lost for a reason."""
        return lambda: self.lost(lost, pi)() and self.answers.shown("wall")[pi] == {ME: text}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "RETRY", 0.1)
    monkeypatch.setattr(monitor, "RETRY_SET_UP", 0.1)


@contextmanager
def ssh_server(folder: Path, port: int) -> Iterator[int]:
    """A Pi's SSH server, which takes the key in the folder."""
    command = f"dropbear -F -D . -r server -P pid -p 127.0.0.1:{port}".split()  # /tmp is everybody's, so it looks in .
    with subprocess.Popen(command, cwd=folder, env={"PATH": f"{os.environ['PATH']}:/usr/sbin"}) as server:
        try:
            yield server.pid
        finally:
            for process in descendants(server.pid):
                os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(DEBIAN_12, reason="dropbear of Debian 12 takes keys from the home only: run it on Debian 13")
def test_a_pi_is_followed_over_ssh_and_asked_again_after_it_died(tmp_path: Path) -> None:
    """First it falls silent, then it takes no connections, and then it comes back."""
    key, port = tmp_path / "key", free_port()
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    for command in (make, ["dropbearkey", "-t", "ed25519", "-f", f"{tmp_path}/server"]):
        subprocess.run(command, check=True, capture_output=True)
    key.with_suffix(".pub").rename(tmp_path / "authorized_keys")
    pi = Class(
        tmp_path,
        ansible_connection="ssh",
        ansible_host="127.0.0.1",
        ansible_port=port,
        ansible_ssh_private_key_file=str(key),
        ansible_ssh_common_args=f'-F none -o UserKnownHostsFile="{tmp_path}/known"',
        ansible_ssh_args="-o ServerAliveInterval=1 -o ServerAliveCountMax=1",
    )
    pi.show("first")
    with ExitStack() as first, ExitStack() as second:
        server = first.enter_context(ssh_server(tmp_path, port))

        def fall_silent() -> bool:
            for process in descendants(server):
                os.kill(process, signal.SIGSTOP)
            return True

        def die() -> bool:
            first.close()
            return True

        def come_back() -> bool:
            pi.show("second")
            second.enter_context(ssh_server(tmp_path, port))
            return True

        pi.ask(
            *(pi.shows("first"), fall_silent, pi.lost("not responding"), die, pi.lost("Connection refused")),
            *(pi.shows("first", lost="Connection refused"), come_back, pi.shows("second")),
        )


def test_the_connection_to_a_pi_is_that_of_a_run(tmp_path: Path) -> None:
    """As ssh itself sees it: a silent Pi is given up after 15 s, and apt's tunnel is left to the playbooks."""
    (tmp_path / "inventory.ini").write_text(
        "[pis]\npi-01 ansible_host=127.0.0.1 ansible_port=2222 ansible_ssh_extra_args='-R 1:host:2'\n"
        "[pis:vars]\nansible_user={{ lookup('file', 'site.yml') and 'pi' }}\n"  # found beside the playbooks
        f"ansible_private_key_file={tmp_path}/key\nansible_become_password=sesame\n"
        "ansible_ssh_common_args='-F none -o ProxyJump=jump@host:2223'\n"
    )
    (tmp_path / "key").touch()
    [connection] = connections(Fleet(tmp_path / "inventory.ini"))
    command = [connection.argv[0], "-G", *connection.argv[1:-1]]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for wanted in (
        *("hostname 127.0.0.1", "port 2222", "user pi", f"identityfile {tmp_path}/key", "proxyjump jump@host:2223"),
        *("serveraliveinterval 5", "serveralivecountmax 2", "connecttimeout 10", "stricthostkeychecking accept-new"),
        *("clearallforwardings yes", "controlmaster false", "batchmode yes", "requesttty false"),
    ):
        assert wanted in said
    assert connection.argv[-1].startswith("LC_ALL=C sudo -H -S -p ")
    assert connection.password == "sesame" and "sesame" not in f"{connection} {connection.argv}"


@pytest.mark.parametrize(
    ("program_of_pi", "why"),
    [
        ("yes | tr -d '\\n'", "its answer is invalid (a line is too long)"),
        ("yes", "its answer is invalid (too many lines)"),
        ("yes >&2", "it prints without end"),
        (f"{HELLO}yes", "its answer is invalid (malformed)"),
        (f"{HELLO}yes '[' | tr -d '\\n'", "its answer is invalid (a line is too long)"),
        (f'{HELLO}echo \'{{"wall": {{"root ": "x"}}}}\'', "its answer is invalid (wall)"),
        (f'{HELLO}echo \'{{"wall": {{"{ME}": 5}}}}\'', f"its answer is invalid (wall {ME})"),
        (f'{HELLO}echo \'{{"wall": {{"{ME}": "\\ud800"}}}}\'', f"its answer is invalid (wall {ME})"),
        ("echo '{\"mynn\": 0}'; sleep 1000", monitor.NOT_SET_UP),
        ("echo 'sudo: python: command not found' >&2; exit 1", monitor.NOT_SET_UP),
        ("printf 'no\\033[2J route\\n' >&2", r"no\x1b[2J route"),
        ("exit", "it ended by itself"),
    ],
)
def test_what_is_wrong_with_a_pi_is_one_line(program_of_pi: str, why: str, tmp_path: Path) -> None:
    pi = Class(tmp_path, f"#!/bin/sh\n{program_of_pi}\n")
    pi.ask(pi.lost(why))


def test_an_ssh_that_is_cancelled_while_it_starts_ends_with_its_children() -> None:
    connection = Mock(argv=("sh", "-c", "sh -c 'echo begun; sleep 1000; true'; true"))

    async def cancelled(ticks: int) -> bool:
        starting = asyncio.create_task(monitor._start_ssh(connection))
        for _ in range(ticks):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting], timeout=60)
        return starting.cancelled()

    assert all(asyncio.run(cancelled(ticks)) for ticks in (1, 2, 3))


def test_what_a_pi_that_is_off_has_shown_stays(tmp_path: Path) -> None:
    answers = Answers()
    answers.queue("pi-01", place=0, students={"ada": "", "bo": ""}, lost=None)
    answers.queue("pi-01", lost="", shown={"class": {"ada": "a"}, "wall": {"bo": "b"}})
    answers.queue("pi-01", lost="", shown={"wall": {"ada": "w", "bo": None}})
    assert answers.update() and not answers.update() and answers.answering == 1
    answers.queue("pi-01", lost="no route")
    assert answers.update() and answers.answering == 0
    assert (answers.shown("class"), answers.shown("wall")) == ({"pi-01": {"ada": "a"}}, {"pi-01": {"ada": "w"}})


def test_sudo_gets_the_password_that_the_teacher_gives_and_no_command_has_it(tmp_path: Path) -> None:
    sudo = program(tmp_path / "sudo", SUDO)
    pi = Class(tmp_path, ansible_become=True, ansible_become_exe=str(sudo))
    pi.show("first")
    commands = list[bytes]()

    def give(password: str) -> Callable[[], bool]:
        def step() -> bool:
            if wanted := pi.monitor.trouble == monitor.PASSWORD_WANTED:
                pi.monitor.set_password(password)
            return wanted

        return step

    def look() -> bool:
        for process in descendants(os.getpid())[1:]:
            commands.extend(Path(f"/proc/{process}/{file}").read_bytes() for file in ("cmdline", "environ"))
        return True

    pi.ask(give("wrong"), give('open "sesame'), pi.shows("first"), look)
    assert commands and not any(b"sesame" in command for command in commands)


def test_a_pi_that_is_new_in_the_list_is_asked_and_the_others_are_not_asked_anew(tmp_path: Path) -> None:
    pi = Class(tmp_path)
    pi.show("first")
    others = descendants(os.getpid())  # of tests before
    at_first, seen = list[int](), list[int]()

    def add() -> bool:
        at_first.extend(set(descendants(os.getpid())) - set(others))
        pi.list("pi-01", "pi-02")
        return True

    def remove() -> bool:
        seen.extend(set(descendants(os.getpid())) - set(others))
        pi.inventory.write_text("{")
        return True

    def empty() -> bool:
        if pi.monitor.trouble:
            pi.list()
        return bool(pi.monitor.trouble)

    pi.ask(
        *(pi.shows("first"), add, pi.shows("first", "pi-02"), remove, empty),
        *(lambda: pi.monitor.trouble == monitor.NO_PI, lambda: not pi.answers.pis),
    )
    assert at_first and set(at_first) < set(seen)
    assert running(seen) == []
