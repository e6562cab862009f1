"""What a command costs the computer that it runs on, with all the processes that it starts.

    python -m tests.benchmarks.cost NETWORK COMMAND...

runs the command and prints one line of JSON, a `Cost`. NETWORK, such as 127.77.30.0/24, is where the Pis are: what is
sent there is counted connection by connection, from the kernel's own figures.
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

PERIOD = 0.5  # seconds between two looks; what comes and goes in between is not seen
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Cost:
    """Of one command: its exit code and output, seconds, seconds of CPU, peak of memory and bytes sent, by address."""

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    sent: dict[str, int]


def measured(command: Sequence[str], *, network: str, cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command and return what it cost."""
    # In a process of its own, so that nobody else's children are counted.
    argv = [sys.executable, "-m", "tests.benchmarks.cost", network, *command]
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


def memory(processes: Sequence[int]) -> int:
    """Return the bytes that these processes take; what several share is counted once."""
    kilobytes = 0
    for process in processes:
        with suppress(OSError):  # it ended meanwhile
            pss = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
            kilobytes += int(pss[1]) if pss else 0
    return kilobytes * 1024


def sent_bytes(network: str) -> dict[tuple[str, str], int]:
    """Return what each open connection to the network has sent so far, by its two ends."""
    words = ["ss", "--tcp", "--info", "--numeric", "--no-header", "--oneline", "dst", network]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    ends = re.compile(r"^\S+\s+\d+\s+\d+\s+(\S+)\s+(\S+)\s.*\bbytes_sent:(\d+)")
    return {(found[1], found[2]): int(found[3]) for found in map(ends.match, lines) if found}


def run(network: str, command: Sequence[str]) -> Cost:
    """Run the command; this process takes in all whose parents end, so that none is missed."""
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
        said = output.read()
    with suppress(ChildProcessError):
        while True:  # connections that are kept open for a next command
            for process in descendants(os.getpid())[1:]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
            os.wait()
    # `ss` is among these too: some milliseconds a look.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    to: dict[str, int] = {}
    for (_, there), count in sent.items():
        address = there.rpartition(":")[0]
        to[address] = to.get(address, 0) + count
    return Cost(code, said, seconds, used.ru_utime + used.ru_stime, peak, to)


if __name__ == "__main__":
    print(json.dumps(asdict(run(sys.argv[1], sys.argv[2:]))))
