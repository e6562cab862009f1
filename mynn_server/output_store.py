"""Store of cells' outputs until a page has saved them, for pages that were closed or offline.

It follows the messages of each kernel (kernel_manager.py). A page that opens a notebook or reconnects fetches missed
outputs (page/keep.js). If a kernel ends while no page is connected, unsaved outputs are written into the notebook's
file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import zmq
from jupyter_client.session import Session
from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError, authenticated
from traitlets.log import get_logger

from mynn.translation import N_, _
from mynn_server.outputs import Message, Outputs

LARGEST = 4 << 20  # bytes per cell; a kernel may hold twice that
RETRY, USUAL = 10, 100  # milliseconds between tries to connect: a new kernel's first cell may run at once
MOST = 1000  # runs per kernel
TOO_LARGE = N_("[What this cell showed while its page was closed was too large to be kept.]")
KERNEL = re.compile(r"[0-9a-f-]{36}")
NOT_AS_EXPECTED = (LookupError, TypeError, ValueError, AttributeError)


class Run:
    """One run of a cell: its code and its outputs."""

    def __init__(self, message: Message) -> None:
        header, content = message["parent_header"], message["content"]
        self.request, self.page = header["msg_id"], header["session"]
        self.cell, self.code = str(message["metadata"]["cell"]), str(content["code"])
        self.count = int(content["execution_count"])
        self.outputs = Outputs()
        self.is_running = True
        self.changed = 0  # the kernel's count of changes when this run last changed

    def add(self, message: Message) -> None:
        """Apply a message. Outputs that are too large become one line that says so."""
        self.outputs.add(message)
        if self.size() > LARGEST:
            self.outputs = Outputs()
            self.outputs.add({"msg_type": "stream", "content": {"name": "stderr", "text": _(TOO_LARGE) + "\n"}})

    def size(self) -> int:
        """Return the approximate size in bytes."""
        return len(self.code) + sum(
            len(value) if isinstance(value, str) else len(str(value))
            for output in self.outputs.shown
            for value in (*output.values(), *output.get("data", {}).values())
            if not isinstance(value, dict)
        )

    def is_in(self, cell: dict[str, Any]) -> bool:
        """Return whether the file's cell already has the whole output."""
        shown = self.outputs.shown
        return (
            not self.is_running
            and cell.get("execution_count") == self.count
            and len(cell.get("outputs", [])) >= len(shown)
        )


class OutputStore:
    """Unsaved runs of one kernel."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}  # by cell
        self.changes = 0
        self.died = ""  # why the kernel died, if it did since a cell was last run
        self.stream: Any = None

    def connect(self, kernel: Any) -> None:
        """Start to keep the kernel's outputs, or go on after a restart, which may have changed its ports."""
        if self.stream:
            self.end("")
            self.stream.close()
        self._session = Session(config=kernel.session.config, key=kernel.session.key)
        # The delay doubles from RETRY to USUAL: a hundred tries a second would slow a Pi Zero down.
        kernel.context.setsockopt(zmq.RECONNECT_IVL, RETRY)
        kernel.context.setsockopt(zmq.RECONNECT_IVL_MAX, USUAL)
        self.stream = kernel.connect_iopub()
        self.stream.on_recv(self.hear)

    def hear(self, parts: list[Any]) -> None:
        """Handle a raw message. A student's program may have sent it."""
        try:
            _identities, parts = self._session.feed_identities(parts)
            self.follow(self._session.deserialize(parts))
        except NOT_AS_EXPECTED as error:
            get_logger().warning("A message from a kernel was not understood: %r", error)

    def follow(self, message: Message) -> None:
        """Add a message to its run."""
        kind, request = message["msg_type"], message["parent_header"].get("msg_id")
        if kind == "execute_input" and message["metadata"].get("cell"):
            self.died, begun = "", Run(message)
            self.runs.pop(begun.cell, None)
            self.runs[begun.cell] = begun
            while len(self.runs) > MOST or sum(run.size() for run in self.runs.values()) > 2 * LARGEST:
                del self.runs[next(iter(self.runs))]
        self.changes += 1
        for run in self.runs.values():
            if run.request == request:
                run.is_running &= kind != "status" or message["content"]["execution_state"] != "idle"
                run.add(message)
            elif kind == "update_display_data":
                run.add(message)
            else:
                continue
            run.changed = self.changes

    def end(self, died: str) -> None:
        """Mark all runs as ended, and note why the kernel died, if it did."""
        self.died = died
        self.changes += 1
        for run in self.runs.values():
            run.is_running, run.changed = False, self.changes

    def since(self, changes: int) -> list[dict[str, Any]]:
        """Return the runs that have changed since that count of changes."""
        return [
            {
                "cell": run.cell,
                "request": run.request,
                "page": run.page,
                "count": run.count,
                "running": run.is_running,
                "outputs": run.outputs.shown,
            }
            for run in self.runs.values()
            if run.changed > changes
        ]

    def forget_saved(self, notebook: dict[str, Any]) -> None:
        """Forget the runs that a page has saved."""
        for cell in notebook["cells"]:
            run = self.runs.get(cell.get("id"))
            if run and run.is_in(cell):
                del self.runs[run.cell]

    def fill(self, notebook: dict[str, Any]) -> bool:
        """Write unsaved outputs into a notebook's unchanged cells; return whether there were any."""
        is_changed = False
        for cell in notebook["cells"]:
            run = self.runs.get(cell.get("id"))
            if run and cell["cell_type"] == "code" and cell["source"] == run.code and not run.is_in(cell):
                count = None if run.is_running else run.count
                cell |= {"outputs": run.outputs.shown, "execution_count": count}
                is_changed = True
        return is_changed


kernels: dict[str, OutputStore] = {}


def follow(kernel_id: str, kernel: Any) -> None:
    """Keep a kernel's outputs from now on."""
    kernels.setdefault(kernel_id, OutputStore()).connect(kernel)


def store_of(kernel_id: str) -> OutputStore:
    """Return a kernel's store. While the kernel is starting or ending, it is an empty one that is not kept."""
    return kernels.get(kernel_id, OutputStore())


def forget(kernel_id: str) -> None:
    """Stop following a kernel that has ended."""
    ended = kernels.pop(kernel_id, None)
    if ended:
        ended.stream.close()


def forget_saved(kernel_id: object, model: dict[str, Any]) -> None:
    """Forget the runs that a page has saved. The page names its kernel."""
    with suppress(*NOT_AS_EXPECTED):
        if isinstance(kernel_id, str) and kernel_id in kernels:
            kernels[kernel_id].forget_saved(model["content"])


async def write(kernel_id: str, server: Any) -> None:
    """Write a kernel's unsaved outputs into its notebook."""
    try:
        for session in await ensure_async(server.session_manager.list_sessions()):
            if session["kernel"]["id"] == kernel_id and session["type"] == "notebook" and kernels[kernel_id].runs:
                model = await server.contents_manager.get(session["path"], type="notebook", require_hash=True)
                if kernels[kernel_id].fill(model["content"]):
                    changed = {"type": "notebook", "content": model["content"], "made_from": model["hash"]}
                    await server.contents_manager.save(changed, session["path"])
    except (HTTPError, OSError, *NOT_AS_EXPECTED) as error:
        get_logger().warning("What cells have shown could not be saved: %r", error)


class Missed(JupyterHandler):
    """Handler that sends a page the outputs that it missed."""

    @authenticated
    async def get(self) -> None:
        """Send the runs of a kernel's cells that changed after `since`, whether it is busy, and why it died."""
        kernel, since = self.get_argument("kernel"), self.get_argument("since", "0")
        if not KERNEL.fullmatch(kernel) or not re.fullmatch("[0-9]{1,15}", since):
            raise HTTPError(404, "There is no such program.")
        self.set_header("Cache-Control", "no-store")
        one, busy = store_of(kernel), False
        if kernel in kernels:  # not ended by the start page, while its notebook's page still asks
            busy = getattr(self.kernel_manager.get_kernel(kernel), "execution_state", "") == "busy"
        self.finish({"runs": one.since(int(since)), "changes": one.changes, "busy": busy, "died": _(one.died)})
