"""Run programs, print progress, and report errors in one sentence."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


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


def run(
    argv: Sequence[str | Path],
    *,
    doing: str,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    pass_fds: Sequence[int] = (),
) -> str:
    """Run a program without input, and return its output.

    ``doing`` names the step in error messages. With ``log``, the output is appended to that file instead.
    """
    words = [str(word) for word in argv]
    try:
        if log is None:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=env,
                timeout=timeout,
                check=False,
            )
            output = done.stdout
        else:
            with log.open("ab") as file:
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    text=True,
                    env=env,
                    timeout=timeout,
                    pass_fds=pass_fds,
                    check=False,
                )
            output = ""
    except FileNotFoundError:
        raise VirtualError(f"{doing} needs {words[0]}, which is not installed.") from None
    except subprocess.TimeoutExpired:
        raise VirtualError(f"{doing} took more than {timeout:.0f} s and was stopped.") from None
    if done.returncode != 0:
        lines = (log.read_text(errors="replace") if log else output).strip().splitlines()
        where = f"; see {log}" if log else ""
        last = lines[-1] if lines else "no output"
        raise VirtualError(f"{doing} failed: {words[0]} exited with {done.returncode}: {last}{where}.")
    return output


def spawn(argv: Sequence[str | Path], *, log: Path, cwd: Path) -> int:
    """Start a daemon in a new session, and return its process id."""
    # Through a shell that exits at once, so that the daemon is not our child and holds none of our pipes.
    done = subprocess.run(
        ["/bin/sh", "-c", 'setsid "$@" </dev/null >>"$LOG" 2>&1 & echo $!', "daemon", *map(str, argv)],
        cwd=cwd,
        env={**os.environ, "LOG": str(log)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


def warn(text: str) -> None:
    """Print a line to the standard error."""
    print(text, file=sys.stderr, flush=True)
