"""Jupyter kernel provisioner that forks: kernels start at once, from a process with all imports (kernel_parent.py).

The process starts when a page is opened, and ends after a while without pages and kernels. Without it, kernels start
in the ordinary way.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partialmethod
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets.log import get_logger

from mynn_server.kernel_manager import COMMAND
from mynn_server.linux import PR_SET_CHILD_SUBREAPER, memory, parents, prctl

AFTER_PAGE = 3  # seconds after the request for a page, so that the page loads first
EVERY = 60  # seconds between two checks whether the process is needed
IDLE = 900  # seconds without a page or a kernel until the process ends, to free its memory
LEAST_FREE = 150  # MB: room for the process, a lesson, and another student's lesson beside it
WARM_UP, ANSWER = 120, 15  # seconds to wait for the process, and for a kernel
AGAIN, PATIENCE = 0.02, 5  # seconds between two looks at what a kernel has left, and until it is given up
FIRST_TO_DIE = 1000  # the process's oom_score_adj
# The kernels' folder for shared memory. A killed kernel may leave files there.
SHARED_MEMORY = os.environ.pop("MYNN_SHARED_MEMORY", "")
FORKABLE = [*COMMAND, "-m", "ipykernel_launcher"]  # start of the commands that can be forked instead


class Forked:
    """A forked kernel, with the interface of subprocess.Popen."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self, options: int = os.WNOHANG) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int | None:
        """Wait for the end; return the exit status."""
        return self.poll(0)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    terminate = partialmethod(send_signal, signal.SIGTERM)
    kill = partialmethod(send_signal, signal.SIGKILL)


def is_of_another_session(process: int) -> bool:
    """Return whether a process, which may have ended, has another session than this one."""
    with suppress(ProcessLookupError):
        return os.getsid(process) != os.getsid(0)
    return False


class Parent:
    """Manager of the process that kernels are forked from."""

    def __init__(self) -> None:
        self.kernels: WeakSet[Provisioner] = WeakSet()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._lock = asyncio.Lock()
        self._used = 0.0
        self._sweeps: set[asyncio.Task[None]] = set()

    def expect(self) -> None:
        """Start the process soon, since a page was opened and may need a kernel."""
        self._used = time.monotonic()
        if not self._runs():
            asyncio.get_running_loop().call_later(AFTER_PAGE, self._start)

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def has_kernels(self) -> bool:
        """Return whether a kernel runs."""
        return any(kernel.has_process for kernel in self.kernels)

    def _start(self) -> None:
        """Start the process at low priority, unless it runs.

        Do not start it while a kernel runs: a student's program could read the process before it is protected. If that
        program took the last process's memory, it would take this one's, too.
        """
        if self._runs() or self._lock.locked():
            return
        self.end()
        if self.has_kernels() or memory()["free"] < LEAST_FREE:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # These variables lead to the student's files.
        hidden = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        # ipykernel reads the first on import; the second silences the debugger's advice.
        environment |= {"JPY_PARENT_PID": str(os.getpid()), "PYDEVD_DISABLE_FILE_VALIDATION": "1", "HOME": "/"}
        choom = ["/usr/bin/choom", "--adjust", str(FIRST_TO_DIE), "--"]
        with theirs:
            self._process = subprocess.Popen(
                [*choom, sys.executable, "-s", "-m", "mynn_server.kernel_parent", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket, self._is_ready = ours, False
        if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20:  # otherwise kernels could not undo it
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)
        asyncio.get_running_loop().call_later(EVERY, self._look_after, self._process)

    def _look_after(self, process: subprocess.Popen[bytes]) -> None:
        """End the process if it is not needed, or check again later."""
        if process is not self._process:
            return
        if self.has_kernels():
            self._used = time.monotonic()
        if time.monotonic() - self._used > IDLE and not self._lock.locked():
            self.end()
        else:
            asyncio.get_running_loop().call_later(EVERY, self._look_after, process)

    def end(self) -> None:
        """End the process. Kernels stay."""
        if self._socket:
            self._socket.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None

    async def fork(self, request: dict[str, Any]) -> Forked | None:
        """Return a new kernel; None if it could not be forked."""
        async with self._lock:
            try:
                if self._process and self._socket and self._runs():
                    return await self._fork(self._process, self._socket, json.dumps(request).encode())
            except (OSError, ValueError, TimeoutError) as error:
                get_logger().warning("No kernel could be forked: %s", error)
                self.end()
            except asyncio.CancelledError:
                self.end()  # so that the next request does not get this one's answer
                raise
        return None

    async def _fork(self, process: subprocess.Popen[bytes], ours: socket.socket, request: bytes) -> Forked:
        loop = asyncio.get_running_loop()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, 0)
        if not self._is_ready:
            if not await asyncio.wait_for(loop.sock_recv(ours, 100), WARM_UP):
                raise ConnectionError("the process has ended")
            self._is_ready = True
        await asyncio.wait_for(loop.sock_sendall(ours, request), ANSWER)
        pid = int(await asyncio.wait_for(loop.sock_recv(ours, 100), ANSWER))
        if not pid:
            raise OSError("there are too many processes, or too little memory")
        kernel = Forked(pid)
        kernel.poll()  # ChildProcessError: not a child of this server
        return kernel

    def sweep(self) -> None:
        """End soon what a kernel that has ended left behind."""
        task = asyncio.get_running_loop().create_task(self._sweep())
        self._sweeps.add(task)  # otherwise it might be collected as garbage
        task.add_done_callback(self._sweeps.discard)

    async def _sweep(self) -> None:
        async with self._lock:  # a kernel that is being forked is not known yet
            until = time.monotonic() + PATIENCE
            while (left := self._left_behind()) and time.monotonic() < until:
                for process in left:
                    with suppress(OSError):  # it ended meanwhile
                        # Its group at once: no process of a group can fork while a signal for the group arrives.
                        os.killpg(os.getpgid(process), signal.SIGKILL)
                        os.waitpid(process, os.WNOHANG)
                await asyncio.sleep(AGAIN)
        if left:
            get_logger().warning("Programs that a lesson left behind do not end: %s", left)

    def _left_behind(self) -> list[int]:
        """Return this server's children that it did not start.

        A kernel adopts all that it starts (kernel.py), and this server adopts that when the kernel ends. What the
        server starts for itself is in its session.
        """
        known = {kernel.process.pid for kernel in self.kernels if kernel.process}
        if self._process:
            known.add(self._process.pid)
        found = [child for child, parent in parents().items() if parent == os.getpid() and child not in known]
        return [child for child in found if is_of_another_session(child)]


parent = Parent()


class Provisioner(LocalProvisioner):
    """Kernel provisioner that forks kernels if it can, and else starts them."""

    _ended: Any = None  # the last process that was seen to have ended

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Fork or start a kernel; return its connection information."""
        # A forked kernel's first parent ends, and what a kernel leaves behind has no parent: this server becomes it.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        parent.kernels.add(self)
        kernel = await self._forked(cmd, **options)
        if kernel is None:
            return await super().launch_kernel(cmd, **options)
        self.process = kernel  # type: ignore[assignment]
        self.pid, self.pgid, self.cwd = kernel.pid, kernel.pid, options["cwd"]
        return self.connection_info

    async def poll(self) -> int | None:
        """Return the exit status, None while the kernel runs. However it ended, end what it left behind."""
        status = await super().poll()
        if status is not None and self.process is not self._ended:
            self._ended = self.process
            parent.sweep()
        return status

    async def cleanup(self, restart: bool = False) -> None:
        """Clean up; after the last kernel, also empty the folder for shared memory."""
        await super().cleanup(restart=restart)
        if SHARED_MEMORY and not parent.has_kernels():
            shutil.rmtree(SHARED_MEMORY, ignore_errors=True)  # the folder itself stays: it is a mount

    async def _forked(self, cmd: list[str], env: dict[str, str], cwd: str = "", **others: Any) -> Forked | None:
        """Return a forked kernel; None if this one must be started instead."""
        if cmd[: len(FORKABLE)] != FORKABLE or not Path(cwd).is_dir():
            return None
        env = env | {"JPY_PARENT_PID": str(os.getpid())}
        arguments = cmd[len(FORKABLE) :]
        return await parent.fork({"arguments": arguments, "cwd": cwd, "env": env, "oom_score_adj": cmd[2]})
