"""A network that nothing leaves, for a classroom without the Internet: whatever tries to is noted.

It is a network namespace of its own. Its only way out, the default route, is a tunnel whose other end is read here, and
so each packet that would leave this computer arrives at this program instead. What stays inside (the loopback, over
which the control node reaches its Pis) works as ever.
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
    """Something that wanted to leave: a protocol, an address, a port (0 where there are none), a name looked up."""

    protocol: str
    address: str
    port: int
    name: str = ""


def attempt(packet: bytes) -> Attempt | None:
    """Return what an IPv4 packet tries; None for a later part of what was noted at its start, and for multicast."""
    length, protocol = packet[0] & 15, PROTOCOLS.get(packet[9], str(packet[9]))
    address = socket.inet_ntoa(packet[16:20])
    if packet[0] >> 4 != 4 or packet[16] >= 224:  # neighbours are spoken to like that, nobody farther away
        return None
    port = struct.unpack_from("!H", packet, length * 4 + 2)[0] if protocol in ("tcp", "udp") else 0
    return Attempt(protocol, address, port, looked_up(packet[length * 4 + 20 :]) if port == 53 else "")


def looked_up(question: bytes) -> str:
    """Return the name that a question to a name server is about."""
    labels = []
    while question and question[0]:
        labels.append(question[1 : question[0] + 1].decode("ascii", "replace"))
        question = question[question[0] + 1 :]
    return ".".join(labels)


def read_tunnel(log: Path) -> None:
    """Be the way out of the network namespace that this program runs in: write each attempt into `log`, a line each."""
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH22x", b"out0", 0x0001 | 0x1000))  # TUNSETIFF: packets, bare
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
    """The namespace, and what tried to leave it."""

    def __init__(self, log: Path) -> None:
        self.log = log

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far, in their order."""
        lines = [line.split(" ") for line in self.log.read_text(encoding="utf-8").splitlines()[1:]]
        return [Attempt(protocol, address, int(port), name) for protocol, address, port, name in lines]


@contextlib.contextmanager
def airgap(folder: Path) -> Iterator[Airgap]:
    """Put this thread, and all programs that it starts meanwhile, into a network that nothing leaves. Needs root."""
    log = folder / "attempts"
    log.unlink(missing_ok=True)
    reader = subprocess.Popen(["unshare", "--net", sys.executable, "-m", __name__, str(log)])
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and log.read_text(encoding="utf-8")) and reader.poll() is None:
            assert time.monotonic() < deadline, "the airgapped network does not come up"
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
    """Put this thread into a network namespace, given as an open file."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, 0x40000000):  # CLONE_NEWNET; os.setns comes with Python 3.12
        raise OSError(ctypes.get_errno(), "The network namespace cannot be entered")


if __name__ == "__main__":
    read_tunnel(Path(sys.argv[1]))
