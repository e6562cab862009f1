"""What the kernel knows about a Pi."""

from __future__ import annotations

from pathlib import Path


def listeners(proc: Path = Path("/proc")) -> dict[int, set[int]]:
    """Return the user ids of the programs that listen on each TCP port, without connecting to any."""
    found: dict[int, set[int]] = {}
    for table in (proc / "net/tcp", proc / "net/tcp6"):
        for line in table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else ():
            fields = line.split()  # number, local address, remote address, state, queues, timer, retransmits, user id
            if fields[3] == "0A":
                found.setdefault(int(fields[1].rpartition(":")[2], 16), set()).add(int(fields[7]))
    return found
