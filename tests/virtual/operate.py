"""What runs a board: does what the firmware does, then is there until the board powers off or its power is cut.

Started by ``Board.switch_on`` as ``python3 -m tests.virtual.operate STATE``. Whoever ends it cuts the board's power.
"""

import json
import subprocess
import sys
from pathlib import Path

from .board import Board
from .errors import VirtualError
from .shell import say

REBOOT = "guest-reset"  # why QEMU ends when the guest asks for a reboot


def operate(board: Board) -> None:
    """Run the board until it powers off. A reboot is a start like any other, perhaps of another kernel."""
    while True:
        say("starting")
        words = ["setpriv", "--pdeathsig", "KILL", *board.load()]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
            reason = why_it_ends(qemu)
        say(f"QEMU ended with {qemu.returncode}, {reason}")
        if reason != REBOOT:
            break


def why_it_ends(qemu: subprocess.Popen[str]) -> str:
    """Wait for QEMU's end, and return its reason."""
    assert qemu.stdin and qemu.stdout
    qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
    qemu.stdin.flush()
    reason = "without a word"
    for message in map(json.loads, qemu.stdout):
        if message.get("event") == "SHUTDOWN":
            reason = message["data"]["reason"]
    return reason


if __name__ == "__main__":
    try:
        operate(Board(Path(sys.argv[1])))
    except (VirtualError, OSError) as error:
        say(str(error))
