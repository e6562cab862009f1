"""What boards and virtual machines have in common: a Pi that QEMU runs, in a folder of its own.

``tests.virtual.operate`` is there as long as the Pi is switched on. It and its QEMU are found by the folder in their
command lines, so that one whose starter was killed is not forgotten.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .host import PROJECT, PYTHON
from .pi import Pi
from .shell import VirtualError, spawn

REBOOT = "guest-reset"  # why QEMU ends when the guest asks for a reboot
MONITOR = "monitor"  # QEMU's socket for commands, in the Pi's folder


class Emulated(Pi):
    """A virtual Pi that QEMU runs."""

    kind: str  # as tests.virtual.operate is told
    folder: Path

    def load(self) -> list[str]:
        """Do what the firmware does at each start; return the words that run the Pi until it is switched off."""
        raise NotImplementedError

    def status(self) -> str:
        """Return running or stopped."""
        return "running" if self.processes() else "stopped"

    def power_on(self) -> None:
        """Start to boot. The Pi must be off."""
        spawn([PYTHON, *self._operator()], log=self.log, cwd=PROJECT)

    def power_off(self, patience: float) -> None:
        """Shut the Pi down in order. VirtualError: it does not."""
        if not self.processes():
            return
        with suppress(subprocess.TimeoutExpired):  # it may be off before it has answered
            self.ssh("sudo systemctl --no-block poweroff")
        deadline = time.monotonic() + patience
        while self.processes():
            if time.monotonic() > deadline:
                raise VirtualError(f"{self.name} is still running {patience:.0f} s after it was told to power off.")
            time.sleep(0.2)

    def kill(self, patience: float = 20) -> None:
        """Cut the power."""
        deadline = time.monotonic() + patience
        while processes := self.processes():
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise VirtualError(f"The processes {processes} of {self.name} do not end, even when killed.")
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return what runs the Pi: the operator, and its QEMU. Empty: it is off."""
        operator = self._operator()
        title = f"guest={self.folder}"
        return [pid for pid, words in _command_lines() if words[-len(operator) :] == operator or title in words]

    def _operator(self) -> list[str]:
        return ["-m", "tests.virtual.operate", self.kind, str(self.folder)]

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Have QEMU do something, and return its answer."""
        folder = os.open(self.folder, os.O_PATH)  # a socket's path may have 107 characters
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(f"/proc/self/fd/{folder}/{MONITOR}")
                with connection.makefile("rw") as stream:
                    for request in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                        stream.write(json.dumps(request) + "\n")
                        stream.flush()
                        answer = next(message for message in map(json.loads, stream) if message.keys() & _ANSWERS)
        except (OSError, ValueError, StopIteration) as error:
            raise VirtualError(f"The QEMU of {self.name} does not accept the command {name}: {error}") from None
        finally:
            os.close(folder)
        if "error" in answer:
            raise VirtualError(f"The QEMU of {self.name} refused {name}: {answer['error']['desc']}")
        return answer["return"]


_ANSWERS = {"return", "error"}


def events(qemu: "subprocess.Popen[str]") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a QEMU with ``-qmp stdio`` tells until its end, such as SHUTDOWN with its reason."""
    assert qemu.stdin and qemu.stdout
    with suppress(BrokenPipeError):  # it ended at once
        qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
        qemu.stdin.flush()
    for message in map(json.loads, qemu.stdout):
        if "event" in message:
            yield message["event"], message.get("data", {})


def forwarding(address: str, ports: dict[int, int]) -> str:
    """Return QEMU's options by which an address of the host leads to the Pi: outer port to inner port."""
    return "".join(f",hostfwd=tcp:{address}:{outer}-:{inner}" for outer, inner in ports.items())


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            yield int(path.parent.name), os.fsdecode(path.read_bytes()).split("\0")[:-1]
