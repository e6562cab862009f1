"""The server's secrets, hidden from the student's programs."""

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
        """Key that signs cookies. It survives a restart of the server, so that nobody has to sign in again."""
        return hashlib.sha256(b"cookies" + self.hashed).digest()

    def certificate_file(self) -> str:
        """Return the path of an in-memory file with the certificate."""
        memory = os.memfd_create("certificate")
        os.write(memory, self.certificate)
        return f"/proc/self/fd/{memory}"


def read_credentials() -> Credentials:
    """Read root's file, which systemd opened as standard input; then replace standard input by /dev/null.

    A student's programs have this server's user id. PR_SET_DUMPABLE keeps them out of its memory, environment and open
    files. (Programs that the server starts do not inherit this.)
    """
    prctl(PR_SET_DUMPABLE, 0)
    with open(0, "rb", closefd=False) as secrets:
        hashed, _, certificate = secrets.read().partition(b"\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Credentials(hashed, certificate)


def status_socket_name(hashed: bytes) -> str:
    """Return the name of the status socket (status_socket.py), to which status_stream.py connects."""
    return hashlib.sha256(b"teacher" + hashed).hexdigest()
