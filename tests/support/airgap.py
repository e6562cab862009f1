"""An isolated network, for a classroom without Internet, which records every attempt to leave it.

It is a network namespace whose default route is a tunnel. This program reads the other end, so it receives every packet
that would leave this computer. The loopback, over which the control node reaches its Pis, works as usual.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "192.0.2.10/24"
GATEWAY = "192.0.2.1"
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


@dataclass(frozen=True, order=True)
class Attempt:
    """An outgoing packet: protocol, address, port (0 if there is none), and the name that a DNS query asks for."""

    protocol: str
    address: str
    port: int
    name: str = ""


def attempt(packet: bytes) -> Attempt | None:
    """Return the attempt that an IPv4 packet makes, or None for multicast, which never leaves the local network."""
    length, protocol = packet[0] & 15, PROTOCOLS.get(packet[9], str(packet[9]))
    address = socket.inet_ntoa(packet[16:20])
    if packet[0] >> 4 != 4 or packet[16] >= 224:
        return None
    port = struct.unpack_from("!H", packet, length * 4 + 2)[0] if protocol in ("tcp", "udp") else 0
    return Attempt(protocol, address, port, looked_up(packet[length * 4 + 20 :]) if port == 53 else "")


def looked_up(question: bytes) -> str:
    """Return the name that a DNS query asks for."""
    labels = []
    while question and question[0]:
        labels.append(question[1 : question[0] + 1].decode("ascii", "replace"))
        question = question[question[0] + 1 :]
    return ".".join(labels)


def read_tunnel(log: Path) -> None:
    """Create the tunnel in this process's network namespace, and write each attempt to a line of `log`."""
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH22x", b"out0", 0x0001 | 0x1000))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
    for words in (
        "link set lo up",
        f"address add {ADDRESS} dev out0",
        "link set out0 up",
        f"route add default via {GATEWAY} dev out0",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    with log.open("w", encoding="utf-8", buffering=1) as lines:
        print("ready", file=lines)
        while True:
            packet = os.read(tunnel, 65536)
            if packet[0] >> 4 == 4 and (found := attempt(packet)):
                print(found.protocol, found.address, found.port, found.name, file=lines)


class Airgap:
    """The isolated network's log of attempts to leave it."""

    def __init__(self, log: Path) -> None:
        self.log = log

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far, in order."""
        lines = [line.split(" ") for line in self.log.read_text(encoding="utf-8").splitlines()[1:]]
        return [Attempt(protocol, address, int(port), name) for protocol, address, port, name in lines]


@contextlib.contextmanager
def airgap(folder: Path) -> Iterator[Airgap]:
    """Move this thread, and the programs that it starts, into an isolated network. Needs root."""
    log = folder / "attempts"
    log.unlink(missing_ok=True)
    reader = subprocess.Popen(["unshare", "--net", sys.executable, "-m", __name__, str(log)])
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and log.read_text(encoding="utf-8")) and reader.poll() is None:
            assert time.monotonic() < deadline, "the isolated network does not come up"
            time.sleep(0.05)
        inside = os.open(f"/proc/{reader.pid}/ns/net", os.O_RDONLY)
        enter(inside)
        os.close(inside)
        yield Airgap(log)
    finally:
        enter(before)
        os.close(before)
        reader.terminate()
        reader.wait()


def enter(namespace: int) -> None:
    """Move this thread into a network namespace, given as an open file."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, 0x40000000):  # CLONE_NEWNET; os.setns needs Python 3.12
        raise OSError(ctypes.get_errno(), "The network namespace cannot be entered")


if __name__ == "__main__":
    read_tunnel(Path(sys.argv[1]))
