"""Find out whether containers can run on this host, by trying what they need."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .cgroups import Group
from .host import PYTHON
from .shell import VirtualError, say
from .state import State

# Create a tap device, as pasta does: TUNSETIFF, with a name and IFF_TAP.
_TAP = r'import fcntl; fcntl.ioctl(open("/dev/net/tun", "r+b", 0), 0x400454ca, b"try".ljust(16, b"\0") + b"\2\0")'
# Runs in new mount and network namespaces.
_TRY = f"""
cd "$1"
mkdir lower upper work root
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay root
{PYTHON} -c '{_TAP}'
"""


def choose_kind(state: State) -> str:
    """Return container, or vm if containers cannot run here, and print why.

    An existing fleet keeps its kind. Returns auto if only root can find out.
    """
    if state.kind:
        return state.kind
    if not may_become_root():
        reason = "you are not root and may not use sudo"
    elif os.geteuid() != 0:
        return "auto"
    else:
        reason = _why_no_containers(state.folder.parent)
    if not reason:
        return "container"
    say(
        f"Containers cannot run here ({reason}), so each Pi is a virtual machine: "
        "the first start takes about 12 minutes, or 5 with KVM."
    )
    return "vm"


def may_become_root() -> bool:
    """Return whether we are root or can use sudo, which may ask for a password."""
    if os.geteuid() == 0:
        return True
    return bool(shutil.which("sudo")) and subprocess.run(["sudo", "-v"], check=False).returncode == 0


def _why_no_containers(folder: Path) -> str:
    """Return why containers cannot run here, or an empty string. ``folder`` is where the disks would be."""
    group = Group(f"mynn-try-{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            group.make()
            words = group.entering(["unshare", "--mount", "--net", "sh", "-e", "-c", _TRY, "try", scratch])
            done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        return f"making a control group failed: {error.strerror}"
    except VirtualError as error:  # no control groups at all
        return str(error).rstrip(".")
    finally:
        _remove(group)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _remove(group: Group) -> None:
    try:
        group.remove()
    except (OSError, VirtualError):
        return  # it could not be created either
