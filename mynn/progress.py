"""Progress bar for the terminal, and the peak memory of this process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

_WIDTH = 30
_PAUSE = 0.2  # seconds between redraws, which take time on a slow computer


class Bar:
    """Progress bar, `what [#####-----] 51 %, 12 s left`, redrawn in place; silent without a terminal.

    It writes to stderr, so that stdout carries the results only. Call it with the amounts done and in total.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()
        self.drawn = 0.0
        self.shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Redraw the bar, unless the last redraw was just now."""
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
    """Return the peak memory (resident set) of this process so far, in MiB; 0 where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # Windows, a Mac, or a sandbox
        return 0.0
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
