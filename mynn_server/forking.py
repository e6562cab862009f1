"""Kernels that are there at once: forked from a process that has imported what lessons import (kernel_parent.py).

The process is started when somebody opens a page, and ended when nobody has for a while. Without it, should it have
died or not be there yet, kernels start in the ordinary way.
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
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets.log import get_logger

from mynn_server.linux import PR_SET_CHILD_SUBREAPER, memory, prctl
from mynn_server.programs import COMMAND

AFTER_PAGE = 3  # seconds after a page was asked for, in which it comes first
EVERY = 60  # seconds between two looks at whether the process is needed
IDLE = 900  # seconds without a page or a kernel, after which the memory is given back
LEAST_FREE = 150  # MB: room for the process, a lesson, and another student's lesson beside it
WARM_UP, ANSWER = 120, 15  # seconds to wait for the process, and for a kernel
FIRST_TO_DIE = 1000  # the process's oom_score_adj
# The folder in which only kernels share memory. What one leaves there, as when it is killed, would stay.
SHARED_MEMORY = os.environ.pop("MYNN_SHARED_MEMORY", "")
FORKABLE = [*COMMAND, "-m", "ipykernel_launcher"]  # how a kernel's command begins, if its meaning is known here


class Forked:
    """A forked kernel, as subprocess.Popen shows a process."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, below 0 a signal; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        """Return the exit status when it has ended."""
        return self._wait(0)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The process that kernels are forked from, if it is there."""

    def __init__(self) -> None:
        self.kernels: WeakSet[Provisioner] = WeakSet()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._turn = asyncio.Lock()
        self._used = 0.0

    def expect(self) -> None:
        """Expect that somebody needs a kernel soon, as when a page is opened."""
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

        Not beside a student's program either: it could look into the process before that has closed itself, and if it
        took the memory that the process had, the next one would have no better luck.
        """
        if self._runs() or self._turn.locked():
            return
        self.end()
        if self.has_kernels() or memory()["free"] < LEAST_FREE:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What is the student's is found by these.
        hidden = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        # ipykernel reads the first as it is imported; the debugger would say how it could work better.
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
        if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20:  # or it would stay slow, and each kernel with it
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)
        asyncio.get_running_loop().call_later(EVERY, self._look_after, self._process)

    def _look_after(self, process: subprocess.Popen[bytes]) -> None:
        """End the process if nobody needs it, or look again later."""
        if process is not self._process:
            return
        if self.has_kernels():
            self._used = time.monotonic()
        if time.monotonic() - self._used > IDLE and not self._turn.locked():
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
        """Return a new kernel; None if there is no process to fork it from."""
        async with self._turn:
            try:
                if self._process and self._socket and self._runs():
                    return await self._fork(self._process, self._socket, json.dumps(request).encode())
            except (OSError, ValueError, TimeoutError) as error:
                get_logger().warning("No kernel could be forked: %s", error)
                self.end()
            except asyncio.CancelledError:
                self.end()  # or its answer would be taken for the next one's
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
        # While a kernel's first parent ends, this server becomes its parent.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            await asyncio.wait_for(loop.sock_sendall(ours, request), ANSWER)
            pid = int(await asyncio.wait_for(loop.sock_recv(ours, 100), ANSWER))
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0)
        if not pid:
            raise OSError("there are too many processes, or too little memory")
        kernel = Forked(pid)
        kernel.poll()  # ChildProcessError: it is not ours
        return kernel


parent = Parent()


class Provisioner(LocalProvisioner):
    """Forks kernels where it can, and else starts them."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Return the connection information of a new kernel."""
        parent.kernels.add(self)
        kernel = await self._forked(cmd, **options)
        if kernel is None:
            return await super().launch_kernel(cmd, **options)
        self.process = kernel  # type: ignore[assignment]
        self.pid, self.pgid, self.cwd = kernel.pid, kernel.pid, options["cwd"]
        return self.connection_info

    async def cleanup(self, restart: bool = False) -> None:
        """Clean up; after the last kernel, also what kernels have left in shared memory."""
        await super().cleanup(restart=restart)
        if SHARED_MEMORY and not parent.has_kernels():
            shutil.rmtree(SHARED_MEMORY, ignore_errors=True)  # the folder itself stays: it is a mount

    async def _forked(self, cmd: list[str], env: dict[str, str], cwd: str = "", **others: Any) -> Forked | None:
        """Return a forked kernel; None if this one must be started."""
        if cmd[: len(FORKABLE)] != FORKABLE or not Path(cwd).is_dir():
            return None
        env = env | {"JPY_PARENT_PID": str(os.getpid())}
        arguments = cmd[len(FORKABLE) :]
        return await parent.fork({"arguments": arguments, "cwd": cwd, "env": env, "oom_score_adj": cmd[2]})
