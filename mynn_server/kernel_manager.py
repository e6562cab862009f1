"""Jupyter kernel management: kernel specs, running kernels, and reasons why kernels died."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from mynn.translation import N_
from mynn_server import output_store
from mynn_server.language import is_ours
from mynn_server.linux import SHORT, killed_for_memory, memory

RESTART = 120  # seconds to wait for a kernel that is being restarted
SOONEST = 600  # seconds: while memory is short, kernels that have been unused for this long are ended
# Stored in English and translated for each page; for the desk, status_socket.py replaces them by codes.
OUT_OF_MEMORY = N_(
    "This lesson’s program needed more memory than is left, so the Pi stopped it. "
    "End other lessons on the start page, then run this one again from the top."
)
STOPPED = N_("This lesson’s program stopped unexpectedly and was started again. Run the lesson again from the top.")
ROOT_FOLDER: Any = ""  # the folder of the server's files, as Jupyter's path
# If memory is short, Linux kills kernels before the server. -s: a broken package in the student's home stops no kernel.
CHOOM = ("/usr/bin/choom", "--adjust", "500", "--")
COMMAND = (*CHOOM, sys.executable, "-s")
# Our kernel limits outputs and explains errors. Plain: a traceback with context parses each file in it.
OURS = (
    "--IPKernelApp.kernel_class=mynn_server.kernel.Kernel", "--IPKernelApp.extra_extensions=mynn.explain",
    "--InteractiveShell.xmode=Plain",
)  # fmt: skip


class KernelSpecs(KernelSpecManager):
    """Kernel specs with our commands."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return a kernel's spec, with a command that Linux kills before the server."""
        spec = super().get_kernel_spec(kernel_name)
        python = kernel_name == NATIVE_KERNEL_NAME  # other kernels may be for any language
        spec.argv = [*COMMAND, *spec.argv[1:], *OURS] if python else [*CHOOM, *spec.argv]
        return spec


def reason_for(exit_status: int | None, killed: int) -> str:
    """Return why a kernel died. killed: number of recent kills for lack of memory on this Pi."""
    return OUT_OF_MEMORY if exit_status == -signal.SIGKILL and killed else STOPPED


class Kernels(AsyncMappingKernelManager):
    """Kernel manager. Kernels without a notebook start in the student's folder, not the server's working directory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._killed = killed_for_memory()
        self._usual = self.cull_idle_timeout

    async def start_kernel(self, *, path: Any = None, **options: Any) -> str:  # type: ignore[override]
        """Start a kernel at a path below the student's folder. Translated lessons start in the student's folder."""
        is_lesson = is_ours(str(path or "").partition("/")[0])
        kernel = str(await super().start_kernel(path=ROOT_FOLDER if is_lesson else path or ROOT_FOLDER, **options))
        for event in ("restart", "dead"):
            self.add_restart_callback(kernel, lambda: self._note_death(kernel), event)
        self.get_kernel(kernel).began = int(time.time())  # type: ignore[attr-defined]
        return kernel

    async def cull_kernels(self) -> None:
        """End unused kernels. While memory is short, ever sooner, so that those go first that were unused longest."""
        sooner = max(min(SOONEST, self._usual), self.cull_idle_timeout // 2)
        self.cull_idle_timeout = sooner if memory()["free"] < SHORT else self._usual
        await super().cull_kernels()  # type: ignore[no-untyped-call]

    def _note_death(self, kernel_id: str) -> None:
        """Note why a kernel has just died."""
        before, self._killed = self._killed, killed_for_memory()
        process = getattr(self.get_kernel(kernel_id).provisioner, "process", None)
        why = reason_for(getattr(process, "returncode", None), self._killed - before)
        output_store.store_of(kernel_id).end(why)

    def start_watching_activity(self, kernel_id: str) -> None:
        """Watch a started kernel's activity, and keep its cells' outputs."""
        super().start_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        output_store.follow(kernel_id, self.get_kernel(kernel_id))

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> None:  # type: ignore[override]
        """Restart a kernel, as “Start again” does, and forget its cells' outputs."""
        output_store.store_of(kernel_id).runs.clear()
        await super().restart_kernel(kernel_id, now=now)  # type: ignore[no-untyped-call]

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """End all kernels before the server ends."""
        # Each in its own task: threads that write files end with their task, and this task is the server's last.
        await asyncio.gather(*map(self._prepare_end, self.list_kernel_ids()))
        await super().shutdown_all(now=now)

    async def shutdown_kernel(self, kernel_id: str, **options: Any) -> None:  # type: ignore[override]
        """End a kernel."""
        await self._prepare_end(kernel_id)
        output_store.forget(kernel_id)
        await super().shutdown_kernel(kernel_id, **options)  # type: ignore[no-untyped-call]

    async def _prepare_end(self, kernel_id: str) -> None:
        """Save the cells' outputs, unless a page is connected: the page saves them itself.

        Wait for a kernel that is being restarted: jupyter_client (8.6 to 8.10) cannot end it meanwhile.
        """
        kernel: Any = self.get_kernel(kernel_id) if kernel_id in self else None
        with suppress(TimeoutError):
            async with asyncio.timeout(RESTART):
                while kernel and not kernel.ready.done():  # for its end first, then for its start
                    await asyncio.wait([kernel.ready])
        if kernel_id in self and not self.kernel_model(kernel_id)["connections"]:  # type: ignore[no-untyped-call]
            await output_store.write(kernel_id, self.parent)


def running(sessions: list[dict[str, Any]], kernel_manager: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each running kernel's notebook, whether it is busy, and why it died; and its manager."""
    for session in sessions:
        identity = session["kernel"]["id"]
        try:
            kernel = kernel_manager.get_kernel(identity)
        except KeyError:  # it ended meanwhile
            continue
        busy = session["kernel"].get("execution_state") == "busy"
        about = {"path": session["path"], "session": session["id"], "kernel": identity}
        yield {**about, "busy": busy, "died": output_store.store_of(identity).died}, kernel
