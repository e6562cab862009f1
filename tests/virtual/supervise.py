"""The supervisor of one virtual Pi: holds its network, runs it, and starts it again when it reboots.

Started by ``Machine.start`` in the machine's control group, as ``python3 -m tests.virtual.supervise STATE PI``.
When the guest powers off, or systemd-nspawn is killed, it takes everything of the machine with it.
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

REBOOT = 133  # how systemd-nspawn ends when the guest asks for a reboot
NSPAWN_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # version 2 inside, also where the host mixes both
    "SYSTEMD_NSPAWN_LOCK": "0",  # a killed nspawn would leave a lock file behind; we have our own
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
            nspawn.terminate()  # systemd-nspawn then asks the guest to power off

    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        say(f"starting {machine.name}")
        # A fresh group for each boot: systemd-nspawn hands the guest's controllers on, and version 2 then lets no
        # process into that group again. The cap is on the group above.
        boot = machine.guest_group / "boot"
        boot.kill()
        boot.remove()
        boot.make()
        nspawn = subprocess.Popen(boot.entering(nspawn_command(machine)), env={**os.environ, **NSPAWN_ENVIRONMENT})
        code = nspawn.wait()
        say(f"systemd-nspawn ended with {code}")
        if code != REBOOT:
            break


def make_network(path: Path) -> None:
    """Make a network namespace that lasts over reboots, pinned at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    run(["unshare", f"--net={path}", "true"], doing="Making a network namespace")


def connect(machine: Machine) -> None:
    """Give the namespace the outer world, and the host the guest's ports, with pasta."""
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
        argv += ["--no-map-gw"]  # like a real Pi, it cannot reach what listens on the host's loopback only
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
        "--capability=CAP_NET_ADMIN",  # root on a Pi may filter what programs send
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
    (machine.group.v2 / "cgroup.kill").write_text("1")  # this process too


if __name__ == "__main__":
    main()
