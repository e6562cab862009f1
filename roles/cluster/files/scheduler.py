#!/usr/bin/env python3
"""Dask's scheduler on the control node, which lives on after the playbook that starts it.

    scheduler.py start FOLDER PORT DASHBOARD_PORT [--check]   say whether it was started, or ran already
    scheduler.py stop FOLDER [--check]                        say whether it was stopped, or did not run
    scheduler.py joined FOLDER SECONDS NAME...                wait for these workers, and print who is missing
    scheduler.py run FOLDER PORT DASHBOARD_PORT               what `start` starts

FOLDER holds the scheduler's log and, while it runs, its address, and the certificates of an authority of its own. Dask
lets whoever has one of these certificates run programs on all others, and looks at no name in it. So each start makes
new ones: no other certificate, such as a Pi's for HTTPS, is good for anything here, nor is one of an earlier start.
"""

from __future__ import annotations

import asyncio
import datetime
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROJECT = Path(__file__).resolve().parents[3]
SETTINGS = {
    "distributed.scheduler.worker-ttl": "60s",  # a Pi that is silent for so long has lost its job
    "distributed.scheduler.no-workers-timeout": "5m",  # without any Pi, a job fails; each is tried three times
    "distributed.scheduler.allowed-failures": 10,  # lessons may push a job off several Pis
    "distributed.scheduler.worker-saturation": 1.0,  # no job waits for one Pi while another is idle
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.timeouts.connect": "15s",
    "distributed.admin.log-format": "%(asctime)s %(message)s",
}
STARTS, STOPS = 60.0, 20.0  # seconds in which it does
FILES = ("address", "scheduler.log", "scheduler.pid")
KEYS = ("client", "worker")  # the control node's, for scheduler and client; and that of all workers
VALID = (datetime.timedelta(days=-2), datetime.timedelta(days=400))  # a Pi's clock may be behind


def write_certificates(folder: Path) -> None:
    """Write a new authority's certificate, ca.crt, and the keys and certificates that it signs. Its own key is lost."""
    authority, name = ec.generate_private_key(ec.SECP256R1()), _name("mynn-pi cluster")
    signing = x509.KeyUsage(
        **dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ),
        **{"key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False},
    )
    builder = _certificate(name, name, authority.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(signing, critical=True)
    _write(folder / "ca.crt", builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    for who in KEYS:
        key = ec.generate_private_key(ec.SECP256R1())
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _certificate(_name(who), name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(both, critical=False)
        certificate = builder.sign(authority, hashes.SHA256())
        _write(folder / f"{who}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        _write(folder / f"{who}.key", key.private_bytes(pem, pkcs8, plain))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + VALID[0])
        .not_valid_after(now + VALID[1])
    )


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def lock(folder: Path) -> int | None:
    """Return the descriptor of the scheduler's lock, which ends with its process; None if another holds it."""
    descriptor = os.open(folder / "scheduler.pid", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def runs(folder: Path) -> bool:
    """Return whether a scheduler runs."""
    if not folder.is_dir():
        return False
    descriptor = lock(folder)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Return whether something is so within so many seconds."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def last_line(path: Path) -> str:
    """Return the last line of a log."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it does not say why"


def start(folder: Path, port: str, dashboard: str, check: str = "") -> str:
    """Start the scheduler, unless it runs, and wait until it answers."""
    if runs(folder):
        return "It runs already."
    if check:
        return "It would be started."
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "address").unlink(missing_ok=True)
    write_certificates(folder)
    log = folder / "scheduler.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, __file__, "run", str(folder), port, dashboard],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    if not wait_until(lambda: (folder / "address").exists() or process.poll() is not None, STARTS):
        process.kill()
        process.wait()
    if process.poll() is not None:
        sys.exit(f"The scheduler did not start. {last_line(log)}")
    return "Started."


def stop(folder: Path, check: str = "") -> str:
    """Stop the scheduler, if it runs, and remove what it left."""
    names = [*FILES, "ca.crt", *(f"{who}.{end}" for who in KEYS for end in ("crt", "key"))]
    left = [folder / name for name in names if (folder / name).exists()]
    if not left:
        return "It did not run."
    if check:
        return "It would be stopped."
    if runs(folder):
        process = int((folder / "scheduler.pid").read_text(encoding="ascii"))
        os.kill(process, signal.SIGTERM)
        if not wait_until(lambda: not runs(folder), STOPS):
            os.kill(process, signal.SIGKILL)
            wait_until(lambda: not runs(folder), STOPS)
    for path in left:
        path.unlink(missing_ok=True)
    return "Stopped."


async def serve(folder: Path, port: int, dashboard: int) -> None:
    """Run the scheduler until a signal ends it."""
    from distributed import Scheduler

    scheduler = Scheduler(
        host="tls://",
        port=port,
        security=security(folder),
        dashboard=True,
        dashboard_address=f"127.0.0.1:{dashboard}",
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with scheduler:
        new = folder / ".address.new"
        new.write_text(f"tls://127.0.0.1:{port}\n", encoding="ascii")
        new.replace(folder / "address")
        finished = asyncio.create_task(scheduler.finished())
        await asyncio.wait([asyncio.create_task(ended.wait()), finished], return_when=asyncio.FIRST_COMPLETED)
        (folder / "address").unlink(missing_ok=True)


def security(folder: Path) -> Any:
    """Return who may connect: whoever has a certificate of this cluster's own authority."""
    from distributed import Security

    files = {
        f"tls_{who}_{what}": str(folder / f"client.{end}")
        for who in ("scheduler", "client")
        for what, end in (("cert", "crt"), ("key", "key"))
    }
    return Security(require_encryption=True, tls_ca_file=str(folder / "ca.crt"), **files)


def run(folder: Path, port: str, dashboard: str) -> None:
    """Be the scheduler."""
    import dask

    held = lock(folder)
    if held is None:
        sys.exit("Another scheduler runs.")
    os.truncate(held, 0)
    os.write(held, str(os.getpid()).encode())
    sys.path.append(str(PROJECT))  # jobs are functions of mynn, and pass through here
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may be closed
    origins = [f"{host}:{dashboard}" for host in ("127.0.0.1", "localhost")]  # no other site's page may read along
    with dask.config.set(
        {**SETTINGS, "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin": origins}
    ):
        try:
            asyncio.run(serve(folder, int(port), int(dashboard)))
        except RuntimeError as error:  # Dask's, about another
            why = error.__cause__
            if isinstance(why, OSError):
                sys.exit(f"Port {port} cannot be used ({os.strerror(why.errno or 0).lower()}): set cluster_port.")
            raise


def joined(folder: Path, seconds: str, *names: str) -> str:
    """Wait until these workers have joined, and return the names of those that have not."""
    from distributed import Client

    def missing(client: Any) -> list[str]:
        here = {str(worker["name"]) for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
        return [name for name in names if name not in here]

    address = (folder / "address").read_text(encoding="ascii").strip()
    with Client(address, security=security(folder), timeout=20, set_as_default=False) as client:
        wait_until(lambda: not missing(client), float(seconds))
        return "\n".join(missing(client))


def main(verb: str, folder: str, *arguments: str) -> None:
    """Do what the command line says."""
    verbs: dict[str, Callable[..., str | None]] = {"start": start, "stop": stop, "joined": joined, "run": run}
    print(verbs[verb](Path(folder), *arguments) or "", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
