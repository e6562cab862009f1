"""What boards and virtual machines have in common: QEMU runs them, each in its own folder."""

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

from .pi import Pi
from .shell import VirtualError

MONITOR = "monitor"  # QEMU's command socket (QMP), in the Pi's folder
_ANSWERS = {"return", "error"}


class Emulated(Pi):
    """A virtual Pi that runs in QEMU. Its processes are found by a title in their command lines."""

    folder: Path

    @property
    def title(self) -> str:
        """The value of QEMU's option ``-name``, unique to this Pi."""
        return f"guest={self.folder}"

    def status(self) -> str:
        """Return running or stopped."""
        return "running" if self.processes() else "stopped"

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

    def kill(self) -> None:
        """Cut the power."""
        deadline = time.monotonic() + 20
        while processes := self.processes():
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise VirtualError(f"The processes {processes} of {self.name} were killed, but are still there.")
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return the ids of the processes with this Pi's title; empty if the Pi is off."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # the process has ended
                if self.title in os.fsdecode(path.read_bytes()).split("\0"):
                    found.append(int(path.parent.name))
        return found

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
