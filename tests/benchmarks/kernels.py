"""How long a student waits for a lesson's first picture, and the memory of three programs at once.

    python -m tests.benchmarks.kernels URL PASSWORD [--warm-up 120] [--authority FILE]

Asks a notebook server over its own interface, whether a Pi, a board, or one on this computer. Opens a page first, as a
browser does, and waits so many seconds for the process that kernels are forked from; 0 shows how it is when a lesson is
opened at once. Each of three kernels stays while the next one starts.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from tests.provisioned.notebook_server import Kernel, NotebookServer

IMPORTS = "import numpy as np, matplotlib.pyplot as plt, mynn"
PLOT = "plt.plot([1, 2, 3]);"
CELLS = {"first answer": "1 + 1", "imported": IMPORTS, "first plot": PLOT, "next plot": PLOT}
# Of a program: whether it was forked; what it alone has; and with its share of what it has in common with others.
MEMORY = """
import gc, re
lines = open("/proc/self/smaps_rollup").read()
sizes = {name: int(kib) / 1024 for name, kib in re.findall(r"(\\w+): +(\\d+) kB", lines)}
print("forked" if gc.get_freeze_count() else "started", end="")
print(f", {sizes['Private_Clean'] + sizes['Private_Dirty'] + sizes.get('Swap', 0):.0f} MiB of its own", end="")
print(f", {sizes['Pss'] + sizes.get('SwapPss', 0):.0f} MiB with its share")
"""


def main() -> None:
    """Print the waits and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("password")
    parser.add_argument("--warm-up", type=float, default=120, metavar="SECONDS")
    parser.add_argument("--authority", default="", metavar="FILE", help="certificate to trust, for https")
    options = parser.parse_args()
    for when, what in waits(NotebookServer(options.url, options.authority), options.password, options.warm_up):
        print(f"{when:10} {what}", flush=True)


def waits(
    server: NotebookServer, password: str, warm_up: float, now: Callable[[], float] = time.monotonic
) -> Iterator[tuple[str, str]]:
    """Start three kernels; yield what was measured, and when. ``now`` tells the time, in seconds."""
    yield "at rest", server_memory(server, password)
    server.ask("GET", "/start/", headers={"Accept": "text/html"})
    began = now()
    while now() < began + warm_up:
        time.sleep(1)
    yield "ready", server_memory(server, password)
    with ExitStack() as kernels:
        for number in (1, 2, 3):
            began = now()
            kernel = kernels.enter_context(server.kernel())
            for what, code in CELLS.items():
                run(kernel, code)
                yield f"kernel {number}", f"{what} after {now() - began:.1f} s"
            yield f"kernel {number}", run(kernel, MEMORY)
            yield f"with {number}", server_memory(server, password)


def run(kernel: Kernel, code: str) -> str:
    """Run a cell, and return what it printed; an error ends all."""
    output = kernel.run(code)
    if output.error:
        raise SystemExit(output.error)
    return output.text.strip()


def server_memory(server: NotebookServer, password: str) -> str:
    """What the start page says is left. Signs in first, if nobody has."""
    if server.ask("GET", "/start/status").status_code != 200 and not server.sign_in(password):
        raise SystemExit("The password is wrong.")
    memory = server.get("/start/status")["memory"]
    return f"{memory['free']} of {memory['total']} MiB are free"


if __name__ == "__main__":
    main()
