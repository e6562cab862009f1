"""The playbook that keeps asking the Pis, playbooks/desk.yml, and their answers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PAUSE = 0.3  # seconds between looks for new answers
FORKS = 500  # each Pi is asked in a process of its own, which starts when it is needed


class Answers:
    """What the Pis answered.

    folder: with PI.json of each Pi. pis: by Pi, as the action live_page documents it; nobody has parsed yet what is
    `shown`. off: the Pis that were switched off, until they answer again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pis: dict[str, dict[str, Any]] = {}
        self.off: set[str] = set()
        self._times: dict[str, int] = {}

    def update(self) -> bool:
        """Read the answers that are new. Returns whether there are any."""
        times = {path.stem: path.stat().st_mtime_ns for path in self.folder.glob("[!.]*.json")}
        new = [pi for pi in times if times[pi] != self._times.get(pi)]
        for pi in new:
            self._read(pi)
        self._times = times
        return bool(new)

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the Pis in the inventory's order."""
        return sorted(self.pis.items(), key=lambda pi: pi[1]["place"])

    def shown(self, page: str) -> dict[str, dict[str, str]]:
        """Return by Pi, in the inventory's order, and by student, the text for a page."""
        return {name: pi["shown"].get(page, {}) for name, pi in self.in_order()}

    @property
    def answering(self) -> int:
        """How many Pis answer."""
        return sum(pi["lost"] == "" for pi in self.pis.values())

    def _read(self, pi: str) -> None:
        answer = json.loads((self.folder / f"{pi}.json").read_bytes())  # the action has written it, and whole
        before = self.pis.get(pi, {}).get("lost") or ""
        if answer["lost"] is not None and answer["lost"] != before:
            print(f"{pi} does not answer: {answer['lost']}" if answer["lost"] else f"{pi} answers.", flush=True)
        self.pis[pi] = answer
        if answer["lost"] == "":
            self.off.discard(pi)


def keep_asking(command: Sequence[str], update: Callable[[], None], stay: bool = False) -> int:
    """Run the playbook until it ends, or Ctrl-C, and look for its answers. Returns its exit code, 0 after Ctrl-C.

    stay: until Ctrl-C in any case.
    """
    playbook = subprocess.Popen([*command, "--forks", str(FORKS)])

    def stop(*_: object) -> None:
        playbook.send_signal(signal.SIGINT)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the terminal sends it to the playbook, too
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while stay or playbook.poll() is None:
            update()
            time.sleep(PAUSE)
        return playbook.returncode
    except KeyboardInterrupt:
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # an impatient teacher may press Ctrl-C again
        try:
            playbook.wait(10)
        except subprocess.TimeoutExpired:
            playbook.kill()
            playbook.wait()
