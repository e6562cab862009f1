"""A board with the playbooks that are run against it, the image that its card is made of, and where its apt asks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.classroom.classroom import ROOT, Room
from tests.virtual import Board

PATIENTLY = {"ANSIBLE_TIMEOUT": "180"}  # on a busy host, a board takes a minute to let somebody in, or to start sudo
HOST_SEEN_FROM_BOARD = "10.0.2.2"  # by QEMU's network, whatever the board's own address is


class BoardRoom(Room):
    """A board. Before its first boot it has no name, and before site.yml no password of the control node's."""

    def __init__(self, board: Board) -> None:
        self.board = board

    @property
    def host(self) -> str:  # type: ignore[override]
        """The board's own name."""
        return self.board.name

    @property
    def inventory(self) -> Path:
        """The board's inventory."""
        return self.board.inventory

    @property
    def address(self) -> str:
        """The board's address."""
        return self.board.address

    @property
    def password(self) -> str:
        """The password: until site.yml sets another, it is the one that the Pi made and wrote onto its card."""
        said = self.board.facts()["password"]
        return self.password_of(self.host) if said.startswith("was changed") else said

    def ssh(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the board, as `pi`, who may sudo."""
        return self.board.ssh(command, timeout=timeout)

    def playbook(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run playbooks/NAME.yml against the board, patiently."""
        options.setdefault("env", os.environ | PATIENTLY)
        return super().playbook(name, *arguments, **options)

    def asked(self, command: str, timeout: float = 300) -> str:
        """Return what a command on the board prints; AssertionError: it failed."""
        done = self.ssh(command, timeout)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


def newest_image() -> Path:
    """Return the newest image in dist; FileNotFoundError: there is none."""
    images = sorted((ROOT / "dist").glob("*.img.xz"), key=lambda path: path.stat().st_mtime)
    if not images:
        raise FileNotFoundError("There is no image in dist; `make image` makes one.")
    return images[-1]


def use_apt_sources(room: BoardRoom) -> None:
    """Let the board's apt ask where the image's did (IMAGE_APT_SOURCES), as in a school with a mirror of its own."""
    lines = os.environ.get("IMAGE_APT_SOURCES", "").replace("127.0.0.1", HOST_SEEN_FROM_BOARD).split("|")
    if not any(lines):
        return
    text = "\n".join(lines)
    room.asked(
        f"echo '{text}' | sudo tee /etc/apt/sources.list >/dev/null; "
        "for file in /etc/apt/sources.list.d/*.sources; do [ -e $file ] && sudo mv $file $file.off; done; true"
    )
