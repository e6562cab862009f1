"""A Pi's worker in the class's cluster: Dask's own, which steps aside where memory is short.

dask worker --worker-class mynn.experiments.worker.PiWorker ...
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

from distributed import Worker

from mynn.errors import DataError
from mynn.experiments.jobs import Digits
from mynn.network import NeuralNetwork

EVERY = 5.0  # seconds between two looks at the memory
SHORT = 2  # such looks in a row at which it is short


class PiWorker(Worker):  # type: ignore[misc]
    """A worker without Dask's page and its figures, which everybody could ask for.

    If less memory than the environment's MYNN_FREE_MB is left, it ends its job, which another Pi then does, and itself.
    systemd starts it again once there is memory.
    """

    def start_http_server(self, *_: object, **__: object) -> None:
        """Start none."""

    async def start_unsafe(self) -> Any:
        """Join the cluster, if this Pi can do jobs at all; a broken one fails alone."""
        try:
            training, testing = Digits().read()
        except DataError as error:
            leave(f"This Pi cannot take part: {error}", 1)
        network = NeuralNetwork(784, 5, 10, 0.1, seed=0)
        network.fit(training[:10])
        network.score(testing[:10])
        self._watching = asyncio.create_task(step_aside(int(os.environ.get("MYNN_FREE_MB", "50"))))
        return await super().start_unsafe()


async def step_aside(least: int) -> None:
    """End this process when memory is short, in MB."""
    short = 0
    while short < SHORT:
        await asyncio.sleep(EVERY)
        short = short + 1 if free_mb() < least else 0
    leave("Stepping aside: memory is short.", 0)


def free_mb() -> int:
    """Return the memory that programs can still have, in MB."""
    match = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.M)
    return int(match[1]) * 1024 // 1_000_000 if match else 0


def leave(reason: str, code: int) -> None:
    """End this process without waiting for its job."""
    print(reason, flush=True)
    os._exit(code)
