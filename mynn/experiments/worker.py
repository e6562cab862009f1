"""Dask worker for a Pi: it exits when the Pi's memory is short.

dask worker --worker-class mynn.experiments.worker.PiWorker ...
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from distributed import Worker
from psutil import virtual_memory  # distributed needs psutil, too

from mynn.errors import DataError
from mynn.experiments.jobs import Digits
from mynn.network import NeuralNetwork

EVERY = 5.0  # time between two checks of the memory, seconds
SHORT = 2  # the worker exits after this many checks in a row that find too little memory


class PiWorker(Worker):  # type: ignore[misc]
    """A worker without Dask's dashboard and metrics, which would be open to everybody on the network.

    If less memory than MYNN_FREE_MB (environment, default 50) is available, the worker exits and another Pi does its
    job. systemd starts the worker again once there is memory.
    """

    def start_http_server(self, *_: object, **__: object) -> None:
        """Start no HTTP server."""

    async def start_unsafe(self) -> Any:
        """Join the cluster after a trial job: a broken Pi exits before it can fail the class's jobs."""
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
    """End this process once less than `least` MB of memory are available, twice in a row."""
    short = 0
    while short < SHORT:
        await asyncio.sleep(EVERY)
        short = short + 1 if virtual_memory().available < least * 1_000_000 else 0
    leave("Stepping aside: memory is short.", 0)


def leave(reason: str, code: int) -> None:
    """Print the reason and end this process without waiting for its job."""
    print(reason, flush=True)
    os._exit(code)
