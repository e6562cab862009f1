"""Podman, run as root, which containers that boot systemd under a memory limit need on every host."""

import shutil
import subprocess
from pathlib import Path

from .host import UNIFIED, ensure_packages, name_servers
from .shell import SUDO, VirtualError, run

LABEL = "mynn-pi"  # on all that is ours; the value is the fleet's prefix
# A Pi's root may do what it likes to the Pi, so all but what would reach the host: its kernel, clock and devices.
POWERS = [
    "--cap-add=all",
    "--cap-drop=sys_module,sys_rawio,sys_time,wake_alarm,syslog,mac_admin,mac_override,perfmon,bpf",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
]
_COMMAND = ["podman", *([] if UNIFIED else ["--runtime=runc"])]


def podman(*arguments: str | Path, doing: str = "", timeout: float = 120) -> str:
    """Run a podman command, and return its output."""
    # Its monitor leaves a file in the working folder when a container runs out of memory.
    quiet = ["env", "--chdir=/run", "PODMAN_IGNORE_CGROUPSV1_WARNING=1"]
    words = [*SUDO, *quiet, *_COMMAND, *arguments]
    return run(words, doing=doing or f"podman {arguments[0]}", timeout=timeout).strip()


def why_no_containers() -> str:
    """Return why containers cannot run on this host, by starting one; empty if they can."""
    if SUDO and not (shutil.which("sudo") and subprocess.run(["sudo", "-v"], check=False).returncode == 0):
        return "you are not root and may not use sudo"
    if not name_servers():
        return "this host asks no name server but itself"
    ensure_packages("container")
    # A container of this host's own programs, with all that a Pi's needs: a disk, a limit, a network, a port.
    words = [*POWERS, "--rm", "--memory=64m", "--publish=127.77.255.1::22", "--rootfs", "/usr:O", "/bin/true"]
    try:
        podman("run", *words, doing="Starting one")
    except VirtualError as error:
        return str(error).rstrip(".")
    return ""
