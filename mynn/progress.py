"""How far a long piece of work is, and how much memory it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path

_WIDTH = 30
_PAUSE = 0.2  # seconds between two drawings: drawing costs a slow computer time too


class Bar:
    """Draws `what [#####-----] 51 %, 12 s left` on the terminal, over and over; where there is none, nothing.

    It goes to the error stream, so that a program that reads the results is not disturbed. Call it with how
    much is done and how much there is to do.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()
        self.drawn = 0.0
        self.shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Redraw the bar, if it is time."""
        now = time.monotonic()
        if not self.shown or (done < total and now < self.drawn + _PAUSE):
            return
        self.drawn, passed = now, now - self.start
        filled = _WIDTH * done // total
        left = f"{passed * (total - done) / done:.0f} s left" if done else "just begun"
        rest = left if done < total else f"{passed:.1f} s"
        line = f"{self.what} [{'#' * filled}{'-' * (_WIDTH - filled)}] {100 * done // total:3} %, {rest}"
        print(f"\r{line:<78}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def peak_mib() -> float:
    """Return the most memory that this process has had so far, in MiB; on Windows, 0."""
    # Not getrusage where there is /proc: what it says of a child process begins with the peak of its parent.
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # a Mac, or a sandbox
        try:
            import resource
        except ImportError:
            return 0.0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 1024)
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
