"""The server's secrets, which no program of the student's may read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from mynn_server.linux import PR_SET_DUMPABLE, prctl


@dataclass(frozen=True)
class Credentials:
    """A password's hash, and for HTTPS a certificate with its key."""

    hashed: bytes = field(repr=False)
    certificate: bytes = field(repr=False)

    @property
    def cookie_secret(self) -> bytes:
        """The key of cookies: the same when the server restarts, so that nobody has to sign in again."""
        return hashlib.sha256(b"cookies" + self.hashed).digest()

    def certificate_file(self) -> str:
        """Return a file in this process's memory with the certificate."""
        memory = os.memfd_create("certificate")
        os.write(memory, self.certificate)
        return f"/proc/self/fd/{memory}"


def read_credentials() -> Credentials:
    """Read the file that systemd opened as standard input, which only root can, and leave nothing of it there.

    A student's programs have the same user id as this server, so Linux is told to keep them out of its memory,
    environment and open files. (This does not apply to the programs that the server starts.)
    """
    prctl(PR_SET_DUMPABLE, 0)
    with open(0, "rb", closefd=False) as secrets:
        hashed, _, certificate = secrets.read().partition(b"\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Credentials(hashed, certificate)


def teacher_socket(hashed: bytes) -> str:
    """Return the name of the socket for the teacher, at which the desk's program watch.py asks."""
    return hashlib.sha256(b"teacher" + hashed).hexdigest()
