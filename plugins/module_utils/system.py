"""TCP ports and updates of this computer, and whether the desk started this run."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listeners(proc: Path = Path("/proc")) -> dict[int, set[int]]:
    """Return TCP port → user ids of the programs that listen there, without connecting to any."""
    users: dict[int, set[int]] = {}
    for table in (proc / "net/tcp", proc / "net/tcp6"):
        for line in table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else ():
            fields = line.split()  # number, local address, remote address, state, queues, timer, retransmits, user id
            if fields[3] == "0A":
                users.setdefault(int(fields[1].rpartition(":")[2], 16), set()).add(int(fields[7]))
    return users


def is_apt_cacher(port: int) -> bool:
    """Return whether apt-cacher-ng answers on that loopback port: it answers HEAD / with 406."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return b" 406 " in connection.recv(64)
    except OSError:
        return False


def updated(root: Path = Path("/")) -> float | None:
    """Return the time of apt's last check for updates; None if unknown."""
    for path in ("var/lib/apt/periodic/update-success-stamp", "var/lib/apt/lists/partial", "var/lib/apt/lists"):
        if (root / path).exists():
            return round((root / path).stat().st_mtime)
    return None


def desks_summary() -> str:
    """Return the path where the desk expects a run's failures; "" if the desk did not start the run."""
    return os.environ.get("MYNN_SUMMARY", "")
