"""The playbook that keeps asking the Pis, playbooks/desk.yml, and their answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mynn_control.words import marked

PAUSE = 0.3  # seconds between looks for new answers
WANTED = marked("sudo on the Pis wants a password before the desk can ask them what the class does.")
STRANGE_KEY = re.compile("host key|identification has changed", re.I)  # as mitogen and ssh refuse one
UNKNOWN = marked("The playbook that asks the Pis has ended. The terminal in which the desk runs says why.")
FORKS = 500  # each Pi is asked in a process of its own, which starts when it is needed


class Answers:
    """What the Pis answered.

    folder: with PI.json of each Pi. pis: by Pi, as the action live_page documents it; nobody has parsed yet what is
    `shown`. off: the Pis that were switched off, until they answer again; one whose answer was still on its way stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pis: dict[str, dict[str, Any]] = {}
        self.off: set[str] = set()
        self._times: dict[str, int] = {}

    def update(self) -> bool:
        """Read the answers that are new. Returns whether there are any."""
        times = {path.stem: path.stat().st_mtime_ns for path in self.folder.glob("[!.]*.json")}
        gone = self.pis.keys() - times.keys()
        for pi in gone:
            del self.pis[pi]
        new = [pi for pi in times if times[pi] != self._times.get(pi)]
        for pi in new:
            self._read(pi)
        self._times = times
        return bool(new or gone)

    def forget(self) -> None:
        """Drop all answers, of which some are from Pis that are not asked any more."""
        for path in self.folder.glob("*.json"):
            path.unlink()

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
        before = self.pis.get(pi, {}).get("lost")
        if answer["lost"] is not None and answer["lost"] != (before or ""):
            print(f"{pi} does not answer: {answer['lost']}" if answer["lost"] else f"{pi} answers.", flush=True)
        self.pis[pi] = answer
        if answer["lost"] == "" != before:
            self.off.discard(pi)


class Asking:
    """The playbook, which is begun afresh whenever one of the files that it reads is written.

    trouble: what keeps it from asking, in words; empty if nothing does. password: for sudo on the Pis, if it wants one;
    it is kept for as long as the desk is open, and goes to the playbook through a pipe.
    """

    def __init__(self, command: Sequence[str], files: Sequence[Path]) -> None:
        self.command, self.files = [*command, "--forks", str(FORKS)], files
        self.trouble = self.password = ""
        self._begin()

    def _begin(self) -> None:
        self.trouble, self._interrupted, self._written = "", False, self._times()
        self._said = deque[str](maxlen=20)
        self._playbook = subprocess.Popen(
            [*self.command, *(["--become-password-file", "-"] if self.password else [])],
            stdin=subprocess.PIPE,  # it asks nobody: the page does
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Of the callbacks, ours notices that the desk was killed.
            env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "progress", "MYNN_DESK": str(os.getpid())},
            text=True,
            errors="replace",
        )
        with suppress(BrokenPipeError), self._playbook.stdin as file:  # type: ignore[union-attr]
            file.write(self.password)
        self._thread = threading.Thread(target=self._hear, args=(self._playbook.stdout,), daemon=True)
        self._thread.start()

    def _hear(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._said.append(line)
            if self._interrupted:
                continue
            print(line, end="", flush=True)
            if "sudo password" in line:  # as mitogen and Ansible end a refused task
                self.trouble = WANTED

    def _times(self) -> list[int]:
        return [path.stat().st_mtime_ns if path.exists() else 0 for path in self.files]

    def renew(self) -> bool:
        """Begin afresh if need be. Returns whether that was done; what was answered before counts no more."""
        if self._times() != self._written:
            self.interrupt()
            self.end()
            self._begin()
            return True
        if not self.trouble and self._playbook.poll() is not None:
            self._thread.join(1)
            self.trouble = "".join(self._said).rpartition("[ERROR]: ")[2].strip() or UNKNOWN
        return False

    def give(self, password: str) -> None:
        """Begin afresh with a password."""
        self.password, self._written = password, []

    def interrupt(self) -> None:
        """Ask it to end; what it says of that is not news."""
        self._interrupted = True
        self._playbook.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait for its end."""
        try:
            self._playbook.wait(10)
        except subprocess.TimeoutExpired:
            self._playbook.kill()
            self._playbook.wait()


def keep_asking(asking: Asking, update: Callable[[], None], again: Callable[[], None]) -> None:
    """Look for the playbook's answers until Ctrl-C. again: called when it was begun afresh."""

    def stop(*_: object) -> None:
        asking.interrupt()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the terminal sends it to the playbook, too
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while True:
            if asking.renew():
                again()
            update()
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        return
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # an impatient teacher may press Ctrl-C again
        asking.end()
