"""Run a board or a virtual machine until it powers off.

Started by ``Emulated.power_on`` as ``python3 -m tests.virtual.operate KIND FOLDER``. Killing it cuts the power.
"""

import subprocess
import sys
from pathlib import Path

from .board import Board
from .emulated import REBOOT, Emulated, events
from .root import in_use
from .shell import VirtualError, say
from .vm import vm_in


def operate(pi: Emulated) -> None:
    """Run the Pi until it powers off. A reboot starts QEMU again, since the kernel may have changed."""
    while True:
        say("starting")
        # Emulated.processes finds QEMU by this name.
        words = ["setpriv", "--pdeathsig", "KILL", *pi.load(), "-name", f"guest={pi.folder}"]
        words += ["-qmp", "stdio", "-no-reboot"]
        reason = "no shutdown event"
        with subprocess.Popen(
            words, cwd=pi.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as qemu:
            for event, data in events(qemu):
                if event == "SHUTDOWN":
                    reason = data["reason"]
        say(f"QEMU exited with {qemu.returncode}, {reason}")
        if reason != REBOOT:
            break


def main() -> None:
    """Run the Pi that the command line names."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == Board.kind:
        operate(Board(folder))
        return
    vm = vm_in(folder)
    with in_use(vm.lower):
        operate(vm)


if __name__ == "__main__":
    try:
        main()
    except (VirtualError, OSError) as error:
        say(str(error))
