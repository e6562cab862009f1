"""A virtual Pi in a virtual machine: QEMU with user-mode networking, and KVM where available.

It needs no mounts, namespaces or control groups, so it runs where a container cannot. It has its own kernel, clock and
udev, so it finds bugs that containers hide. A reboot always starts the kernel that the disk was made with.
"""

import base64
import os
import subprocess
import threading
import uuid
from functools import cache
from pathlib import Path

from . import raspios
from .emulated import MONITOR, Emulated, events, forwarding
from .pi import MEMORY_MIB, Member
from .root import ACCOUNT, check_disk
from .shell import VirtualError, run, say
from .state import SSH_PORT, Settings, State

_MACHINE = ["qemu-system-x86_64", "-machine", "q35", "-nodefaults", "-display", "none"]
# Nested KVM may not allow the register that this feature needs.
_PROCESSOR = ["-cpu", "max,arch-capabilities=off"]
_PROCESSORS = min(2, os.cpu_count() or 1)


class Vm(Member, Emulated):
    """A virtual machine. Its disk is an overlay on the suite's."""

    kind = "vm"
    # With plain emulation on a busy host, a boot takes minutes, and SSH may not answer for a long time.
    patience = 600.0
    inventory_settings = (
        "ansible_timeout=180 mitogen_ssh_keepalive_interval=60 ansible_ssh_args="
        "'-o ControlMaster=auto -o ControlPersist=60s -o ConnectTimeout=180 -o ServerAliveInterval=60'"
    )

    def __init__(self, state: State, settings: Settings, lower: Path, number: int) -> None:
        super().__init__(state, settings, lower, number)
        self.disk = self.folder / "disk.qcow2"
        self.credential = self.folder / "credential"
        self.console = self.folder / "console"
        self.seed = self.folder / "seed"

    def status(self) -> str:
        """Return running, frozen, stopped, or broken (QEMU does not answer)."""
        if not self.processes():
            return "stopped"
        try:
            state = self.command("query-status")["status"]
        except VirtualError:
            return "broken" if self.processes() else "stopped"
        return "frozen" if state == "paused" else "running"

    def start(self) -> None:
        self.clean_up()
        self.check_address()
        check_disk(self.lower)
        if not self.disk.exists():
            run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.lower / "disk", self.disk],
                doing=f"Making the disk of {self.name}",
            )
        self.credential.write_text(self._credential())
        if self.settings.os == "raspios":
            raspios.seed(self.seed, self._login().decode(), self.state.ensure_password())
        self.remember_settings()
        self.power_on()

    def stop(self, patience: float = 60) -> None:
        if self.status() == "frozen":
            self.freeze(False)
        try:
            self.power_off(patience)
        except VirtualError:
            self.clean_up()

    def clean_up(self) -> None:
        self.kill()

    def reset(self) -> None:
        self.clean_up()
        self.disk.unlink(missing_ok=True)

    def freeze(self, frozen: bool) -> None:
        self.command("stop" if frozen else "cont")

    def plug(self, plugged: bool) -> None:
        self.command("set_link", name="cable", up=plugged)

    def _credential(self) -> str:
        """Return this Pi's identity: files that systemd-tmpfiles writes at first boot."""
        key = (self.folder / "ssh_host_ed25519_key").read_bytes()
        lines = [f"f~ /etc/ssh/ssh_host_ed25519_key 0600 root root - {_base64(key)}"]
        if self.settings.os == "debian":  # in Raspberry Pi OS, cloud-init creates the account
            lines += [
                f"d /home/{ACCOUNT}/.ssh 0700 {ACCOUNT} {ACCOUNT}",
                f"f~ /home/{ACCOUNT}/.ssh/authorized_keys 0600 {ACCOUNT} {ACCOUNT} - {_base64(self._login())}",
            ]
        return f"io.systemd.credential.binary:tmpfiles.extra={_base64(os.linesep.join([*lines, '']).encode())}"

    def _login(self) -> bytes:
        """Return the public key to authorize."""
        return self.state.key.with_suffix(".pub").read_bytes()

    def _seed_drive(self) -> list[str]:
        """Return the options of a small FAT drive for cloud-init, which stands for a card's boot partition."""
        if self.settings.os != "raspios":
            return []
        drive = f"driver=vvfat,node-name=seed,dir={self.seed.name},label=CIDATA,read-only=on"
        return ["-blockdev", drive, "-device", "virtio-blk-pci,drive=seed"]

    def load(self) -> list[str]:
        settings = self.settings
        ports = {SSH_PORT: 22, **{port: port for port in settings.publish}}
        fast = settings.accel == "kvm" or (settings.accel == "auto" and kvm_works(self.lower / "kernel"))
        say("with KVM" if fast else "with plain emulation")
        return [
            *[*_MACHINE, *_PROCESSOR, "-accel", "kvm" if fast else "tcg,thread=multi"],
            *["-smp", str(_PROCESSORS), "-m", str(MEMORY_MIB)],
            *["-kernel", str(self.lower / "kernel")],
            *["-append", "console=ttyS0 root=/dev/nvme0n1 rw quiet net.ifnames=0"],
            # Relative to QEMU's working directory, so that no path needs quoting. A write is acknowledged once the
            # host's kernel has it, without waiting for the host's disk.
            *["-drive", f"file={self.disk.name},if=none,id=disk,cache=unsafe,discard=unmap"],
            # The only disk that Debian's kernel supports without an initramfs.
            *["-device", "nvme,drive=disk,serial=disk"],
            *self._seed_drive(),
            *["-netdev", f"user,id=user{forwarding(self.address, ports)}"],
            *["-device", "virtio-net-pci,netdev=user,id=cable,romfile="],
            *["-device", "virtio-rng-pci"],
            *["-smbios", f"type=1,uuid={uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder))}"],
            *["-smbios", f"type=11,path={self.credential.name}"],
            *["-rtc", f"base={settings.clock or 'utc'}"],
            *["-chardev", f"file,id=console,path={self.console.name},append=on", "-serial", "chardev:console"],
            *["-qmp", f"unix:{MONITOR},server=on,wait=off"],
        ]


def vm_in(folder: Path) -> Vm:
    """Return the virtual machine of a folder inside a fleet's state folder."""
    state = State(folder.parents[1])
    return Vm(state, *state.load(), int(folder.name.removeprefix("pi-")))


@cache
def kvm_works(kernel: Path) -> bool:
    """Return whether a kernel boots with KVM: without a disk, it panics and reboots within a second.

    A /dev/kvm alone proves nothing: nested KVM may run only some kernels.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    words = [*_MACHINE, *_PROCESSOR, "-accel", "kvm", "-m", "256", "-kernel", str(kernel), "-append", "panic=-1"]
    with subprocess.Popen(
        [*words, "-no-reboot", "-qmp", "stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as qemu:
        alarm = threading.Timer(30, qemu.kill)
        alarm.start()
        event, data = next(((name, data) for name, data in events(qemu) if name in ("SHUTDOWN", "STOP")), ("", {}))
        alarm.cancel()
        qemu.kill()
    return event == "SHUTDOWN" and data["reason"] == "guest-reset"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
