"""The root file system that all virtual Pis of a suite start from, made once: a podman image, or a disk in the cache.

It is as minimal as Raspberry Pi OS Lite where a playbook would notice: an account ``pi`` with sudo, SSH, Python, and no
python3-apt. With Raspberry Pi OS (see raspios.py) it has no account yet.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import yaml

from . import raspios
from .host import apt_settings, apt_sources, cache_folder
from .podman import LABEL, podman
from .shell import run, stage

SUITES = ("trixie", "bookworm")
# The account that Ansible logs in with, by system.
ACCOUNTS = {"debian": "pi", "raspios": raspios.ACCOUNT}

_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "systemd-timesyncd",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "iproute2",
    "netbase",
    "procps",
    "ca-certificates",
)

# Run by mmdebstrap at the end, with the new root as $1. The masked units cannot work in a container, and a Pi that is
# switched off ends with the exit code 0, so that podman starts it again only when it reboots. The .updated stamps save
# each first boot work that is done here.
_CUSTOMIZE = """set -e
echo raspberrypi > "$1/etc/hostname"
printf '%s\\t%s\\n' 127.0.0.1 localhost ::1 'localhost ip6-localhost' 127.0.1.1 raspberrypi > "$1/etc/hosts"
echo LANG=C.UTF-8 > "$1/etc/default/locale"
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
for unit in console-getty.service getty.target systemd-networkd-wait-online.service e2scrub_reap.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
mkdir "$1/etc/systemd/system/systemd-poweroff.service.d"
printf '%s\\n' '[Unit]' 'SuccessAction=exit-force' 'SuccessActionExitStatus=0' \\
    > "$1/etc/systemd/system/systemd-poweroff.service.d/container.conf"
touch "$1/etc/.updated" "$1/var/.updated"
"""
_MAKE_ACCOUNT = """
chroot "$1" useradd --create-home --shell /bin/bash pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/010_pi-nopasswd"
chmod 0440 "$1/etc/sudoers.d/010_pi-nopasswd"
"""
# Packages and customization script, by system.
_SYSTEMS = {
    "debian": (_PACKAGES, _CUSTOMIZE + _MAKE_ACCOUNT),
    "raspios": (_PACKAGES + raspios.PACKAGES, _CUSTOMIZE + raspios.CUSTOMIZE),
}


@dataclass(frozen=True)
class Recipe:
    """What mmdebstrap makes a root file system from."""

    kind: str  # the suite, prefixed with the system unless that is Debian: raspios-trixie
    suite: str
    packages: tuple[str, ...]
    customize: str  # a shell script, with the new root as $1
    sources: list[str]
    settings: list[str]
    options: tuple[str, ...] = ()  # mmdebstrap's, besides

    @property
    def key(self) -> str:
        """A hash of the recipe."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:12]

    def command(self, target: Path, mode: str = "root") -> list[str | Path]:
        """Return the command line that makes the root, as a folder or a tar file."""
        words: list[str | Path] = ["mmdebstrap", f"--mode={mode}", "--variant=minbase"]
        words += [f"--include={','.join(self.packages)}", *self.options]
        words += [f"--aptopt={line}" for line in self.settings]
        words += [f"--customize-hook={self.customize}", self.suite, target, *self.sources]
        return words


def recipe_of(suite: str, system: str) -> Recipe:
    """Return the recipe of a system's suite, with this host's mirrors."""
    kind = suite if system == "debian" else f"{system}-{suite}"
    return Recipe(kind, suite, *_SYSTEMS[system], apt_sources(suite), apt_settings())


def ensure_image(recipe: Recipe) -> str:
    """Return the podman image of a root, made first if it is missing or its recipe has changed."""
    image = f"localhost/mynn-pi/{recipe.kind}:{recipe.key}"

    def make(scratch: Path) -> None:
        podman("image", "prune", "--all", "--force", f"--filter=label={LABEL}.root={recipe.kind}")  # older ones
        _debootstrap(recipe, scratch)
        podman("import", "--quiet", f"--change=LABEL={LABEL}.root={recipe.kind}", scratch / "root.tar", image)

    _once(recipe.kind, lambda: bool(podman("images", "--quiet", image)), make)
    return image


def _once(kind: str, exists: Callable[[], bool], make: Callable[[Path], None]) -> None:
    """Make something, with a scratch folder, unless it exists or another process is making it."""
    folder = cache_folder() / "virtual"
    scratch = folder / f"{kind}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if exists():
            return
        shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
        scratch.mkdir()
        make(scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def _debootstrap(recipe: Recipe, scratch: Path) -> None:
    """Make the tar file ``root.tar`` of a root."""
    is_root = os.geteuid() == 0
    # In its own mount namespace, so that its mounts vanish if it is killed. (In its user namespace, an ordinary user's
    # mmdebstrap cannot read the user's home.)
    words = ["setpriv", "--pdeathsig", "KILL", *(["env", f"TMPDIR={scratch}", "unshare", "--mount"] if is_root else [])]
    with stage(f"Making the root of {recipe.kind} with mmdebstrap (once)"):
        run([*words, *recipe.command(scratch / "root.tar", "auto")], doing="Making the root")


# ---------------------------------------------------------------------------------------------------------------------
# The base disk of all virtual machines, and its kernel. Nothing here needs root: mmdebstrap makes a tar file (as an
# ordinary user in a user namespace, or with fakechroot), and mke2fs makes a file system from a folder.

SIZE = "8G"  # as a common card; the file is sparse
_VM_PACKAGES = ("linux-image-cloud-amd64",)
_PLATFORMS = Path(__file__).resolve().parents[2] / "playbooks/group_vars/all/platforms.yml"
# For Debian; Raspberry Pi OS has NetworkManager. The name server is QEMU's, which forwards to the host's.
_VM_NETWORK = """
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\n' > "$1/etc/systemd/network/eth0.network"
ln -s /usr/lib/systemd/system/systemd-networkd.service "$1/etc/systemd/system/multi-user.target.wants/"
echo nameserver 10.0.2.3 > "$1/etc/resolv.conf"
"""
_VM_CUSTOMIZE = """
echo '/dev/nvme0n1 / ext4 defaults,discard 0 1' > "$1/etc/fstab"
rm "$1/etc/systemd/system/systemd-poweroff.service.d/container.conf"
"""
# The new file reads as zeros, so the inode tables need not be zeroed.
_UNPACK = """
cd "$1"
mkdir root
tar --extract --file root.tar --directory root --exclude='./dev/*'
cp root/boot/vmlinuz-* kernel
mke2fs -q -t ext4 -E lazy_itable_init=1,assume_storage_prezeroed=1 -d root disk "$2"
"""


def ensure_disk(root: Recipe) -> Path:
    """Return the folder of a root's disk and kernel, made first if missing or if the recipe has changed."""
    network = _VM_NETWORK if root.kind == root.suite else ""
    packages = root.packages + _VM_PACKAGES + _scientific_packages(root.suite)
    recipe = replace(root, packages=packages, customize=root.customize + network + _VM_CUSTOMIZE)
    cache = cache_folder() / "virtual"
    folder = cache / f"vm-{recipe.kind}-{recipe.key}"

    def make(scratch: Path) -> None:
        for old in cache.glob(f"vm-{recipe.kind}-*"):
            shutil.rmtree(old)
        _debootstrap(recipe, scratch)
        fake = ["fakeroot"] if os.geteuid() else []  # to keep the owners from the tar file
        with stage("Making its disk with mke2fs"):
            run([*fake, "sh", "-e", "-c", _UNPACK, "unpack", scratch, SIZE], doing="Making a virtual machine's disk")
        folder.mkdir()
        for name in ("kernel", "disk"):  # last the disk, which marks the folder as complete
            (scratch / name).rename(folder / name)

    _once(f"vm-{recipe.kind}", (folder / "disk").exists, make)
    return folder


def _scientific_packages(suite: str) -> tuple[str, ...]:
    """Return the apt packages of the role python; on an emulated processor they would take half of a first run."""
    settings = yaml.safe_load(_PLATFORMS.read_text())
    return (*settings["python_packages"], *settings["python_packages_by_suite"][suite])
