"""Process that kernels are forked from, with all slow imports done.

forking.py starts it, and ends it by closing the socket between them. It runs no student code and reads no student
files: its HOME is elsewhere. A forked kernel has the folder, environment, signals, random numbers and open files of one
that was started in the ordinary way.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from mynn_server.linux import PR_SET_DUMPABLE, prctl

READY = b"ready"
LARGEST = 1 << 17  # bytes of a request, most of which is a kernel's environment
# The lessons' imports, then those of every kernel at its start.
IMPORTS = (
    "ipykernel.kernelapp", "matplotlib.pyplot", "mynn.explain", "mynn.lesson.described", "mynn.lesson.fields",
    "mynn.plotting", "mynn_server.kernel", "numpy.random",
    "IPython.core.completerlib", "IPython.core.debugger", "IPython.core.logger", "IPython.core.oinspect",
    "IPython.extensions.storemagic", "faulthandler", "ipykernel.debugger", "resource", "sqlite3",
    "tornado.platform.asyncio",
)  # fmt: skip


def main(descriptor: int) -> None:
    """Import, then fork a kernel at each request until the server closes the socket. In the fork, run the kernel."""
    # Otherwise the account's other programs could change this memory, which kernels inherit.
    prctl(PR_SET_DUMPABLE, 0)
    del sys.path[0]  # the working directory
    gc.disable()
    server = socket.socket(fileno=descriptor)
    with tempfile.TemporaryDirectory(prefix="matplotlib-") as folder:
        import_all(folder)
    draw()
    # Kernels' garbage collectors never touch frozen objects, so that memory stays shared.
    gc.collect()
    gc.freeze()
    server.send(READY)
    request = serve(server)
    if request is None:
        os._exit(0)
    server.close()
    become(**request)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def import_all(folder: str) -> None:
    """Import all of IMPORTS, with matplotlib's settings and cache in an empty folder. No import starts a thread."""
    os.environ["MPLCONFIGDIR"] = folder
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it
    for fonts in Path(sys.prefix, "share/matplotlib").glob("fontlist-*.json"):
        shutil.copy(fonts, folder)
    for name in IMPORTS:
        importlib.import_module(name)
    import ipywidgets  # type: ignore[import-untyped]

    ipywidgets.register_comm_target()  # on import, it does this in kernels only


def draw() -> None:
    """Draw a plot and discard it: matplotlib loads fonts and formats at first use."""
    from matplotlib.figure import Figure

    from mynn.png import plot_source

    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], label="line")
    left.set_title("plot")
    left.legend()
    right.imshow([[0, 1], [1, 0]], cmap="Greys")
    plot_source(figure)


def serve(server: socket.socket) -> dict[str, Any] | None:
    """Answer each request with the new kernel's process id, 0 if it failed; in that kernel, return the request.

    Return None when the server has closed the socket, or has ended.
    """
    while request := server.recv(LARGEST):
        kernel = fork_twice()
        if kernel is None:
            return dict(json.loads(request))
        server.send(str(kernel).encode())
    return None


def fork_twice() -> int | None:
    """Fork twice, so that the server becomes the kernel's parent; return its process id, or None in the kernel."""
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        try:
            kernel = os.fork()
        except OSError:
            os._exit(1)
        if kernel:
            os.write(writing, str(kernel).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        return None
    os.close(writing)
    kernel = int(os.read(reading, 20) or 0)
    os.close(reading)
    os.waitpid(between, 0)
    return kernel


def become(arguments: list[str], cwd: str, env: dict[str, str], oom_score_adj: str) -> None:
    """Make a forked process like one that was started in the ordinary way."""
    os.setsid()
    prctl(PR_SET_DUMPABLE, 1)
    Path("/proc/self/oom_score_adj").write_text(oom_score_adj, encoding="ascii")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    sys.argv = ["ipykernel_launcher", *arguments]
    gc.enable()

    import numpy as np

    np.random.seed()  # other generators, and Python's, are seeded when they are made or forked


if __name__ == "__main__":
    main(int(sys.argv[1]))
