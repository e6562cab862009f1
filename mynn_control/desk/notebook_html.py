"""HTML of a pupil's notebook, from nbconvert. It is made in a process of its own, which ends if it takes too long.

The process reads requests as lines of JSON, the arguments of `html`, and prints HTML as lines of JSON, null if a
notebook is damaged. The HTML is for a frame without rights (app.py): what pupils wrote is untrusted.
"""
# mypy: untyped-calls-exclude="nbconvert,nbformat"

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from html import escape
from typing import Any

from mynn.outline import CHECKED
from mynn_control.desk.runs import PROJECT

DEADLINE = 60.0  # seconds; a Pi loads nbconvert for 15 seconds, once
DATA = ("text/html", "image/png", "image/jpeg", "text/markdown", "text/plain")  # the first of an output is shown
STYLE = """<style>body.jp-Notebook { margin: 0; padding: 12px; overflow-x: hidden } .jp-OutputPrompt { display: none }
:target { outline: 3px solid #0f6b6b; outline-offset: 4px; scroll-margin: 20vh }
.note { margin: 0 0 12px; padding: 8px 14px; border-left: 4px solid #8a5a00; background: #fff6dc;
  font: 16px sans-serif }
</style>"""


class Renderer:
    """The process, which is started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def html(self, *arguments: str) -> str | None:
        """Return a notebook's HTML, as the function `html` does; None if it is damaged, or takes too long."""
        with self._lock:
            if not self._process or self._process.poll() is not None:
                command = [sys.executable, "-W", "ignore", "-m", "mynn_control.desk.notebook_html"]
                self._process = subprocess.Popen(
                    command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
                )
            assert self._process.stdin and self._process.stdout
            timer = threading.Timer(DEADLINE, self._process.kill)
            timer.start()
            try:
                print(json.dumps(arguments), file=self._process.stdin, flush=True)
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


def html(text: str, language: str, note: str, left_out: str) -> str:
    """Return a notebook's HTML. text: its cells (mynn_server/look.py). left_out: in place of what the Pi left out.

    The cell that checks a task is at #cell-id=TASK.
    """
    from nbconvert import HTMLExporter
    from nbformat import v4  # loaded here, so not in the desk itself
    from traitlets.config import Config

    shown: set[str] = set()
    cells = [shown_cell(place, cell, left_out, shown) for place, cell in enumerate(json.loads(text))]
    about = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    notebook = {"metadata": about, "nbformat": 4, "nbformat_minor": 5, "cells": cells}
    config = Config({"NbConvertBase": {"display_data_priority": DATA}})
    exporter = HTMLExporter(config=config, sanitize_html=True, language_code=language)
    page, _ = exporter.from_notebook_node(v4.reads(json.dumps(notebook)))
    page = re.sub(r"<script\b.*?</script>", "", page.partition("<body")[0], flags=re.S) + page[page.index("<body") :]
    note = note and f'<p class="note">{escape(note)}</p>'
    return re.sub("</head>.*?<main>", lambda found: f"{STYLE}{found[0]}{note}", page, count=1, flags=re.S)


def shown_cell(place: int, cell: dict[str, Any], left_out: str, shown: set[str]) -> dict[str, Any]:
    """Return a cell for nbconvert, without metadata. shown: the tasks that already have a cell."""
    source = "".join(cell["source"])
    task = next((task for task in CHECKED.findall(source) if task not in shown), "")
    shown.add(task)
    kind = cell["cell_type"] if cell["cell_type"] in ("code", "markdown") else "raw"
    made: dict[str, Any] = {"id": task or f"-{place}", "cell_type": kind, "source": source, "metadata": {}}
    missing = {"output_type": "stream", "name": "stderr", "text": left_out}
    outputs = [missing if "left_out" in one else one for one in cell["outputs"]]
    outputs = [one | {"metadata": {}} if "data" in one else one for one in outputs]
    return made | ({"outputs": outputs, "execution_count": cell["execution_count"]} if kind == "code" else {})


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        try:
            page: str | None = html(*json.loads(line))
        except Exception:  # whatever nbconvert makes of a damaged notebook
            page = None
        print(json.dumps(page), flush=True)


if __name__ == "__main__":
    main()
