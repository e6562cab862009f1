"""Dask scheduler on this computer: start it, stop it, and wait for workers. It outlives the playbook that starts it.

    python -m mynn_control.cluster start FOLDER PORT DASHBOARD_PORT   print whether it was started, or ran
    python -m mynn_control.cluster stop FOLDER                        print whether it was stopped
    python -m mynn_control.cluster joined FOLDER SECONDS NAME...      wait for workers; print who is missing

While it runs, FOLDER has its log and the files that members need: its address, and the cluster's certificate and key.
Anyone who has these can run programs on all members, so each start makes new ones. No other certificate is accepted,
such as a Pi's certificate for HTTPS.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from distributed import Client, Scheduler, Security
from tornado.web import RequestHandler

from mynn.experiments.cluster import ADDRESS, CERTIFICATE, KEY, place
from mynn.files import is_locked, locked, write_text

PID, LOG = "scheduler.pid", "scheduler.log"
SETTINGS = {
    "distributed.comm.require-encryption": True,
    "distributed.scheduler.worker-ttl": "60s",  # a Pi that is silent for this long loses its job
    "distributed.scheduler.no-workers-timeout": "5m",  # without any Pi, a job then fails; each is tried three times
    "distributed.scheduler.allowed-failures": 10,  # workers that a job may lose: lessons may end several
    "distributed.scheduler.worker-saturation": 1.0,  # no job waits for one Pi while another is idle
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.timeouts.connect": "15s",
    "distributed.admin.log-format": "%(asctime)s %(message)s",
}
STARTS, STOPS = 60.0, 20.0  # timeouts, in seconds
LARGEST_LOG = 10_000_000  # bytes; further lines are lost
CONNECTIONS = 65536  # most open files, if this computer allows as many: strangers may leave connections idle


def runs(folder: Path) -> bool:
    """Return whether a scheduler is running, which holds the lock."""
    return (folder / PID).exists() and is_locked(folder / PID)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until `done` returns True. Returns False if it does not within these seconds."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def limit() -> None:
    """Limit the scheduler's log and open files: strangers' connections must neither stop it nor fill the disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_LOG, LARGEST_LOG))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(CONNECTIONS, most), most))


def write_key(folder: Path) -> None:
    """Write a new self-signed certificate and its key."""
    made = Security.temporary()
    for name, content in ((CERTIFICATE, made.tls_ca_file), (KEY, made.tls_scheduler_key)):
        write_text(folder / name, content, mode=0o600)


def dask_setup(scheduler: Scheduler) -> None:
    """Refuse (405) requests to other host names, since DNS rebinding could expose the dashboard. Dask calls this."""
    scheduler.http_application.add_handlers(r"(?!127\.0\.0\.1$|localhost$).*", [(r".*", RequestHandler)])


def start(folder: Path, port: str, dashboard: str) -> str:
    """Start the scheduler unless it is running, and wait until it answers. Returns a message."""
    if runs(folder):
        return "It runs already."
    try:
        socket.create_server(("", int(port))).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        sys.exit(f"The scheduler did not start. Port {port} cannot be used ({reason}): set cluster_port.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ADDRESS).unlink(missing_ok=True)
    write_key(folder)
    origins = [f"{host}:{dashboard}" for host in ("127.0.0.1", "localhost")]  # no other page may connect
    settings = {**SETTINGS, "distributed.scheduler.dashboard.bokeh-application.allow-websocket-origin": origins}
    variables = {name.replace(".", "__").replace("-", "_").upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-P", "-m", "distributed.cli.dask_scheduler", "--preload=mynn_control.cluster"]
    command += ["--protocol=tls", f"--port={port}", f"--dashboard-address=127.0.0.1:{dashboard}"]
    command += [f"--scheduler-file={folder / ADDRESS}", f"--tls-ca-file={folder / CERTIFICATE}"]
    with locked(folder / PID, 0, mode=0o600) as held, (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--tls-cert={folder / CERTIFICATE}", f"--tls-key={folder / KEY}"],
            env=os.environ | {f"DASK_{name}": value for name, value in variables.items()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[held],
            preexec_fn=limit,
        )
    (folder / PID).write_text(str(process.pid), encoding="ascii")
    if not wait_until(lambda: (folder / ADDRESS).exists() or process.poll() is not None, STARTS):
        process.kill()
        process.wait()
    if process.poll() is not None:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines() or ["It does not say why."]
        sys.exit(f"The scheduler did not start. {lines[-1]}")
    return "Started."


def stop(folder: Path) -> str:
    """Stop the scheduler if it is running, and remove its files. Returns a message."""
    left = [folder / name for name in (ADDRESS, CERTIFICATE, KEY, LOG, PID) if (folder / name).exists()]
    if not left:
        return "It did not run."
    for number in (signal.SIGTERM, signal.SIGKILL):
        if runs(folder):
            os.kill(int((folder / PID).read_text(encoding="ascii")), number)
            wait_until(lambda: not runs(folder), STOPS)
    for path in left:
        path.unlink(missing_ok=True)
    return "Stopped."


def joined(folder: Path, seconds: str, *names: str) -> str:
    """Wait until these workers have joined. Returns the names of missing workers, one a line."""

    def missing() -> list[str]:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        here = {str(worker["name"]) for worker in workers}
        return [name for name in names if name not in here]

    with Client(**place(str(folder)), timeout=20, set_as_default=False) as client:
        wait_until(lambda: not missing(), float(seconds))
        return "\n".join(missing())


def main(verb: str, folder: str, *arguments: str) -> None:
    """Do what the command line says."""
    verbs: dict[str, Callable[..., str]] = {"start": start, "stop": stop, "joined": joined}
    print(verbs[verb](Path(folder), *arguments), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
