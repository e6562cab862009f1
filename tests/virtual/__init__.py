"""The virtual Pis: containers that boot systemd, virtual machines, and QEMU's boards. All are reached over SSH.

``python3 -m tests.virtual up`` starts a fleet of containers, ``up --kind vm`` one of virtual machines, which need no
root; ``down`` removes it. ``board up`` and ``board down`` start and remove a board. Nothing here depends on what a
playbook installs.
"""

from .board import Board
from .fleet import Fleet
from .shell import VirtualError

__all__ = ["Board", "Fleet", "VirtualError"]
