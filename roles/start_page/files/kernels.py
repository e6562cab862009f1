"""Kernels that are there at once: forked from a process that has imported what lessons import (kernel_parent.py).

The process is started when somebody opens a page, and ended when nobody has for a while. Without it, should it have
died or not be there yet, kernels start in the ordinary way.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from start_page import memory
from traitlets.log import get_logger

PR_SET_CHILD_SUBREAPER = 36
AFTER_PAGE = 3  # seconds after a page was asked for, in which it comes first
EVERY = 60  # seconds
IDLE = 900  # seconds without a page or a kernel, after which the memory is given back
LEAST_FREE = 150  # MB: room for the process, a lesson, and another student's lesson beside it
WARM_UP, ANSWER = 120, 15  # seconds to wait for the process, and for a kernel
HEALTHY = 15  # seconds; a forked kernel that ends by itself sooner may have ended because it was forked
FIRST_TO_DIE = 1000  # the process's oom_score_adj
START = "import sys; sys.path[0] = sys.argv[1]; import kernel_parent as it; del sys.path[0]; it.main(int(sys.argv[2]))"


class Forked:
    """A forked kernel, as subprocess.Popen shows a process."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.since = time.monotonic()
        self.seconds = 0.0  # that it ran, when it has ended

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
                self.seconds = time.monotonic() - self.since
        return self.returncode

    def is_suspicious(self) -> bool:
        """Whether it soon ended by itself, and was neither killed nor has it finished: forking may be the reason."""
        return self.returncode not in (None, 0, -signal.SIGTERM, -signal.SIGKILL) and self.seconds < HEALTHY

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
        self._is_ready = self._is_broken = False
        self._turn = asyncio.Lock()
        self._used = 0.0

    def expect(self) -> None:
        """Somebody opens a page, and may need a kernel soon."""
        self._used = time.monotonic()
        if not self._runs():
            asyncio.get_running_loop().call_later(AFTER_PAGE, self._start)

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _has_kernels(self) -> bool:
        return any(kernel.has_process for kernel in self.kernels)

    def _start(self) -> None:
        """Start the process at low priority, unless it runs.

        Not beside a student's program either: it could look into the process before that has closed itself, and if it
        took the memory that the process had, the next one would have no better luck.
        """
        if self._runs() or self._turn.locked():
            return
        self.end()
        if self._is_broken or self._has_kernels() or memory()["free"] < LEAST_FREE:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What is the student's is found by these.
        hidden = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        # ipykernel reads the first as it is imported; the debugger would tell how it could work better.
        environment |= {"JPY_PARENT_PID": str(os.getpid()), "PYDEVD_DISABLE_FILE_VALIDATION": "1", "HOME": "/"}
        command = [sys.executable, "-s", "-c", START, str(Path(__file__).parent), str(theirs.fileno())]
        choom = ["/usr/bin/choom", "--adjust", str(FIRST_TO_DIE), "--"]
        with theirs:
            self._process = subprocess.Popen(
                [*choom, *command],
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
        if self._has_kernels():
            self._used = time.monotonic()
        if time.monotonic() - self._used > IDLE and not self._turn.locked():
            self.end()
        else:
            asyncio.get_running_loop().call_later(EVERY, self._look_after, process)

    def end(self) -> None:
        """End the process. Kernels stay. If it has ended by an error, as when a package is damaged, it stays so."""
        if self._socket:
            self._socket.close()
        if self._process:
            self._is_broken = (self._process.poll() or 0) > 0
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None

    async def fork(self, request: dict[str, Any]) -> Forked | None:
        """Return a new kernel; None if there is no process to fork it from, or if it is broken."""
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

    async def distrust(self) -> None:
        """End the process, as its kernels may be broken."""
        async with self._turn:
            self.end()

    async def _fork(self, process: subprocess.Popen[bytes], ours: socket.socket, request: bytes) -> Forked:
        loop = asyncio.get_running_loop()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, 0)
        if not self._is_ready:
            if not await asyncio.wait_for(loop.sock_recv(ours, 100), WARM_UP):
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(process.wait, ANSWER)
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


def prctl(option: int, value: int) -> None:
    """Set a property of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option} is refused")


parent = Parent()


class Provisioner(LocalProvisioner):
    """Forks kernels where it can, and else starts them."""

    _last: Forked | None = None

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Return the connection information of a new kernel."""
        parent.kernels.add(self)
        kernel = self._last = await self._forked(cmd, **options)
        if kernel is None:
            return await super().launch_kernel(cmd, **options)
        self.process = kernel  # type: ignore[assignment]
        self.pid, self.pgid, self.cwd = kernel.pid, kernel.pid, options["cwd"]
        return self.connection_info

    async def _forked(self, cmd: list[str], env: dict[str, str], cwd: str = "", **others: Any) -> Forked | None:
        """Return a forked kernel; None if this one must be started."""
        if self._last and self._last.is_suspicious():
            await parent.distrust()
            return None
        choom, interpreter = ["/usr/bin/choom", "--adjust"], ["--", sys.executable, "-s", "-m", "ipykernel_launcher"]
        # As the server's settings have it; another one's meaning is not known here.
        if (cmd[:2], cmd[3:8]) != (choom, interpreter) or not Path(cwd).is_dir():
            return None
        env = env | {"JPY_PARENT_PID": str(os.getpid())}
        return await parent.fork({"arguments": cmd[8:], "cwd": cwd, "env": env, "oom_score_adj": cmd[2]})


def use(c: Any) -> None:
    """Let the server that these settings are for fork its kernels."""
    name = "forking"
    entry = EntryPoint(name, f"{__name__}:{Provisioner.__name__}", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.provisioners[name] = entry
    c.KernelProvisionerFactory.default_provisioner_name = name
