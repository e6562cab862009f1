"""The Pi's worker: it does the jobs of the class's cluster, one at a time, and steps aside where memory is short.

    worker.py SCHEDULER CONTACT NAME PACKAGES KEYS START_MB FREE_MB

    SCHEDULER  the scheduler's address, tls://HOST:PORT
    CONTACT    where the scheduler reaches this worker, tls://HOST:PORT
    PACKAGES   the folder of Dask's packages
    KEYS       the folder of ca.crt, worker.crt and worker.key
    START_MB   so much memory must be free before it starts
    FREE_MB    if less than that is left, it ends its job (which another Pi then does) and itself

systemd starts it again, and it waits until there is memory, as a small program that has not imported anything yet.
`systemctl status mynn-cluster` says what it does.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from pathlib import Path

EVERY = 5.0  # seconds between two looks at the memory
PAUSE = 15.0  # seconds between two tries to reach the scheduler
SHORT = 2  # such looks in a row at which it is short


def say(text: str, *, ready: bool = False) -> None:
    """Tell systemd what this does, and the journal."""
    print(text, flush=True)
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        message = "\n".join([f"STATUS={text}", *["READY=1"] * ready])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(message.encode(), address.replace("@", "\0", 1))


def free_mb() -> int:
    """Return the memory that programs can still have, in MB."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable: +(\d+) kB", text, re.M)
    return int(found[1]) * 1024 // 1_000_000 if found else 0


def wait_for_memory(needed: int) -> None:
    """Wait until so much memory is free, in MB."""
    said = False
    while (free := free_mb()) < needed:
        if not said:
            say(f"Waiting until {needed} MB of memory are free, for lessons come first ({free} MB are).", ready=True)
        said = True
        time.sleep(EVERY)


def wait_for_scheduler(address: str) -> None:
    """Wait until the control node, which may be asleep, listens."""
    host, _, port = address.removeprefix("tls://").rpartition(":")
    said = False
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=EVERY):
                return
        except OSError as error:
            if not said:
                say(f"Waiting for {address}, which does not answer ({error.strerror or error}).", ready=True)
            said = True
        time.sleep(PAUSE)


def check() -> None:
    """See whether this Pi can do jobs at all, so that a broken one fails alone. SystemExit: it cannot."""
    from mynn import NeuralNetwork
    from mynn.errors import DataError
    from mynn.experiments.jobs import Digits

    try:
        training, testing = Digits().read()
    except DataError as error:
        say(f"This Pi cannot take part: {error}")
        sys.exit(1)
    network = NeuralNetwork(784, 5, 10, 0.1, seed=0)
    network.fit(training[:10])
    network.score(testing[:10])


async def serve(scheduler: str, contact: str, name: str, keys: Path, least: int) -> None:
    """Work until the scheduler is gone, or memory is short."""
    import asyncio

    from distributed import Security, Worker

    class ForMembersOnly(Worker):  # type: ignore[misc]
        """A worker without Dask's page and its figures, which everybody could ask for."""

        def start_http_server(self, *_: object, **__: object) -> None:
            """Start none."""

    security = Security(
        require_encryption=True,
        tls_ca_file=str(keys / "ca.crt"),
        tls_worker_cert=str(keys / "worker.crt"),
        tls_worker_key=str(keys / "worker.key"),
    )
    worker = ForMembersOnly(
        scheduler,
        name=name,
        nthreads=1,
        host="tls://0.0.0.0",
        port=int(contact.rpartition(":")[2]),
        contact_address=contact,
        security=security,
        dashboard=False,
        memory_limit=0,  # systemd limits it
        death_timeout=60,
        local_directory="/tmp",
    )
    async with worker:
        say(f"At work for {scheduler}.", ready=True)
        ended = asyncio.create_task(worker.finished())
        short = 0
        while short < SHORT and not ended.done():
            await asyncio.wait([ended], timeout=EVERY)
            short = short + 1 if free_mb() < least else 0
        say("Stepping aside: memory is short." if short else "The scheduler is gone.")
    os._exit(0)  # without waiting for the job, which is done elsewhere now


def main(scheduler: str, contact: str, name: str, packages: str, keys: str, start_mb: str, least_mb: str) -> None:
    """Work as the command line says."""
    wait_for_scheduler(scheduler)
    wait_for_memory(int(start_mb))
    sys.path.append(packages)
    import asyncio

    import dask

    check()
    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.tick.limit": "60s"})
    asyncio.run(serve(scheduler, contact, name, Path(keys), int(least_mb)))


if __name__ == "__main__":
    main(*sys.argv[1:])
