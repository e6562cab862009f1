"""The process that makes HTML of pupils' notebooks (notebook_html.py). It ends if a notebook takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from mynn_control.desk.runs import PROJECT

DEADLINE = 60.0  # seconds; a lesson takes a PC a fifth of a second


class Renderer:
    """The process, which is started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def html(self, language: str, text: str, note: str) -> str | None:
        """Return a notebook's HTML, as notebook_html.html does; None if it is damaged, or takes too long."""
        with self._lock:
            if not self._process or self._process.poll() is not None:
                command = [sys.executable, "-m", "mynn_control.desk.notebook_html"]
                self._process = subprocess.Popen(
                    command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
                )
            assert self._process.stdin and self._process.stdout
            timer = threading.Timer(DEADLINE, self._process.kill)
            timer.start()
            try:
                print(json.dumps([language, text, note]), file=self._process.stdin, flush=True)
                answer: str | None = json.loads(self._process.stdout.readline() or "null")
            except BrokenPipeError:
                return None
            finally:
                timer.cancel()
            return answer

    def end(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
