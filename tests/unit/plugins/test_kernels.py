"""Kernels that are forked from a process with the libraries loaded, on a server with the role jupyter's settings."""

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
from tests.support.jupyter_server import SPY, Server, pi_venv, run_server
from tests.support.programs import ROOT

# Prints what a kernel can find out about itself.
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
    """A virtual environment like a Pi's, with mynn."""
    with pi_venv() as folder:
        [packages] = folder.glob("lib/python*/site-packages")
        shutil.copytree(ROOT / "mynn", packages / "mynn")
        yield folder


@pytest.fixture(scope="module")
def archive(venv: Path) -> Path:
    """The archive that the role start_page builds: the page, and the server extension that forks kernels."""
    build = [sys.executable, str(ROOT / "roles/start_page/files/build.py"), str(ROOT)]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True)
    copy = Path(shutil.copy(done.stdout, venv / "start.zip"))
    copy.chmod(0o644)
    return copy


@pytest.fixture(scope="module")
def server(venv: Path, archive: Path) -> Iterator[Server]:
    """A server whose sign-in page has been opened."""
    with run_server(venv, start_page_archive=archive) as running:
        open_page(running)
        yield running


def open_page(server: Server) -> int:
    """Open the sign-in page, as a browser does; return the parent, the process that kernels are then forked from."""
    server.client().ask("GET", "/login", headers={"Accept": "text/html"})
    return int(wait_until(lambda: parents(server))[0])


def children_of(server: Server, command_line: str = "") -> set[int]:
    """Return the process ids of the server's children: kernels, and their parent."""
    command = ["pgrep", "--parent", str(server.process.pid), "--full", command_line or "."]
    return {int(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()}


def parents(server: Server) -> list[int]:
    """Return the process ids of the parents that the server has: none or one."""
    found = children_of(server, "import kernel_parent")
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


def restart(student: NotebookServer, kernel: Kernel) -> Kernel:
    """Restart a kernel, as the button does; return a connection to the new one."""
    student.ask("POST", f"/api/kernels/{kernel.identity}/restart").raise_for_status()
    kernel.socket.close()
    return Kernel(kernel.identity, student.connect(kernel.identity))


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"The condition was still not met after {seconds} seconds.")


def test_a_forked_kernel_is_like_one_that_was_started(server: Server, venv: Path) -> None:
    """It is also a child of the server, so the server learns how it ended."""
    with run_server(venv) as other, other.student().kernel() as kernel:
        started = about(kernel)
    with server.student().kernel() as kernel:
        forked = about(kernel)
    assert (forked["frozen"], started["frozen"]) == (True, False)
    assert forked["parent"] == server.process.pid
    names = [sorted({Path(file).name for file in kernel["files"]} - {"null", "pipe"}) for kernel in (forked, started)]
    assert names[0] == names[1]
    assert len(forked["files"]) <= len(started["files"]) + 1
    for name in ("session", "group", "nice", "score", "readable", "signals", "threads", "gc", "flags", "main", "path"):
        assert (name, forked[name]) == (name, started[name])
    difference = forked["environment"].keys() ^ started["environment"].keys()
    assert difference <= {"PYDEVD_USE_FRAME_EVAL"}  # set while the debugger is imported
    assert forked["environment"]["HOME"] == str(server.home)
    assert forked["folder"] == str(server.home / "notebooks")
    assert server.in_home() == server.home_at_start


def test_a_forked_kernel_has_nothing_left_to_import(server: Server, venv: Path) -> None:
    """Not even as it starts: on a Pi Zero, each import takes its time."""
    parent = (
        "import tempfile, sys, kernel_parent as it; it.import_all(tempfile.mkdtemp()); it.draw(); print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "roles/start_page/files")}
    imported = subprocess.run([venv / "bin/python", "-c", parent], env=environment, capture_output=True, check=True)
    with server.student().kernel() as kernel:
        assert is_forked(kernel)
    with server.student().kernel() as kernel:
        modules = kernel.run("import numpy as np, matplotlib.pyplot as plt, mynn, sys; print(*sys.modules)").text
    late = set(modules.split()) - set(imported.stdout.decode().split())
    # A Pi has no argcomplete, and its ipykernel imports psutil at once.
    assert {name for name in late if "argcomplete" not in name and not name.startswith("psutil")} == set()


def test_a_forked_kernel_cannot_read_its_parents_memory(server: Server) -> None:
    """Nor the server's. By writing there, it could change the kernels that come later."""
    with server.student().kernel() as kernel:
        assert is_forked(kernel)
        [parent] = parents(server)
        for process in ("os.getppid()", str(parent)):
            output = kernel.run(SPY.replace("os.getppid()", process))
            found = json.loads(output.text)
            assert (found["read"], found["secrets"]) == ([], [])
        assert "Permission" in kernel.run(f"open('/proc/{parent}/mem', 'r+b')").error


def test_two_kernels_started_at_once_have_different_random_numbers(server: Server) -> None:
    student = server.student()
    with ThreadPoolExecutor(2) as both, ExitStack() as kernels:
        started = list(both.map(lambda _: kernels.enter_context(student.kernel()), range(2)))
        assert all(is_forked(kernel) for kernel in started)
        first, second = (about(kernel) for kernel in started)
    assert first["pid"] != second["pid"]
    assert not set(first["random"]) & set(second["random"])


def test_plotting_and_mynn_are_already_imported(server: Server) -> None:
    """A lesson's first picture does not wait for libraries to load."""
    with server.student().kernel() as kernel:
        assert kernel.run("import sys; before = set(sys.modules)").error == ""
        output = kernel.run(PLOT)
        assert len(output.pictures) == 1
        more = kernel.run("print(sorted(set(sys.modules) - before))").text
        assert re.findall(r"'(numpy|PIL|matplotlib)[.']", more) == []
        assert kernel.run("import mynn.plotting; print(plt.get_backend())").text.strip().endswith("inline")


def test_widgets_work(server: Server) -> None:
    """Input fields and the drawing pad, although their libraries were imported before there was a kernel."""
    with server.student().kernel() as kernel:
        code = (
            "import ipywidgets; field = ipywidgets.IntText(); print(len(ipywidgets.Widget._active_widgets or {}) > 0)"
        )
        assert not kernel.run(code).error
        targets = kernel.run("print(sorted(get_ipython().kernel.comm_manager.targets))").text
        assert "'jupyter.widget'" in targets and "'jupyter.widget.control'" in targets
        assert kernel.run("print(field.comm.kernel is get_ipython().kernel)").text == "True\n"


def test_a_matplotlibrc_beside_a_notebook_is_used(server: Server) -> None:
    settings = server.home / "notebooks/matplotlibrc"
    settings.write_text("lines.linewidth: 7.5\n", encoding="utf-8")
    try:
        with server.student().kernel() as kernel:
            assert kernel.run("import matplotlib; print(matplotlib.rcParams['lines.linewidth'])").text == "7.5\n"
    finally:
        settings.unlink()


def test_a_forked_kernel_can_be_interrupted(server: Server) -> None:
    student = server.student()
    with student.kernel() as kernel, ThreadPoolExecutor(1) as other:
        cell = other.submit(kernel.run, "import time\nprint('on', flush=True)\ntime.sleep(60)", 50)
        time.sleep(2)
        student.ask("POST", f"/api/kernels/{kernel.identity}/interrupt").raise_for_status()
        assert cell.result().error.startswith("KeyboardInterrupt")
        assert kernel.run("print(1)").text == "1\n"


def test_a_forked_kernel_can_be_restarted(server: Server) -> None:
    """As a new process, without the old one's variables."""
    student = server.student()
    with student.kernel() as kernel:
        before = about(kernel)["pid"]
        kernel.run("kept = 1")
        kernel = restart(student, kernel)
        assert about(kernel)["pid"] != before
        assert kernel.run("kept").error.startswith("NameError")
        assert is_forked(kernel)
        assert not Path(f"/proc/{before}").exists()


def test_a_killed_kernel_is_restarted_and_the_page_says_why(server: Server) -> None:
    student = server.student()
    session = student.open_notebook("lesson.ipynb")
    identity = session["kernel"]["id"]
    pid = about(Kernel(identity, student.connect(identity)))["pid"]
    before = children_of(server)
    os.kill(pid, signal.SIGKILL)
    [running] = wait_until(lambda: [lesson for lesson in student.get("/start/status")["running"] if lesson["died"]])
    assert running["died"] == start_page.STOPPED  # Linux did not kill it for lack of memory
    wait_until(lambda: children_of(server) - before)
    assert not is_alive(pid)
    kernel = Kernel(identity, student.connect(identity))
    assert about(kernel)["pid"] != pid
    assert is_forked(kernel)
    student.delete(f"/api/sessions/{session['id']}")
    assert not list(zombies(server))


def test_the_server_knows_how_a_kernel_ended() -> None:
    """By signal 9, for example, from which the start page concludes that memory ran out."""
    with subprocess.Popen(["sleep", "60"]) as program:
        kernel = kernels.Forked(program.pid)
        assert kernel.poll() is None
        kernel.kill()
        assert (kernel.wait(), kernel.poll(), kernel.is_suspicious()) == (-9, -9, False)
    with subprocess.Popen(["false"]) as program:
        kernel = kernels.Forked(program.pid)
        assert (kernel.wait(), kernel.is_suspicious()) == (1, True)


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id."""
    return Path(f"/proc/{pid}").exists()


def zombies(server: Server) -> Iterator[str]:
    """Return the states of the server's children that have ended and that it has not reaped."""
    done = subprocess.run(["ps", "--ppid", str(server.process.pid), "-o", "stat="], stdout=subprocess.PIPE, text=True)
    return (state for state in done.stdout.split() if state.startswith("Z"))


def test_a_kernel_that_is_shut_down_leaves_nothing_behind(server: Server) -> None:
    student = server.student()
    with student.kernel() as kernel:
        pid = about(kernel)["pid"]
    wait_until(lambda: not is_alive(pid))
    assert student.get("/api/kernels") == []
    assert not list(zombies(server))


@pytest.mark.slow
def test_without_a_parent_kernels_are_started_in_the_ordinary_way(server: Server) -> None:
    """Kernels that were forked before keep running; a new parent is started once no kernel runs."""
    student = server.student()
    with student.kernel() as first:
        assert is_forked(first)
        [parent] = parents(server)
        os.kill(parent, signal.SIGKILL)
        with student.kernel() as second:
            assert not is_forked(second)
        assert is_forked(first)
        server.client().ask("GET", "/login", headers={"Accept": "text/html"})
        time.sleep(5)  # longer than the server waits after a page
        assert parents(server) == []
    open_page(server)
    with student.kernel() as third:
        assert is_forked(third)


@pytest.mark.slow
def test_a_kernel_that_crashes_at_once_is_restarted_in_the_ordinary_way(server: Server) -> None:
    """It may have crashed because it was forked."""
    student = server.student()
    with student.kernel() as kernel:
        pid, before = about(kernel)["pid"], children_of(server)
        os.kill(pid, signal.SIGSEGV)
        wait_until(lambda: children_of(server) - before)
        assert not is_alive(pid)
        kernel = Kernel(kernel.identity, student.connect(kernel.identity))
        assert not is_forked(kernel)
    open_page(server)


@pytest.mark.slow
def test_a_parent_that_hangs_is_killed(server: Server) -> None:
    """After a few seconds, and whoever waits for a kernel still gets one."""
    student = server.student()
    with student.kernel() as first:
        assert is_forked(first)
        [parent] = parents(server)
        os.kill(parent, signal.SIGSTOP)
        with student.kernel() as second:
            assert not is_forked(second)
    assert not is_alive(parent)
    open_page(server)


@pytest.mark.slow
def test_the_parent_is_started_when_a_page_is_opened(venv: Path, archive: Path) -> None:
    """It ends with the server."""
    with run_server(venv, start_page_archive=archive) as server:
        time.sleep(5)  # longer than the server waits after a page
        assert parents(server) == []  # so far no browser has asked for a page
        parent = open_page(server)
    wait_until(lambda: not is_alive(parent))


def test_several_students_kernels_are_forked_too(venv: Path, archive: Path) -> None:
    """The server reaches these over Unix sockets, not over TCP."""
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, run_server(venv, listening, start_page_archive=archive) as server:
        open_page(server)
        with server.student().kernel() as kernel:
            assert is_forked(kernel)
            assert kernel.run("print(get_ipython().kernel.parent.transport)").text == "ipc\n"


@pytest.mark.slow
def test_with_a_broken_package_kernels_are_started_in_the_ordinary_way(venv: Path, archive: Path) -> None:
    """A package that is broken, or damaged on the card, breaks only the programs that import it."""
    [mynn] = venv.glob("lib/python*/site-packages/mynn")
    mynn.rename(mynn.with_name("gone"))
    try:
        with run_server(venv, start_page_archive=archive) as server:
            parent = open_page(server)
            with server.student().kernel() as kernel:
                assert not is_forked(kernel)
            wait_until(lambda: not is_alive(parent))
            server.client().ask("GET", "/login", headers={"Accept": "text/html"})
            time.sleep(5)  # longer than the server waits after a page
            assert parents(server) == []
    finally:
        mynn.with_name("gone").rename(mynn)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[kernels.Parent]:
    """The object that starts and ends the parent, in this process, with short waits."""
    for name, seconds in {"AFTER_PAGE": 0, "EVERY": 0.1, "IDLE": 1}.items():
        monkeypatch.setattr(kernels, name, seconds)
    parent = kernels.Parent()
    yield parent
    parent.end()


def children() -> set[str]:
    """Return the process ids of the parents that this process has started."""
    done = subprocess.run(
        ["pgrep", "--parent", str(os.getpid()), "--full", "import kernel_parent"], capture_output=True
    )
    return set(done.stdout.decode().split())


def test_the_parent_is_ended_when_nobody_needs_it(quick: kernels.Parent) -> None:
    """The next page starts it again."""

    async def visits() -> list[int]:
        counts = []
        for _ in range(2):
            quick.expect()
            await asyncio.sleep(0.5)
            counts.append(len(children()))
            await asyncio.sleep(1.5)
            counts.append(len(children()))
        return counts

    assert asyncio.run(visits()) == [1, 0, 1, 0]


def test_while_a_kernel_runs_the_parent_is_neither_ended_nor_started(quick: kernels.Parent) -> None:
    class Running:
        has_process = True

    async def with_kernel() -> list[int]:
        quick.expect()
        await asyncio.sleep(0.5)
        quick.kernels.add(kernel)  # type: ignore[arg-type]
        await asyncio.sleep(1.5)
        counts = [len(children())]
        os.kill(int(children().pop()), signal.SIGKILL)
        await asyncio.sleep(0.5)
        return [*counts, len(children())]

    kernel = Running()
    assert asyncio.run(with_kernel()) == [1, 0]


def test_the_parent_is_not_started_when_memory_is_short(quick: kernels.Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "memory", lambda: {"free": kernels.LEAST_FREE - 1})

    async def visit() -> tuple[int, kernels.Forked | None]:
        quick.expect()
        await asyncio.sleep(0.5)
        return len(children()), await quick.fork({})

    assert asyncio.run(visit()) == (0, None)


def test_the_parent_has_low_priority_until_a_kernel_is_wanted(
    quick: kernels.Parent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the server's unit allows it to raise the priority again; here, a stand-in for the system allows it."""
    changes: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (20, 20))
    monkeypatch.setattr(os, "setpriority", lambda which, pid, nice: changes.append((pid, nice)))
    request = {
        "arguments": ["-f", str(tmp_path / "connection.json")],
        "cwd": str(tmp_path),
        "env": dict(os.environ) | {"IPYTHONDIR": str(tmp_path)},
        "oom_score_adj": "1000",  # lower values may not be allowed here
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


def test_the_font_list_is_taken_from_the_virtual_environment(tmp_path: Path) -> None:
    """If install.sh made one there: building it takes a Pi Zero several seconds."""
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
