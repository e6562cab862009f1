"""Measure the time, memory and network traffic of a command and all processes that it starts.

    python -m tests.benchmarks.cost NETWORK COMMAND...

runs the command and prints a `Cost` as one line of JSON. NETWORK is that of the Pis, such as 127.77.30.0/24: the bytes
sent there are counted by connection, as reported by the kernel.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.playbook_run import descendants

PERIOD = 0.5  # seconds between samples; shorter-lived processes and connections are missed
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Cost:
    """A command's exit code, output, seconds, CPU seconds, peak memory, and bytes sent by address."""

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    sent: dict[str, int]


def measured(command: Sequence[str], *, network: str, cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command and return its cost."""
    # In a separate process, so that only the command's children are counted.
    argv = [sys.executable, "-m", "tests.benchmarks.cost", network, *command]
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


def memory(processes: Sequence[int]) -> int:
    """Return the memory of processes in bytes; shared memory is counted once."""
    kilobytes = 0
    for process in processes:
        with suppress(OSError):  # the process has ended
            pss = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
            kilobytes += int(pss[1]) if pss else 0
    return kilobytes * 1024


def sent_bytes(network: str) -> dict[tuple[str, str], int]:
    """Return the bytes that each open connection to the network has sent, by its two ends."""
    words = ["ss", "--tcp", "--info", "--numeric", "--no-header", "--oneline", "dst", network]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    ends = re.compile(r"^\S+\s+\d+\s+\d+\s+(\S+)\s+(\S+)\s.*\bbytes_sent:(\d+)")
    return {(found[1], found[2]): int(found[3]) for found in map(ends.match, lines) if found}


def run(network: str, command: Sequence[str]) -> Cost:
    """Run the command. This process adopts orphaned descendants, so that all are counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sent: dict[tuple[str, str], int] = {}
    peak = 0
    over = threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(PERIOD):
            peak = max(peak, memory(descendants(command_process.pid)))
            for ends, count in sent_bytes(network).items():
                sent[ends] = max(count, sent.get(ends, 0))

    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        command_process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        looking = threading.Thread(target=look)
        looking.start()
        code = command_process.wait()
        seconds = time.monotonic() - began
        over.set()
        looking.join()
        output.seek(0)
        text = output.read()
    with suppress(ChildProcessError):
        while True:  # end SSH connections that are kept open
            for process in descendants(os.getpid())[1:]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
            os.wait()
    # Includes `ss`: some milliseconds for each sample.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    to: dict[str, int] = {}
    for (_, there), count in sent.items():
        address = there.rpartition(":")[0]
        to[address] = to.get(address, 0) + count
    return Cost(code, text, seconds, used.ru_utime + used.ru_stime, peak, to)


if __name__ == "__main__":
    print(json.dumps(asdict(run(sys.argv[1], sys.argv[2:]))))
