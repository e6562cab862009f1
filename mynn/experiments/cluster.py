"""A class of Pis as an executor: Dask's scheduler, and the workers that it has.

`make cluster` starts both, and leaves what a client needs in a folder: the scheduler's address, and the certificates.
Dask is imported here only, and only when it is wanted.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mynn.errors import DataError

# In the folder: the scheduler's address, as Dask writes it, and what all members show one another.
ADDRESS, CERTIFICATE, KEY = "scheduler.json", "cluster.crt", "cluster.key"
_ANSWER = 20  # seconds in which a scheduler answers
_JOINED = 60  # seconds in which the first worker is there
_RETRIES = 2  # of a job that fails; one whose worker is lost is tried elsewhere anyhow


@contextmanager
def connected(where: str) -> Iterator[Executor]:
    """Give an executor whose jobs are done by the scheduler's workers.

    where: the folder that `make cluster` wrote, or the address of another scheduler, such as `tcp://127.0.0.1:8786`
    (with tls://, Dask's own configuration names the certificates). If there is no scheduler, or no worker is left, that
    is a DataError.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.scheduler import NoValidWorkerError, NoWorkerError
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise DataError(
            "Dask is not installed here; install the package distributed, or leave out --scheduler"
        ) from error

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # errors are reported here, in one sentence
    # Names and numbers are all that travels, so another Python, or another numpy, is no matter.
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
    try:
        client = Client(**place(where), timeout=_ANSWER, set_as_default=False)
    except OSError as error:  # TimeoutError is one, too
        raise DataError(f"{where}: no scheduler answers there; start it with make cluster") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_JOINED)
        except TimeoutError as error:
            raise DataError(f"{where}: the scheduler has no workers; see whether the Pis are on") from error
        try:
            yield client.get_executor(pure=False, retries=_RETRIES)  # not pure: two equal jobs are two
        except KilledWorker as error:
            raise DataError(f"{where}: whichever worker took a job was lost; see whether it has the memory") from error
        except (NoValidWorkerError, NoWorkerError) as error:
            raise DataError(f"{where}: no worker is left; turn on the Pis, then run this again to resume") from error


def workers(executor: Any) -> int:
    """Return how many workers there are."""
    return len(executor._client.scheduler_info(n_workers=-1)["workers"])


def place(where: str) -> dict[str, Any]:
    """Return what Dask's Client needs for this place."""
    folder = Path(where)
    if "://" in where:
        return {"address": where}
    for name in (ADDRESS, CERTIFICATE, KEY):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: there is no {name}; start the cluster with make cluster, or give an address")
    from distributed import Security

    security = Security(
        require_encryption=True,
        tls_ca_file=str(folder / CERTIFICATE),
        tls_client_cert=str(folder / CERTIFICATE),
        tls_client_key=str(folder / KEY),
    )
    address = json.loads((folder / ADDRESS).read_text(encoding="utf-8"))["address"]
    return {"address": f"tls://127.0.0.1:{address.rpartition(':')[2]}", "security": security}
