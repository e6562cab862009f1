"""Kernels that are forked, on a server with the settings that the role jupyter writes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kernels
import pytest
import start_page

from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.unit.plugins.test_server_settings import CURIOUS, Server, server
from tests.unit.plugins.test_server_settings import venv as plain_venv

ROOT = Path(__file__).resolve().parents[3]
# What a kernel knows of itself. A picture comes first, as a lesson has it.
ABOUT = """
import asyncio, gc, json, os, random, signal, sys, threading, numpy as np
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "pid": os.getpid(), "parent": os.getppid(), "command": open("/proc/self/cmdline").read(),
    "files": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{fd}")),
    "threads": sorted(thread.name.split("-")[0] for thread in threading.enumerate()),
    "folder": os.getcwd(), "environment": dict(os.environ), "path": sys.path, "arguments": sys.argv[:-1],
    "signals": {name: status[name] for name in ("SigBlk", "SigIgn", "SigCgt")}, "session": os.getsid(0) == os.getpid(),
    "group": os.getpgid(0) == os.getpid(), "nice": os.nice(0), "gc": gc.isenabled(), "flags": list(sys.flags),
    "score": open("/proc/self/oom_score_adj").read(), "readable": os.access("/proc/self/mem", os.R_OK),
    "random": [random.random(), float(np.random.random()), float(np.random.default_rng().random())],
    "main": __name__, "frozen": gc.get_freeze_count() > 0,
}))
"""
PLOT = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 3]);
"""


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    """An environment like a Pi's, which has mynn."""
    for folder in plain_venv.__wrapped__(None):  # type: ignore[attr-defined]
        [packages] = folder.glob("lib/python*/site-packages")
        shutil.copytree(ROOT / "mynn", packages / "mynn")
        yield folder


@pytest.fixture(scope="module")
def archive(venv: Path) -> Path:
    """The start page, with its part of the server, as the role packs it."""
    build = [sys.executable, str(ROOT / "roles/start_page/files/build.py"), str(ROOT)]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True)
    copy = Path(shutil.copy(done.stdout, venv / "start.zip"))
    copy.chmod(0o644)
    return copy


@pytest.fixture(scope="module")
def one(venv: Path, archive: Path) -> Iterator[Server]:
    """A server whose page was opened."""
    with server(venv, start_page_archive=archive) as running:
        open_page(running)
        yield running


def open_page(one: Server) -> int:
    """Open the page for signing in, as a browser does; return the process that kernels are then forked from."""
    one.client().ask("GET", "/login", headers={"Accept": "text/html"})
    return int(until(lambda: parents(one))[0])


def parents(one: Server) -> list[int]:
    """The process ids of what the server's kernels are forked from."""
    command = ["pgrep", "--parent", str(one.process.pid), "--full", "import kernel_parent"]
    found = [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]
    # Forked kernels have the same command line; they are led by themselves, as is the process, but it is first to die.
    return [pid for pid in found if Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"]


def about(kernel: Kernel) -> dict[str, Any]:
    """What a kernel knows of itself."""
    output = kernel.run(ABOUT)
    assert not output.error
    return dict(json.loads(output.text))


def is_forked(kernel: Kernel) -> bool:
    """Whether it was."""
    return bool(about(kernel)["frozen"])


def restarted(student: NotebookServer, kernel: Kernel) -> Kernel:
    """Restart a kernel, as the button does."""
    student.ask("POST", f"/api/kernels/{kernel.identity}/restart").raise_for_status()
    kernel.socket.close()
    return Kernel(kernel.identity, student.connect(kernel.identity))


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail("It has not come.")


def test_a_forked_kernel_is_like_one_that_was_started(one: Server, venv: Path) -> None:
    """And is a child of the server, which so learns how it ended."""
    with server(venv) as other, other.student().kernel() as kernel:
        started = about(kernel)
    with one.student().kernel() as kernel:
        forked = about(kernel)
    assert (forked["frozen"], started["frozen"]) == (True, False)
    assert forked["parent"] == one.process.pid
    names = [sorted({Path(file).name for file in one["files"]} - {"null", "pipe"}) for one in (forked, started)]
    assert names[0] == names[1]
    assert len(forked["files"]) <= len(started["files"]) + 1
    for name in ("session", "group", "nice", "score", "readable", "signals", "threads", "gc", "flags", "main", "path"):
        assert (name, forked[name]) == (name, started[name])
    only = forked["environment"].keys() ^ started["environment"].keys()
    assert only <= {"PYDEVD_USE_FRAME_EVAL"}  # for the debugger while it is imported
    assert forked["environment"]["HOME"] == str(one.home)
    assert forked["folder"] == str(one.home / "notebooks")
    assert one.in_home() == one.left


def test_a_forked_kernel_cannot_look_into_what_it_is_forked_from(one: Server) -> None:
    """Nor into the server: it could change what later kernels are made of."""
    with one.student().kernel() as kernel:
        assert is_forked(kernel)
        [parent] = parents(one)
        for process in ("os.getppid()", str(parent)):
            output = kernel.run(CURIOUS.replace("os.getppid()", process))
            found = json.loads(output.text)
            assert (found["read"], found["secrets"]) == ([], [])
        assert "Permission" in kernel.run(f"open('/proc/{parent}/mem', 'r+b')").error


def test_two_at_once_have_random_numbers_of_their_own(one: Server) -> None:
    student = one.student()
    with ThreadPoolExecutor(2) as both, ExitStack() as kernels:
        two = list(both.map(lambda _: kernels.enter_context(student.kernel()), range(2)))
        assert all(is_forked(kernel) for kernel in two)
        first, second = (about(kernel) for kernel in two)
    assert first["pid"] != second["pid"]
    assert not set(first["random"]) & set(second["random"])


def test_a_plot_and_mynn_are_there_at_once(one: Server) -> None:
    """Nothing that a lesson draws with is still to be imported."""
    with one.student().kernel() as kernel:
        assert kernel.run("import sys; before = set(sys.modules)").error == ""
        output = kernel.run(PLOT)
        assert len(output.pictures) == 1
        more = kernel.run("print(sorted(set(sys.modules) - before))").text
        assert re.findall(r"'(numpy|PIL|matplotlib)[.']", more) == []
        assert kernel.run("import mynn.plotting; print(plt.get_backend())").text.strip().endswith("inline")


def test_fields_and_the_pad_reach_the_page(one: Server) -> None:
    """Although the libraries for them were imported where no kernel was."""
    with one.student().kernel() as kernel:
        code = (
            "import ipywidgets; field = ipywidgets.IntText(); print(len(ipywidgets.Widget._active_widgets or {}) > 0)"
        )
        assert not kernel.run(code).error
        targets = kernel.run("print(sorted(get_ipython().kernel.comm_manager.targets))").text
        assert "'jupyter.widget'" in targets and "'jupyter.widget.control'" in targets
        assert kernel.run("print(field.comm.kernel is get_ipython().kernel)").text == "True\n"


def test_settings_for_plots_beside_a_notebook_count(one: Server) -> None:
    settings = one.home / "notebooks/matplotlibrc"
    settings.write_text("lines.linewidth: 7.5\n", encoding="utf-8")
    try:
        with one.student().kernel() as kernel:
            assert kernel.run("import matplotlib; print(matplotlib.rcParams['lines.linewidth'])").text == "7.5\n"
    finally:
        settings.unlink()


def test_it_is_interrupted(one: Server) -> None:
    student = one.student()
    with student.kernel() as kernel, ThreadPoolExecutor(1) as other:
        cell = other.submit(kernel.run, "import time\nprint('on', flush=True)\ntime.sleep(60)", 50)
        time.sleep(2)
        student.ask("POST", f"/api/kernels/{kernel.identity}/interrupt").raise_for_status()
        assert cell.result().error.startswith("KeyboardInterrupt")
        assert kernel.run("print(1)").text == "1\n"


def test_it_is_restarted(one: Server) -> None:
    """As another process, with nothing of the one before."""
    student = one.student()
    with student.kernel() as kernel:
        before = about(kernel)["pid"]
        kernel.run("kept = 1")
        kernel = restarted(student, kernel)
        assert about(kernel)["pid"] != before
        assert kernel.run("kept").error.startswith("NameError")
        assert is_forked(kernel)
        assert not Path(f"/proc/{before}").exists()


def test_one_that_was_killed_is_started_again_and_explained(one: Server) -> None:
    student = one.student()
    lesson = {"path": "lesson.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    session = student.ask("POST", "/api/sessions", json=lesson).json()
    identity = session["kernel"]["id"]
    pid = about(Kernel(identity, student.connect(identity)))["pid"]
    os.kill(pid, signal.SIGKILL)
    [running] = until(lambda: [one for one in student.get("/start/status")["running"] if one["died"]])
    assert running["died"] == start_page.STOPPED  # Linux has killed nothing for want of memory
    until(lambda: student.get(f"/api/kernels/{identity}")["execution_state"] == "idle" and not lives(pid))
    kernel = Kernel(identity, student.connect(identity))
    assert about(kernel)["pid"] != pid
    assert is_forked(kernel)
    student.delete(f"/api/sessions/{session['id']}")
    assert not list(zombies(one))


def test_the_server_knows_how_a_kernel_ended() -> None:
    """By signal 9, for one, from which the start page concludes that memory was short."""
    with subprocess.Popen(["sleep", "60"]) as program:
        kernel = kernels.Forked(program.pid)
        assert kernel.poll() is None
        kernel.kill()
        assert (kernel.wait(), kernel.poll(), kernel.is_suspicious()) == (-9, -9, False)
    with subprocess.Popen(["false"]) as program:
        kernel = kernels.Forked(program.pid)
        assert (kernel.wait(), kernel.is_suspicious()) == (1, True)


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def zombies(one: Server) -> Iterator[str]:
    """The server's children that have ended, of which it has not taken note."""
    done = subprocess.run(["ps", "--ppid", str(one.process.pid), "-o", "stat="], stdout=subprocess.PIPE, text=True)
    return (state for state in done.stdout.split() if state.startswith("Z"))


def test_ended_ones_leave_nothing(one: Server) -> None:
    student = one.student()
    with student.kernel() as kernel:
        pid = about(kernel)["pid"]
    until(lambda: not lives(pid))
    assert student.get("/api/kernels") == []
    assert not list(zombies(one))


def test_without_the_process_kernels_start_in_the_ordinary_way(one: Server) -> None:
    """A kernel that was forked before stays; a new process comes once no student's program runs."""
    student = one.student()
    with student.kernel() as first:
        assert is_forked(first)
        [parent] = parents(one)
        os.kill(parent, signal.SIGKILL)
        with student.kernel() as second:
            assert not is_forked(second)
        assert is_forked(first)
        one.client().ask("GET", "/login", headers={"Accept": "text/html"})
        time.sleep(5)  # longer than it waits after a page
        assert parents(one) == []
    open_page(one)
    with student.kernel() as third:
        assert is_forked(third)


def test_a_kernel_that_ends_at_once_is_then_started_in_the_ordinary_way(one: Server) -> None:
    """Forking may have been the reason."""
    student = one.student()
    with student.kernel() as kernel:
        pid = about(kernel)["pid"]
        os.kill(pid, signal.SIGSEGV)
        until(lambda: student.get(f"/api/kernels/{kernel.identity}")["execution_state"] == "idle" and not lives(pid))
        kernel = Kernel(kernel.identity, student.connect(kernel.identity))
        assert not is_forked(kernel)
    open_page(one)


def test_a_process_that_hangs_is_ended(one: Server) -> None:
    """After some seconds: whoever waits for a kernel gets one all the same."""
    student = one.student()
    with student.kernel() as first:
        assert is_forked(first)
        [parent] = parents(one)
        os.kill(parent, signal.SIGSTOP)
        with student.kernel() as second:
            assert not is_forked(second)
    assert not lives(parent)
    open_page(one)


def test_the_process_is_started_when_a_page_is_opened(venv: Path, archive: Path) -> None:
    """And ends with the server."""
    with server(venv, start_page_archive=archive) as one:
        time.sleep(5)  # longer than it waits after a page
        assert parents(one) == []  # programs have asked so far
        parent = open_page(one)
    until(lambda: not lives(parent))


def test_several_students_kernels_are_forked_too(venv: Path, archive: Path) -> None:
    """They are reached over sockets in a folder, not over TCP."""
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, server(venv, listening, start_page_archive=archive) as one:
        open_page(one)
        with one.student().kernel() as kernel:
            assert is_forked(kernel)
            assert kernel.run("print(get_ipython().kernel.parent.transport)").text == "ipc\n"


def test_broken_imports_leave_the_ordinary_way(venv: Path, archive: Path) -> None:
    """A package of root's that is broken, or damaged on its card, breaks only what imports it."""
    [mynn] = venv.glob("lib/python*/site-packages/mynn")
    mynn.rename(mynn.with_name("gone"))
    try:
        with server(venv, start_page_archive=archive) as one:
            parent = open_page(one)
            with one.student().kernel() as kernel:
                assert not is_forked(kernel)
            until(lambda: not lives(parent))
            one.client().ask("GET", "/login", headers={"Accept": "text/html"})
            time.sleep(5)  # longer than it waits after a page
            assert parents(one) == []
    finally:
        mynn.with_name("gone").rename(mynn)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[kernels.Parent]:
    """In this process: what looks after the other one, in a hurry."""
    for name, seconds in {"AFTER_PAGE": 0, "EVERY": 0.1, "IDLE": 1}.items():
        monkeypatch.setattr(kernels, name, seconds)
    parent = kernels.Parent()
    yield parent
    parent.end()


def children() -> set[str]:
    """The process ids of this process's children."""
    done = subprocess.run(
        ["pgrep", "--parent", str(os.getpid()), "--full", "import kernel_parent"], capture_output=True
    )
    return set(done.stdout.decode().split())


def test_the_process_is_ended_when_nobody_needs_it(quick: kernels.Parent) -> None:
    """And started again by the next page."""

    async def visits() -> list[int]:
        there = []
        for _ in range(2):
            quick.expect()
            await asyncio.sleep(0.5)
            there.append(len(children()))
            await asyncio.sleep(1.5)
            there.append(len(children()))
        return there

    assert asyncio.run(visits()) == [1, 0, 1, 0]


def test_it_stays_beside_kernels_and_is_not_started_beside_them(quick: kernels.Parent) -> None:
    class Running:
        has_process = True

    async def with_kernel() -> list[int]:
        quick.expect()
        await asyncio.sleep(0.5)
        quick.kernels.add(kernel)  # type: ignore[arg-type]
        await asyncio.sleep(1.5)
        there = [len(children())]
        os.kill(int(children().pop()), signal.SIGKILL)
        await asyncio.sleep(0.5)
        return [*there, len(children())]

    kernel = Running()
    assert asyncio.run(with_kernel()) == [1, 0]


def test_it_is_not_started_when_memory_is_short(quick: kernels.Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "memory", lambda: {"free": kernels.LEAST_FREE - 1})

    async def visit() -> tuple[int, kernels.Forked | None]:
        quick.expect()
        await asyncio.sleep(0.5)
        return len(children()), await quick.fork({})

    assert asyncio.run(visit()) == (0, None)


def test_it_is_at_low_priority_until_a_kernel_is_wanted(
    quick: kernels.Parent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the server's unit allows to take that back; it may not here."""
    changes: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (20, 20))
    monkeypatch.setattr(os, "setpriority", lambda which, pid, nice: changes.append((pid, nice)))
    request = {
        "arguments": ["-f", str(tmp_path / "connection.json")],
        "cwd": str(tmp_path),
        "env": dict(os.environ) | {"IPYTHONDIR": str(tmp_path)},
        "oom_score_adj": "1000",  # a lower one may not be allowed here
    }

    async def visit() -> int:
        quick.expect()
        await asyncio.sleep(0.5)
        [process] = map(int, children())
        assert changes == [(process, 19)]
        kernel = await quick.fork(request)
        assert kernel
        kernel.kill()
        kernel.wait()
        return process

    process = asyncio.run(visit())
    assert changes == [(process, 19), (process, 0)]


def test_the_list_of_fonts_is_taken_from_the_environment(tmp_path: Path) -> None:
    """Where install.sh has made one: making it takes a Pi Zero seconds."""
    make = [sys.executable, "-c", "import matplotlib.font_manager"]
    subprocess.run(make, env=os.environ | {"MPLCONFIGDIR": str(tmp_path / "share/matplotlib")}, check=True)
    [made] = tmp_path.glob("share/matplotlib/fontlist-*.json")
    fonts = json.loads(made.read_text())
    fonts["ttflist"] = fonts["ttflist"][:3]
    made.write_text(json.dumps(fonts))
    (tmp_path / "empty").mkdir()
    code = f"""
import sys, kernel_parent
sys.prefix = {str(tmp_path)!r}
kernel_parent.import_all({str(tmp_path / "empty")!r})
from matplotlib.font_manager import fontManager
print(len(fontManager.ttflist))
"""
    path = f"{os.environ['PYTHONPATH']}:{ROOT / 'roles/start_page/files'}"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE)
    assert done.stdout == b"3\n"
