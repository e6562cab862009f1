"""The cluster's scheduler and workers: real ones, on loopback, with real certificates."""

import os
import re
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests

from mynn_control.cluster import LARGEST_LOG, write_key
from tests.support.ports import free_port

pytestmark = pytest.mark.slow


def scheduler(*arguments: object) -> str:
    """Run the scheduler's program as the role does; return what it prints."""
    command = [sys.executable, "-m", "mynn_control.cluster", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Cluster:
    """A scheduler, and the ports of it and of its workers."""

    def __init__(self, folder: Path, mnist: Path) -> None:
        self.folder, self.mnist = folder, mnist
        self.port, self.dashboard = free_port(), free_port()
        self.workers: dict[int, subprocess.Popen[str]] = {}

    def start(self) -> str:
        return scheduler("start", self.folder, self.port, self.dashboard)

    def worker(self, name: str, *, free_mb: int = 1, mnist: Path | None = None) -> int:
        """Start a worker as the Pi's unit does; return its port."""
        port = free_port()
        files = {"ca-file": "cluster.crt", "cert": "cluster.crt", "key": "cluster.key"}
        tls = [f"--tls-{kind}={self.folder}/{name}" for kind, name in files.items()]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", f"tls://127.0.0.1:{self.port}", "--name", name]
        command += ["--worker-class=mynn.experiments.worker.PiWorker", "--nthreads=1", "--memory-limit=0"]
        command += [f"--listen-address=tls://0.0.0.0:{port}", f"--contact-address=tls://127.0.0.1:{port}", *tls]
        command += ["--no-nanny", "--no-dashboard"]
        environment = {"MNIST_DIR": str(mnist or self.mnist), "MYNN_FREE_MB": str(free_mb)}
        self.workers[port] = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return port

    def stop(self) -> None:
        for process in self.workers.values():
            process.kill()
            process.communicate()
        scheduler("stop", self.folder)


@pytest.fixture(scope="module")
def running(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler with a worker."""
    running = Cluster(tmp_path_factory.mktemp("cluster"), small_mnist)
    assert running.start() == "Started."
    try:
        running.worker("pi01")
        assert scheduler("joined", running.folder, 60, "pi01") == ""
        yield running
    finally:
        running.stop()


# --- members only


def listening(process: int) -> set[str]:
    """Return the addresses and ports at which a process listens."""
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[3] for line in listed if f"pid={process}," in line}


def test_only_known_ports_are_open(running: Cluster) -> None:
    """The scheduler's port, for all; its dashboard, for this computer only; and of a worker nothing but its port."""
    process = int((running.folder / "scheduler.pid").read_text())
    assert listening(process) == {f"0.0.0.0:{running.port}", f"[::]:{running.port}", f"127.0.0.1:{running.dashboard}"}
    for port, worker in running.workers.items():
        if worker.poll() is None:
            assert listening(worker.pid) == {f"0.0.0.0:{port}"}
    for host, status in {"127.0.0.1": 200, "localhost": 200, "localhost.evil.example": 405}.items():
        url = f"http://127.0.0.1:{running.dashboard}/json/counts.json"
        assert requests.get(url, headers={"Host": host}, timeout=600).status_code == status, "A site could read it."


def let_in(port: int, keys: Path | None) -> bool:
    """Return whether a port lets somebody in with these keys, or with none: whether it answers after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if keys:
        context.load_cert_chain(keys / "cluster.crt", keys / "cluster.key")
    try:
        with socket.create_connection(("127.0.0.1", port), 600) as plain, context.wrap_socket(plain) as sock:
            return bool(sock.recv(1))  # Dask greets at once
    except OSError:  # an SSLError, or the connection is reset
        return False


@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_only_the_clusters_own_certificates_are_accepted(running: Cluster, tmp_path: Path, who: str) -> None:
    port = running.port if who == "scheduler" else next(iter(running.workers))
    write_key(tmp_path)  # another cluster's
    assert let_in(port, running.folder)
    assert not let_in(port, tmp_path)
    assert not let_in(port, None)
    with socket.create_connection(("127.0.0.1", port), 600) as plain:  # without TLS
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1000)


def test_idle_connections_of_strangers_neither_stop_it_nor_fill_its_log(running: Cluster) -> None:
    """As many as once did, each without the first word of TLS."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with ExitStack() as strangers:
        for _ in range(1300):
            strangers.enter_context(socket.create_connection(("127.0.0.1", running.port), 600))
        assert scheduler("joined", running.folder, 0, "pi03", "pi01", "pi04") == "pi03\npi04", "it names who is missing"
    process = int((running.folder / "scheduler.pid").read_text())
    limits = Path(f"/proc/{process}/limits").read_text()
    assert re.search(rf"Max file size +{LARGEST_LOG} ", limits)
    assert (running.folder / "scheduler.log").stat().st_size < 1_000_000


# --- starting and stopping


def test_each_start_makes_new_keys_and_a_stop_removes_them(small_mnist: Path, tmp_path: Path) -> None:
    one = Cluster(tmp_path / "cluster", small_mnist)
    assert one.start() == "Started."
    try:
        keys = {path.name: path.read_bytes() for path in one.folder.glob("*.crt")}
        assert set(keys) == {"cluster.crt"}
        assert [path.stat().st_mode & 0o777 for path in (one.folder, one.folder / "cluster.key")] == [0o700, 0o600]
        assert one.start() == "It runs already."
        assert {path.name: path.read_bytes() for path in one.folder.glob("*.crt")} == keys
    finally:
        assert scheduler("stop", one.folder) == "Stopped."
    assert list(one.folder.iterdir()) == []
    assert scheduler("stop", one.folder) == "It did not run."
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", one.port)) != 0


def test_a_port_in_use_is_an_error(running: Cluster, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mynn_control.cluster", "start", str(tmp_path), str(running.port), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    reason = f"Port {running.port} cannot be used (address already in use): set cluster_port."
    assert (done.returncode, done.stderr) == (1, f"The scheduler did not start. {reason}\n")


# --- lessons come first


def test_a_pi_that_is_short_of_memory_or_has_no_mnist_does_not_take_part(running: Cluster, tmp_path: Path) -> None:
    aside, broken = running.worker("aside", free_mb=10_000_000), running.worker("broken", mnist=tmp_path)
    said = [running.workers[port].communicate(timeout=600)[0] for port in (aside, broken)]
    assert "Stepping aside: memory is short." in said[0]
    assert f"This Pi cannot take part: {tmp_path}/mnist_train.csv: no such file or directory" in said[1]
    assert [running.workers[port].returncode for port in (aside, broken)] == [0, 1]
