"""The supervisor of a container: sets up its network, runs it, and starts it again when it reboots.

Started by ``Machine.start`` in the machine's control group, as ``python3 -m tests.virtual.supervise STATE PI``. When
the guest powers off or systemd-nspawn is killed, it kills all of the machine's processes.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from .host import PYTHON, name_servers
from .machine import Machine
from .shell import VirtualError, run, say
from .state import SSH_PORT, State

REBOOT = 133  # systemd-nspawn's exit code when the guest reboots
NSPAWN_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # cgroup version 2 inside, even if the host uses both
    "SYSTEMD_NSPAWN_LOCK": "0",  # a killed nspawn would leave its lock file; we have our own
}


def supervise(machine: Machine) -> None:
    """Run the machine until it powers off."""
    make_network(machine.network)
    connect(machine)
    nspawn: subprocess.Popen[bytes] | None = None
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if nspawn:
            nspawn.terminate()  # makes systemd-nspawn ask the guest to power off

    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        say(f"starting {machine.name}")
        # A fresh group for each boot: systemd-nspawn delegates its controllers, after which cgroup version 2 lets no
        # process enter it again. The memory limit is on its parent.
        boot = machine.guest_group / "boot"
        boot.kill()
        boot.remove()
        boot.make()
        nspawn = subprocess.Popen(boot.entering(nspawn_command(machine)), env={**os.environ, **NSPAWN_ENVIRONMENT})
        code = nspawn.wait()
        say(f"systemd-nspawn exited with {code}")
        if code != REBOOT:
            break


def make_network(path: Path) -> None:
    """Create a network namespace pinned at ``path``, which persists across reboots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    run(["unshare", f"--net={path}", "true"], doing="Making a network namespace")


def connect(machine: Machine) -> None:
    """Connect the namespace to the host's network, and forward the guest's ports, with pasta."""
    settings = machine.settings
    ssh_port = SSH_PORT + 1 if settings.delay_ms else SSH_PORT
    forwards = [(ssh_port, 22), *((port, port) for port in settings.publish)]
    argv = [
        "pasta",
        "--quiet",
        "--ipv4-only",
        "--config-net",
        "--ns-ifname",
        "eth0",
        "--address",
        machine.inner_address,
        "--netmask",
        "24",
        "--gateway",
        machine.gateway,
    ]
    if name_servers():
        argv += ["--no-map-gw"]  # like a real Pi, it cannot reach services on the host's loopback
    for outer, inner in forwards:
        argv += ["-t", f"{machine.address}/{outer}:{inner}"]
    argv += ["-u", "none", "-T", "none", "-U", "none", "--runas", "0", "--netns", str(machine.network)]
    run(argv, doing=f"Connecting {machine.name} with pasta", timeout=30)
    if settings.delay_ms:
        subprocess.Popen(
            [PYTHON, "-m", "tests.virtual.delay", machine.address, str(SSH_PORT), str(ssh_port), str(settings.delay_ms)]
        )


def nspawn_command(machine: Machine) -> list[str]:
    """Return the command that boots the machine's disk."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={machine.root}",
        f"--machine={machine.machine_name}",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--capability=CAP_NET_ADMIN",  # root on a Pi may set up packet filters
        f"--network-namespace-path={machine.network}",
        "--console=pipe",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
    ]


def main() -> None:
    """Supervise the machine that the command line names."""
    folder, name = sys.argv[1:]
    state = State(Path(folder))
    machine = Machine(state, *state.load(), int(name.removeprefix("pi-")))
    try:
        supervise(machine)
    except (VirtualError, OSError) as error:
        say(str(error))
    (machine.group.v2 / "cgroup.kill").write_text("1")  # kills this process too


if __name__ == "__main__":
    main()
