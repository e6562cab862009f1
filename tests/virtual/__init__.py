"""The virtual Pis: containers that boot systemd and are reached over SSH only.

``python3 -m tests.virtual up`` starts a fleet, ``down`` removes it. Nothing here knows what a playbook
installs on them.
"""

from .client import Fleet
from .errors import VirtualError

__all__ = ["Fleet", "VirtualError"]
