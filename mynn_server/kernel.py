"""IPython kernel that limits cells' outputs, since pages, files and the server cannot hold endless ones.

The limit is here and not in the server, so that excess output is not even sent. Outputs are sent a few times a second,
without those replaced meanwhile. Of long text, the beginning is kept and the end is shown in one output that replaces
itself. So a progress line, or a plot that replaces itself, may go on for hours.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ipykernel.ipkernel import IPythonKernel

from mynn.translation import N_, _, in_figures
from mynn_server.linux import PR_SET_CHILD_SUBREAPER, prctl
from mynn_server.outputs import ADDED, Message, overwritten, place_of, settle

EVERY = 0.2  # seconds between two batches of outputs
FIRST, LATEST = 30_000, 6_000  # characters of a cell's text that are kept
MOST, LARGEST = 40, 1_000_000  # a cell's other outputs (JupyterLab folds those after the 49th), and their bytes
RUNS = 20  # latest runs of cells that are remembered
TEXT_LEFT_OUT = N_(
    "[{count} characters are left out here. Of what a cell prints, only the beginning and the end are kept.]"
)
OUTPUTS_LEFT_OUT = N_(
    "[{count} more outputs are left out. A cell can show {shown} of them, or less if they are large.]"
)
LIMITED = ("stream", "display_data", "execute_result", "update_display_data", "clear_output")


def left_out(count: int) -> str:
    """Return a line that says how many characters are left out."""
    return _(TEXT_LEFT_OUT).format(count=in_figures(f"{count:,}")) + "\n"


class Run:
    """One run of a cell: counts and limits the outputs that it sends."""

    def __init__(self, message: Message) -> None:
        self.parent, self.number = message["parent_header"], 0
        self.clear()

    def clear(self) -> None:
        """Reset, as for a cell without outputs."""
        self.number += 1
        self.stream, self.line = "", ""  # name and last line of the last output, if it is a stream
        self.printed, self.shown, self.bytes = 0, 0, 0
        self.tail, self.left_out, self.unshown = "", 0, 0
        self.notes: dict[str, str] = {}  # shown in place of the outputs that are left out
        self.said: dict[str, str] = {}

    def limit(self, message: Message) -> Message | None:
        """Return the part of a message to send, if any."""
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            content["text"] = self._print(content["name"], content["text"])
            return message if content["text"] else None
        if kind == "clear_output":
            self.clear()
        elif kind != "update_display_data":
            self.stream = self.line = ""
            text = content["data"].get("text/plain", "")
            if len(text) > FIRST:
                content["data"]["text/plain"] = text[:FIRST] + "\n" + left_out(len(text) - FIRST)
            return message if kind == "execute_result" or self._show(content["data"]) else None
        return message

    def _print(self, stream: str, text: str) -> str:
        """Return the part of a text to send. It may overwrite the beginning of the line, which the page has."""
        if stream != self.stream:
            self.stream, self.line = stream, ""
        if self.tail:
            self._leave_out(text)
            return ""
        whole, rest = settle(self.line + text), ""
        room = len(self.line) + FIRST - self.printed
        if len(whole) > room:
            cut = whole.rfind("\n", len(self.line), room) + 1 or room
            whole, rest = whole[:cut], whole[cut:]
        sent = whole.removeprefix(self.line) if whole.startswith(self.line) else f"\r{whole}"
        self.printed += len(whole) - len(self.line)
        self.line = whole.rpartition("\n")[2]
        if rest:
            self._leave_out(rest)
        return sent

    def _leave_out(self, text: str) -> None:
        """Keep only the latest lines, and count the rest."""
        tail = settle(self.tail + text)
        begin = max(0, len(tail) - LATEST)
        begin = tail.find("\n", begin) + 1 or begin if begin else 0
        self.left_out += begin
        self.tail = tail[begin:]
        self.notes["text"] = (left_out(self.left_out) if self.left_out else "") + overwritten(self.tail)

    def _show(self, data: dict[str, Any]) -> bool:
        """Count an output; return whether there is room for it."""
        if self.shown < MOST and self.bytes < LARGEST:
            self.shown += 1
            self.bytes += sum(len(str(value)) for value in data.values())
            return True
        self.unshown += 1
        self.notes["outputs"] = _(OUTPUTS_LEFT_OUT).format(count=in_figures(f"{self.unshown:,}"), shown=self.shown)
        return False

    def new_notes(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the notes that have changed, each as message type and content."""
        new = []
        for name, text in self.notes.items():
            if self.said.get(name) != text:
                kind = "update_display_data" if name in self.said else "display_data"
                place = {"display_id": f"mynn-{name}-{self.parent.get('msg_id')}-{self.number}"}
                new.append((kind, {"data": {"text/plain": text}, "metadata": {}, "transient": place}))
        self.said = dict(self.notes)
        return new


class Limiter:
    """Queue that sends cells' outputs a few times a second, through a session's `send`."""

    def __init__(self, session: Any, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._session, self._send, self._later = session, session.send, later
        self._waiting: list[tuple[Any, Message, dict[str, Any]]] = []
        self._runs: dict[str, Run] = {}
        self._sent = 0.0
        self._is_scheduled = False
        self._lock = threading.RLock()

    def add(self, stream: Any, message: Message, **options: Any) -> None:
        """Send an output, now or soon."""
        with self._lock:
            if not self._merge(message):
                self._waiting.append((stream, message, options))
            if time.monotonic() - self._sent >= EVERY:
                self.flush()
            elif not self._is_scheduled:
                self._is_scheduled = True
                self._later(EVERY, self.flush)

    def _merge(self, message: Message) -> bool:
        """Drop waiting outputs that this one replaces; return whether it was merged into the last one."""
        kind, content, parent = message["msg_type"], message["content"], message["parent_header"]
        last = self._waiting[-1][1] if self._waiting else None
        is_cleared = kind == "clear_output" and not content["wait"]
        if last and last["parent_header"] == parent and (kind in ADDED or kind == last["msg_type"] == "clear_output"):
            if kind == last["msg_type"] == "stream" and content["name"] == last["content"]["name"]:
                last["content"]["text"] += content["text"]
                return True
            if kind == "clear_output" and not is_cleared:
                return True
            is_cleared |= last["msg_type"] == "clear_output"
        if is_cleared:
            self._waiting = [
                one
                for one in self._waiting
                if (one[1] is last and kind in ADDED)
                or one[1]["parent_header"] != parent
                or one[1]["msg_type"] == "update_display_data"
            ]
        if kind == "update_display_data":
            place = place_of(content)
            self._waiting = [
                one
                for one in self._waiting
                if not place or one[1]["msg_type"] != kind or place_of(one[1]["content"]) != place
            ]
        return False

    def flush(self) -> None:
        """Send the waiting outputs, within the limits."""
        with self._lock:
            self._is_scheduled, touched = False, {}
            while self._waiting:
                stream, message, options = self._waiting.pop(0)
                run = self._run(message)
                touched[run] = stream
                sent = run.limit(message)
                if sent:
                    self._send(stream, sent, **options)
                self._sent = time.monotonic()
            for run, stream in touched.items():
                for kind, content in run.new_notes():
                    self._send(stream, self._session.msg(kind, content, parent=run.parent), ident=b"display_data")

    def _run(self, message: Message) -> Run:
        """Return the run of a cell that a message belongs to."""
        name = message["parent_header"].get("msg_id", "")
        run = self._runs.pop(name, None) or Run(message)
        self._runs[name] = run
        if len(self._runs) > RUNS:
            del self._runs[next(iter(self._runs))]
        return run


class Kernel(IPythonKernel):
    """IPython kernel whose cells cannot send more than a page can hold."""

    def __init__(self, **options: Any) -> None:
        # Programs that a cell puts in the background stay this kernel's, so that forking.py ends them with it.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        super().__init__(**options)  # type: ignore[no-untyped-call]
        session: Any = self.session
        thread, process = self.iopub_thread, os.getpid()
        send = session.send
        outputs = Limiter(session, lambda seconds, do: thread.schedule(lambda: thread.io_loop.call_later(seconds, do)))

        def send_limited(stream: Any, message: Any, *arguments: Any, **named: Any) -> Any:
            if os.getpid() != process:  # a fork has no thread that would send it later
                return send(stream, message, *arguments, **named)
            if isinstance(message, dict) and message["msg_type"] in LIMITED:
                return outputs.add(stream, message, **named)
            outputs.flush()  # first, so that the order stays
            if message == "execute_input":  # only the request names the cell
                named["metadata"] = {"cell": named["parent"]["metadata"].get("cellId")}
            return send(stream, message, *arguments, **named)

        session.send = send_limited

    async def execute_request(self, stream: Any, ident: Any, parent: Message) -> None:
        """Run a cell. Report its end also if it was stopped before its first line, or after its last."""
        try:
            await super().execute_request(stream, ident, parent)  # type: ignore[no-untyped-call]
        except KeyboardInterrupt:
            shell, session = self.shell, self.session
            assert shell and session
            shell.showtraceback()
            reply = {"status": "error", "execution_count": self.execution_count, "ename": "KeyboardInterrupt"}
            session.send(stream, "execute_reply", reply | {"evalue": "", "traceback": []}, parent, ident=ident)
            self._abort_queues()
