"""What boards and virtual machines have in common: QEMU runs them, each in its own folder.

``tests.virtual.operate`` runs as long as the Pi is switched on. It and its QEMU are found by the folder in their
command lines, even if the process that started them was killed.
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

REBOOT = "guest-reset"  # QEMU's reason for exiting when the guest reboots
MONITOR = "monitor"  # QEMU's command socket (QMP), in the Pi's folder


class Emulated(Pi):
    """A virtual Pi that runs in QEMU."""

    kind: str  # the first argument of tests.virtual.operate
    folder: Path

    def load(self) -> list[str]:
        """Prepare a start, as the firmware does, and return the QEMU command line."""
        raise NotImplementedError

    def status(self) -> str:
        """Return running or stopped."""
        return "running" if self.processes() else "stopped"

    def power_on(self) -> None:
        """Start booting. The Pi must be off."""
        spawn([PYTHON, *self._operator()], log=self.log, cwd=PROJECT)

    def power_off(self, patience: float) -> None:
        """Shut the Pi down cleanly. Raises VirtualError if it keeps running."""
        if not self.processes():
            return
        with suppress(subprocess.TimeoutExpired):  # it may be off before it answers
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
                raise VirtualError(f"The processes {processes} of {self.name} were killed, but are still there.")
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return the ids of the operator and its QEMU; empty if the Pi is off."""
        operator = self._operator()
        title = f"guest={self.folder}"
        return [pid for pid, words in _command_lines() if words[-len(operator) :] == operator or title in words]

    def _operator(self) -> list[str]:
        return ["-m", "tests.virtual.operate", self.kind, str(self.folder)]

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Run a QMP command, and return QEMU's answer."""
        folder = os.open(self.folder, os.O_PATH)  # a socket's path is limited to 107 characters
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
    """Yield the events of a QEMU with ``-qmp stdio`` until it exits, such as SHUTDOWN with its reason."""
    assert qemu.stdin and qemu.stdout
    with suppress(BrokenPipeError):  # QEMU has exited already
        qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
        qemu.stdin.flush()
    for message in map(json.loads, qemu.stdout):
        if "event" in message:
            yield message["event"], message.get("data", {})


def forwarding(address: str, ports: dict[int, int]) -> str:
    """Return QEMU's options that forward ports of a host address to the Pi; ``ports`` maps outer to inner."""
    return "".join(f",hostfwd=tcp:{address}:{outer}-:{inner}" for outer, inner in ports.items())


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended
            yield int(path.parent.name), os.fsdecode(path.read_bytes()).split("\0")[:-1]
