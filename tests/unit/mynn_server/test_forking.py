"""Kernels that are forked from a process with the libraries loaded, on a server with the role jupyter's settings."""

import asyncio
import json
import os
import sched
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from mynn_server import forking
from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.classroom import until
from tests.support.jupyter_server import Server

PROGRAM = "mynn_server.kernel_parent"
# Prints what a kernel can find out about itself.
ABOUT = """
import gc, json, os, random, numpy as np
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "pid": os.getpid(), "parent": os.getppid(),
    "files": [os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd")
              if os.path.exists(f"/proc/self/fd/{fd}")],
    "folder": os.getcwd(), "environment": dict(os.environ), "session": os.getsid(0) == os.getpid(), "nice": os.nice(0),
    "signals": {name: status[name] for name in ("SigBlk", "SigIgn", "SigCgt")}, "gc": gc.isenabled(),
    "score": open("/proc/self/oom_score_adj").read(), "readable": os.access("/proc/self/mem", os.R_OK),
    "random": [random.random(), float(np.random.random()), float(np.random.default_rng().random())],
    "frozen": gc.get_freeze_count() > 0,
}))
"""
SHARE = "import os; os.makedirs('{}/shared')"
# Start programs, each in a session of its own, with a number in their command lines: a child, one whose own parent has
# ended, and one that is a new process all the time.
BACKGROUND = """
import subprocess, sys
start = "import subprocess; subprocess.Popen(['sleep', '{0}'], start_new_session=True)"
exec(start)
subprocess.run([sys.executable, "-I", "-c", start])
"""
AGAIN = """
again = "import os\\nwhile True:\\n  if os.fork(): os._exit(0)\\n  os.setsid()"
subprocess.Popen([sys.executable, "-I", "-c", again, "{0}"])
"""
# What a forked kernel and one that was started have in common.
SAME = ("session", "nice", "score", "readable", "signals", "gc", "folder")


@pytest.fixture
def parent(server: Server) -> int:
    """Open the sign-in page, as a browser does; return the process that kernels are then forked from."""
    server.client().ask("GET", "/login", headers={"Accept": "text/html"})
    until(lambda: bool(parents(server)))
    return parents(server)[0]


def children_of(process: int, command_line: str = ".") -> set[int]:
    """Return the process ids of a process's children."""
    command = ["pgrep", "--parent", str(process), "--full", command_line]
    return {int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()}


def parents(server: Server) -> list[int]:
    """Return the process ids of the parents that the server has: none or one."""
    found = children_of(server.process.pid, PROGRAM)
    # Forked kernels have the same command line, but only the parent asks to be killed first when memory runs out.
    return [pid for pid in found if Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"]


def about(kernel: Kernel) -> dict[str, Any]:
    """Return what a kernel finds out about itself."""
    output = kernel.run(ABOUT)
    assert not output.error
    return dict(json.loads(output.text))


def is_forked(kernel: Kernel) -> bool:
    """Whether a kernel was forked: only then does it have frozen objects."""
    return bool(about(kernel)["frozen"])


def reconnect(student: NotebookServer, kernel: Kernel) -> Kernel:
    """Return a connection to a kernel that was restarted."""
    kernel.socket.close()
    return Kernel(kernel.identity, student.connect(kernel.identity))


def test_a_lesson_has_nothing_left_to_import(server: Server, parent: int) -> None:
    """On a Pi Zero, each import takes its time. Widgets work, although there was no kernel when they were imported."""
    with server.student().kernel() as kernel:
        assert is_forked(kernel)
        kernel.run("import sys; before = set(sys.modules)")
        output = kernel.run("import matplotlib.pyplot as plt, mynn.lesson, mynn.plotting\nplt.plot([1, 2, 3]);")
        assert (output.error, len(output.pictures)) == ("", 1)
        more = kernel.run("print(*{name.split('.')[0] for name in set(sys.modules) - before})").text
        assert not {"numpy", "PIL", "matplotlib", "mynn"} & set(more.split())
        field = kernel.run("import ipywidgets; print(ipywidgets.IntText().comm.kernel is get_ipython().kernel)")
        assert field.text == "True\n"


def test_a_forked_kernel_cannot_read_its_parents_memory(server: Server, parent: int) -> None:
    """Nor the server's. By writing there, it could change the kernels that come later."""
    with server.student().kernel() as kernel:
        assert is_forked(kernel)
        for process in (server.process.pid, parent):
            for name in ("environ", "mem", "maps", "fd/0", "auxv"):
                assert kernel.run(f"open('/proc/{process}/{name}', 'rb')").error.startswith("PermissionError"), name
        assert "Permission" in kernel.run(f"open('/proc/{parent}/mem', 'r+b')").error
        assert kernel.run("import os; print('argon2' in str(os.environ))").text == "False\n"


def test_two_kernels_started_at_once_have_different_random_numbers(server: Server, parent: int) -> None:
    student = server.student()
    with ThreadPoolExecutor(2) as both, ExitStack() as kernels:
        first, second = (about(kernel) for kernel in both.map(lambda _: kernels.enter_context(student.kernel()), "ab"))
    assert first["frozen"] and second["frozen"] and first["pid"] != second["pid"]
    assert not set(first["random"]) & set(second["random"])


def test_a_forked_kernel_can_be_interrupted_restarted_and_killed(server: Server, parent: int) -> None:
    """Each time a new one is forked, without the old one's variables, and nothing is left behind."""
    student = server.student()
    with student.kernel() as kernel, ThreadPoolExecutor(1) as other:
        cell = other.submit(kernel.run, "import time\nkept = 1\nopen('on', 'w')\nwhile True: time.sleep(1)")
        until((server.home / "notebooks/on").exists)
        student.ask("POST", f"/api/kernels/{kernel.identity}/interrupt").raise_for_status()
        assert cell.result().error.startswith("KeyboardInterrupt")
        pids = [about(kernel)["pid"]]
        student.ask("POST", f"/api/kernels/{kernel.identity}/restart").raise_for_status()
        kernel = reconnect(student, kernel)
        lost = kernel.run("kept")
        assert lost.error == "NameError: name 'kept' is not defined" and "There is no kept yet" in lost.text
        pids.append(about(kernel)["pid"])
        before, shared = children_of(server.process.pid), server.home.parent / "tmp/shm"
        kernel.run(SHARE.format(shared))
        os.kill(pids[1], signal.SIGKILL)
        until(lambda: bool(children_of(server.process.pid) - before))
        kernel = reconnect(student, kernel)
        assert is_forked(kernel) and not shared.exists(), "What a dead program leaves in shared memory stays."
        pids.append(about(kernel)["pid"])
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert len(set(pids)) == 3 and student.get("/api/kernels") == []


@pytest.mark.parametrize("how", ["ended", "restarted", "killed"])
@pytest.mark.parametrize("forked", [True, False])
def test_what_a_lesson_left_in_the_background_ends_with_it(
    server: Server, request: pytest.FixtureRequest, forked: bool, how: str
) -> None:
    """However it ends, and only then. Another lesson's programs go on."""
    if forked:
        request.getfixturevalue("parent")
    for parent in parents(server) * (not forked):
        os.kill(parent, signal.SIGKILL)
    mine, others = (f"3600.{os.getpid()}{forked:d}{number}" for number in (1, 2))
    student = server.student()
    with student.kernel() as other:
        other.run(BACKGROUND.format(others))
        with student.kernel() as kernel:
            kernel.run(BACKGROUND.format(mine) + AGAIN.format(mine))
            process = about(kernel)["pid"]
            assert is_forked(kernel) is forked and len(programs(mine)) >= 2
            if how == "restarted":
                student.ask("POST", f"/api/kernels/{kernel.identity}/restart").raise_for_status()
            elif how == "killed":
                os.kill(process, signal.SIGKILL)
            until(lambda: how == "ended" or not programs(mine))
        until(lambda: not programs(mine))
        assert len(programs(others)) == 2
    until(lambda: not programs(others))


def programs(text: str) -> set[int]:
    """Return the process ids of the programs with a text in their command lines."""
    command = ["pgrep", "--full", text.replace(".", "[.]")]
    return {int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()}


def test_a_kernel_can_be_ended_while_it_is_restarted(server: Server) -> None:
    """As by a pupil whose program has died, and who does not wait."""
    student = server.student()
    with ThreadPoolExecutor(1) as other, student.kernel() as kernel:
        before = Path(f"/proc/{about(kernel)['pid']}")
        other.submit(student.ask, "POST", f"/api/kernels/{kernel.identity}/restart")
        until(lambda: not before.exists())
    assert student.get("/api/kernels") == []


def test_without_a_parent_kernels_are_started_in_the_ordinary_way(server: Server, parent: int) -> None:
    """A forked kernel keeps running, and is like one that is started."""
    student = server.student()
    with student.kernel() as kernel:
        os.kill(parent, signal.SIGKILL)
        with student.kernel() as second:
            started = about(second)
            kernel.run(SHARE.format(server.home.parent / "tmp/shm"))
        assert (server.home.parent / "tmp/shm/shared").exists(), "What a program shares goes while it runs."
        forked = about(kernel)
    assert (forked["frozen"], started["frozen"]) == (True, False)
    assert forked["parent"] == server.process.pid  # so the server learns how it ended
    names = [{Path(file).name for file in kernel["files"]} - {"null", "pipe"} for kernel in (forked, started)]
    assert names[0] == names[1] and len(forked["files"]) <= len(started["files"]) + 1
    for name in SAME:
        assert (name, forked[name]) == (name, started[name])
    difference = forked["environment"].keys() ^ started["environment"].keys()
    assert difference <= {"PYDEVD_USE_FRAME_EVAL"}  # set while the debugger is imported
    assert server.in_home() == server.home_at_start


def test_a_parent_that_hangs_holds_up_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and the kernel is started in the ordinary way, as above."""
    monkeypatch.setattr(forking, "WARM_UP", 0.1)

    async def fork() -> forking.Forked | None:
        parent = forking.Parent()
        parent._start()
        [process] = children_of(os.getpid(), PROGRAM)
        os.kill(process, signal.SIGSTOP)
        return await parent.fork({})

    assert asyncio.run(fork()) is None and not children_of(os.getpid(), PROGRAM)


def test_the_parent_is_ended_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next page starts it again. While a kernel runs or memory is short, it is not; and a kernel keeps it."""
    now, parent, kernel = 0, forking.Parent(), Mock(has_process=True)
    monkeypatch.setattr(forking, "time", Mock(monotonic=lambda: now))
    timers = sched.scheduler(lambda: now)
    loop = Mock(call_later=lambda seconds, do, *arguments: timers.enter(seconds, 0, do, arguments))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)

    def parents_after(seconds: int) -> int:
        nonlocal now
        now += seconds
        timers.run(blocking=False)
        return len(children_of(os.getpid(), PROGRAM))

    parent.expect()
    counts = [parents_after(2), parents_after(2), parents_after(890), parents_after(100)]
    parent.expect()
    counts.append(parents_after(4))
    parent.kernels.add(kernel)
    counts.append(parents_after(2000))
    os.kill(children_of(os.getpid(), PROGRAM).pop(), signal.SIGKILL)
    until(lambda: not children_of(os.getpid(), PROGRAM))
    parent.expect()
    counts.append(parents_after(4))
    parent.kernels.clear()
    monkeypatch.setattr(forking, "memory", lambda: {"free": forking.LEAST_FREE - 1})
    parent.expect()
    counts.append(parents_after(4))
    monkeypatch.undo()
    assert counts == [0, 1, 1, 0, 1, 1, 0, 0] and asyncio.run(parent.fork({})) is None
