"""The virtual Pis: containers that boot systemd, and QEMU's Pi Zero board; they are reached over SSH only.

``python3 -m tests.virtual up`` starts a fleet of containers, ``down`` removes it; ``board up`` and ``board down`` do so
with a board. Nothing here knows what a playbook installs on them.
"""

from .board import Board
from .client import Fleet
from .errors import VirtualError

__all__ = ["Board", "Fleet", "VirtualError"]
