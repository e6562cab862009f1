"""What boards and virtual machines have in common: QEMU runs them, each in its own folder."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from .pi import Pi
from .shell import VirtualError


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
        while processes := self.processes():
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return the ids of the processes with this Pi's title; empty if the Pi is off."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # the process has ended
                if self.title in os.fsdecode(path.read_bytes()).split("\0"):
                    found.append(int(path.parent.name))
        return found


def forwarding(address: str, ports: dict[int, int]) -> str:
    """Return QEMU's options that forward ports of a host address to the Pi; ``ports`` maps outer to inner."""
    return "".join(f",hostfwd=tcp:{address}:{outer}-:{inner}" for outer, inner in ports.items())
