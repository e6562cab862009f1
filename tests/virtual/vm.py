"""A virtual Pi in a virtual machine: QEMU with user-mode networking, and KVM where available.

It needs no mounts, namespaces or control groups, so it runs where a container cannot. It has its own kernel, clock and
udev, so it finds bugs that containers hide. A reboot always starts the kernel that the disk was made with.
"""

import base64
import os
import subprocess
import uuid
from functools import cache
from pathlib import Path

from .emulated import Emulated, forwarding
from .pi import Member
from .shell import VirtualError, run, say, spawn
from .state import SSH_PORT

_MACHINE = ["qemu-system-x86_64", "-machine", "q35", "-nodefaults", "-display", "none"]
# Nested KVM may not allow the register that this feature needs.
_PROCESSOR = ["-cpu", "max,arch-capabilities=off"]
# In its folder.
_DISK, _CREDENTIAL = "disk.qcow2", "credential"
_PROCESSORS = min(2, os.cpu_count() or 1)


class Vm(Emulated, Member):
    """A virtual machine. Its disk is an overlay on the suite's."""

    # With plain emulation on a busy host, a boot takes minutes, and SSH may not answer for a long time.
    patience = 600.0
    inventory_settings = (
        "ansible_timeout=180 mitogen_ssh_keepalive_interval=60 ansible_ssh_args="
        "'-o ControlMaster=auto -o ControlPersist=60s -o ConnectTimeout=180 -o ServerAliveInterval=60'"
    )

    def start(self) -> None:
        """Switch the machine on, with its existing disk or a fresh one. Does not wait for the boot."""
        base = Path(self.settings.root, "disk")
        if not base.exists():
            raise VirtualError(f"{base} is missing; run `make demo-stop` first, then start again.")
        if not (self.folder / _DISK).exists():
            run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, self.folder / _DISK],
                doing=f"Making the disk of {self.name}",
            )
        identity = base64.b64encode(self.identity().encode()).decode()
        (self.folder / _CREDENTIAL).write_text(f"io.systemd.credential.binary:tmpfiles.extra={identity}")
        spawn([*self.load(), "-name", self.title], log=self.log, cwd=self.folder)

    def stop(self) -> None:
        """Shut the machine down cleanly, or kill it if that takes too long."""
        try:
            self.power_off(patience=60)
        except VirtualError:
            self.kill()

    def load(self) -> list[str]:
        """Return the QEMU command line."""
        settings, kernel = self.settings, Path(self.settings.root, "kernel")
        ports = {SSH_PORT: 22, **{port: port for port in settings.publish}}
        fast = kvm_works(kernel)
        say(f"{self.name}: with {'KVM' if fast else 'plain emulation'}")
        return [
            *[*_MACHINE, *_PROCESSOR, "-accel", "kvm" if fast else "tcg,thread=multi"],
            *["-smp", str(_PROCESSORS), "-m", "512" if self.settings.students == 1 else "4096"],
            *["-kernel", str(kernel)],
            *["-append", "console=ttyS0 root=/dev/nvme0n1 rw quiet net.ifnames=0"],
            # Relative to QEMU's working directory, so that no path needs quoting. A write is acknowledged once the
            # host's kernel has it, without waiting for the host's disk.
            *["-drive", f"file={_DISK},if=none,id=disk,cache=unsafe,discard=unmap"],
            # The only disk that Debian's kernel supports without an initramfs.
            *["-device", "nvme,drive=disk,serial=disk"],
            *["-netdev", f"user,id=user{forwarding(self.address, ports)}"],
            *["-device", "virtio-net-pci,netdev=user,id=cable,romfile="],
            *["-device", "virtio-rng-pci"],
            *["-smbios", f"type=1,uuid={uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder))}"],
            *["-smbios", f"type=11,path={_CREDENTIAL}"],
            *["-chardev", "file,id=console,path=console,append=on", "-serial", "chardev:console"],
        ]


@cache
def kvm_works(kernel: Path) -> bool:
    """Return whether a kernel boots with KVM: without a disk, it panics and reboots within a second.

    A /dev/kvm alone proves nothing: nested KVM may run only some kernels.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    words = [*_MACHINE, *_PROCESSOR, "-accel", "kvm", "-m", "256", "-kernel", str(kernel), "-append", "panic=-1"]
    probe = subprocess.run(["timeout", "15", *words, "-no-reboot"], stderr=subprocess.DEVNULL, check=False)
    return probe.returncode == 0
