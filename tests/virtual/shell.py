"""Run programs, print progress, and report errors in one sentence."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUDO = [] if os.geteuid() == 0 else ["sudo", "--"]


class VirtualError(Exception):
    """An error whose message says what is wrong, where, and what to do."""


def say(text: str) -> None:
    """Print a line and flush it."""
    print(text, flush=True)


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Print what is being done, and then how many seconds it took."""
    say(f"{text} ...")
    start = time.monotonic()
    yield
    say(f"  {time.monotonic() - start:.1f} s")


def run(argv: Sequence[str | Path], *, doing: str, timeout: float | None = None) -> str:
    """Run a program without input, and return its output. ``doing`` names the step in error messages."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise VirtualError(f"{doing} needs {words[0]}, which is not installed.") from None
    except subprocess.TimeoutExpired:
        raise VirtualError(f"{doing} took more than {timeout:.0f} s and was stopped.") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise VirtualError(f"{doing} failed: {words[0]} exited with {done.returncode}: {lines[-1]}")
    return done.stdout


def spawn(argv: Sequence[str | Path], *, log: Path, cwd: Path) -> None:
    """Start a daemon in a new session."""
    # Through a shell that exits at once, so that the daemon is not our child and holds none of our pipes.
    subprocess.run(
        ["/bin/sh", "-c", 'setsid "$@" </dev/null >>"$LOG" 2>&1 &', "daemon", *map(str, argv)],
        cwd=cwd,
        env={**os.environ, "LOG": str(log)},
        stdin=subprocess.DEVNULL,
        check=True,
    )
