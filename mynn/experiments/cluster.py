"""Dask client: an executor that runs jobs on a class of Pis.

`make cluster` starts the scheduler and its workers, and writes the scheduler's address and TLS files into a folder.
Dask is an optional dependency, imported only when used.
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

# Files in the folder: Dask's scheduler file, and the certificate and key that all members share.
ADDRESS, CERTIFICATE, KEY = "scheduler.json", "cluster.crt", "cluster.key"
_ANSWER = 20  # timeout for the scheduler's answer, seconds
_JOINED = 60  # timeout for the first worker, seconds
_RETRIES = 2  # retries of a job that fails; Dask itself repeats a job whose worker is lost


@contextmanager
def connected(where: str) -> Iterator[tuple[Executor, int]]:
    """Yield an executor that runs jobs on the scheduler's workers, and how many there are.

    where: the folder that `make cluster` wrote, or the address of another scheduler, such as `tcp://127.0.0.1:8786`
    (for tls://, Dask's configuration names the certificates). Raises DataError if Dask is not installed, no scheduler
    answers or no worker is left.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.scheduler import NoValidWorkerError, NoWorkerError
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise DataError(
            "Dask is not installed here; install the package distributed, or leave out --scheduler"
        ) from error

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # errors are reported below, in one sentence
    # Only names, numbers and arrays travel, so versions of Python and numpy may differ.
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
    try:
        client = Client(**place(where), timeout=_ANSWER, set_as_default=False)
    except OSError as error:  # includes TimeoutError
        raise DataError(f"{where}: no scheduler answers there; start it with make cluster") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_JOINED)
        except TimeoutError as error:
            raise DataError(f"{where}: the scheduler has no workers; see whether the Pis are on") from error
        try:
            count = len(client.scheduler_info(n_workers=-1)["workers"])
            yield client.get_executor(pure=False, retries=_RETRIES), count  # not pure: run equal jobs separately
        except KilledWorker as error:
            raise DataError(f"{where}: all workers that took a job were lost: check their memory") from error
        except (NoValidWorkerError, NoWorkerError) as error:
            raise DataError(f"{where}: no worker is left; turn on the Pis, then run this again to resume") from error


def place(where: str) -> dict[str, Any]:
    """Return the arguments of Dask's Client for a folder or an address."""
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
