"""A live page of a teacher's, such as that of `make wall`, while its command runs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.classroom import ROOT, BaseClassroom
from tests.support.playbook_run import descendants


@contextmanager
def kept(classroom: BaseClassroom, name: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `make NAME` until Ctrl-C, after which nothing of it is left; yield the page's address and the process."""
    program = [sys.executable, "-m", f"mynn_control.{name}", str(folder)]
    process = subprocess.Popen(
        [*program, *classroom.command(name)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        url = re.match(r"The \w+: (http://127\.0\.0\.1:\d+) ", process.stdout.readline())
        assert url
        yield url[1], process
        started = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        output, _ = process.communicate(timeout=30)
        print(output)
        assert process.returncode == 0, output
        assert f"The {name} has ended." in output
        left = [one for one in started if Path(f"/proc/{one}").exists() and "Z (" not in status(one)]
        assert left == []
    finally:
        for one in descendants(process.pid) if process.poll() is None else []:
            os.kill(one, signal.SIGKILL)


def status(process: int) -> str:
    """Return a process's status in words; a zombie's if it has gone."""
    try:
        return Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return "Z ("


SERVER = "pgrep -of '[m]ynn_server.serve 8888'"
# The processor time of the Python processes that a run has on a Pi, in ticks of 10 ms.
LOAD = r"""
sudo sh -c '
ticks=0
for process in $(pgrep -f "[p]ython3.mitogen"); do
    ticks=$((ticks + $(sed "s/.*) //" /proc/$process/stat | cut -d" " -f12,13 | tr " " +)))
done
echo $ticks'
"""


def processor_shares(classroom: BaseClassroom, seconds: float) -> tuple[float, float]:
    """Return what share of the Pi's processor a run takes, and the notebook server, over so many seconds."""
    before, began = _ticks(classroom), time.monotonic()
    time.sleep(seconds)
    after, passed = _ticks(classroom), (time.monotonic() - began) * 100
    return (after[0] - before[0]) / passed, (after[1] - before[1]) / passed


def _ticks(classroom: BaseClassroom) -> tuple[int, int]:
    """Return the processor time of a run's processes on the Pi, and of the notebook server's, in ticks of 10 ms."""
    fields = classroom.ssh(f"cat /proc/$({SERVER})/stat").stdout.rpartition(")")[2].split()
    return int(classroom.ssh(LOAD).stdout), int(fields[11]) + int(fields[12])
