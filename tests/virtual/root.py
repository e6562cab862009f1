"""The root file system or disk that all virtual Pis of a suite start from, made once and kept in the cache.

It is as minimal as Raspberry Pi OS Lite where a playbook would notice: an account ``pi`` with sudo, SSH, Python, and no
python3-apt. With Raspberry Pi OS (see raspios.py) it has no account yet.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from . import raspios
from .cgroups import Group
from .host import apt_settings, apt_sources
from .mounts import read_mounts, unmount_below
from .shell import VirtualError, run, say, stage

SUITES = ("trixie", "bookworm")
ACCOUNT = "pi"
# The account that Ansible logs in with, by system.
ACCOUNTS = {"debian": ACCOUNT, "raspios": raspios.ACCOUNT}

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

# Run by mmdebstrap at the end, with the new root as $1. The masked units cannot work in a container. The .updated
# stamps save each first boot work that is done here.
_CUSTOMIZE = """set -e
echo raspberrypi > "$1/etc/hostname"
printf '%s\\t%s\\n' 127.0.0.1 localhost ::1 'localhost ip6-localhost' 127.0.1.1 raspberrypi > "$1/etc/hosts"
echo LANG=C.UTF-8 > "$1/etc/default/locale"
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
for unit in console-getty.service getty.target systemd-networkd-wait-online.service e2scrub_reap.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
touch "$1/etc/.updated" "$1/var/.updated"
"""
_MAKE_ACCOUNT = f"""
chroot "$1" useradd --create-home --shell /bin/bash {ACCOUNT}
echo '{ACCOUNT} ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/010_pi-nopasswd"
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
    def name(self) -> str:
        """The kind and a hash of the recipe."""
        parts = [self.suite, list(self.packages), self.customize, self.sources, self.settings, *self.options]
        return f"{self.kind}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"

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


def ensure_root(recipe: Recipe, cache: Path, group: Group) -> Path:
    """Return the folder of a root, made first if it is missing or its recipe has changed.

    The processes that make it run in ``group``, so that ``down`` can kill them.
    """
    root = cache / recipe.name
    with _missing(root, recipe.kind) as lock:
        if lock is not None:
            _remove_others(recipe.kind, cache)
            with stage(f"Making the root of {recipe.kind} with mmdebstrap in {root} (once)"):
                _make(recipe, root, group, lock)
    return root


@contextmanager
def _missing(folder: Path, kind: str) -> Iterator[int | None]:
    """Lock the making of a folder, and yield the lock; None if the folder exists."""
    if folder.is_dir():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{kind}.lock").open("w") as file:
        lock = file.fileno()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another process that is making the root of {kind}.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Inherited, so that an orphaned mmdebstrap keeps the lock.
        os.set_inheritable(lock, True)
        yield None if folder.is_dir() else lock


def _make(recipe: Recipe, root: Path, group: Group, lock: int) -> None:
    partial = root.with_name(root.name + ".partial")
    scratch = root.with_name(root.name + ".tmp")
    scratch.mkdir()
    # In its own mount namespace, so that its mounts vanish if it is killed.
    argv = ["unshare", "--mount", *recipe.command(partial)]
    group.make()
    run(
        group.entering(argv),
        doing=f"Making the root of {recipe.kind}",
        log=root.with_name(f"{recipe.kind}.log"),
        pass_fds=(lock,),
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    partial.rename(root)
    shutil.rmtree(scratch)


def _remove_others(kind: str, cache: Path) -> None:
    """Remove unused roots of this kind that are incomplete or of an older recipe."""
    lowers = {
        lower
        for mount in read_mounts()
        for option in mount.options
        if option.startswith("lowerdir=")
        for lower in option.removeprefix("lowerdir=").split(":")
    }
    for path in cache.glob(f"{kind}-*"):
        if path.is_dir() and str(path) not in lowers:
            unmount_below(path)  # we hold the lock, so no other process is making it
            say(f"Removing {path}, which is outdated or incomplete.")
            shutil.rmtree(path)


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
"""
# The new file reads as zeros, so the inode tables need not be zeroed.
_UNPACK = """
tar --extract --file "$1" --directory "$2" --exclude='./dev/*'
cp "$2"/boot/vmlinuz-* "$5"
mke2fs -q -t ext4 -E lazy_itable_init=1,assume_storage_prezeroed=1 -d "$2" "$3" "$4"
"""


def ensure_disk(root: Recipe, cache: Path) -> Path:
    """Return the folder of a root's disk and kernel, made first if missing or if the recipe has changed."""
    network = _VM_NETWORK if root.kind == root.suite else ""
    packages = root.packages + _VM_PACKAGES + _scientific_packages(root.suite)
    recipe = replace(root, packages=packages, customize=root.customize + network + _VM_CUSTOMIZE)
    folder = cache / f"vm-{recipe.name}"
    with _missing(folder, f"vm-{recipe.kind}") as lock:
        if lock is not None:
            _remove_other_disks(recipe.kind, cache)
            _make_disk(recipe, folder, lock)
    return folder


def _scientific_packages(suite: str) -> tuple[str, ...]:
    """Return the apt packages of the role python; on an emulated processor they would take half of a first run."""
    settings = yaml.safe_load(_PLATFORMS.read_text())
    return (*settings["python_packages"], *settings["python_packages_by_suite"][suite])


def _make_disk(recipe: Recipe, folder: Path, lock: int) -> None:
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir()
    tar, root, log = partial / "root.tar", partial / "root", partial.with_suffix(".log")
    doing = f"Making the root of a virtual machine of {recipe.kind}"
    is_root = os.geteuid() == 0
    fake = [] if is_root else ["fakeroot"]  # to keep the owners from the tar file
    # In its user namespace, mmdebstrap cannot read the caller's home.
    environment = {**os.environ, **({"TMPDIR": str(partial)} if is_root else {})}
    with stage(f"{doing} with mmdebstrap in {folder} (once)"):
        words = ["setpriv", "--pdeathsig", "KILL", *recipe.command(tar, mode="auto")]
        run(words, doing=doing, log=log, pass_fds=(lock,), env=environment)
    with stage("Making its disk with mke2fs"):
        root.mkdir()
        words = [*fake, "sh", "-e", "-c", _UNPACK, "unpack", tar, root, partial / "disk", SIZE, partial / "kernel"]
        run(words, doing="Making the disk of a virtual machine", log=log, pass_fds=(lock,))
    shutil.rmtree(root)
    tar.unlink()
    partial.rename(folder)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a disk in the cache while a Pi uses it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _remove_other_disks(kind: str, cache: Path) -> None:
    """Remove unused disks of this kind that are incomplete or of an older recipe."""
    for path in (path for path in cache.glob(f"vm-{kind}-*") if path.is_dir()):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            say(f"Removing {path}, which is outdated or incomplete.")
            shutil.rmtree(path)
        finally:
            os.close(descriptor)


def check_disk(folder: Path) -> None:
    """Raise VirtualError if a disk is no longer in the cache."""
    if not (folder / "disk").exists():
        raise VirtualError(f"The Pi's base disk {folder} is missing; run `make demo-stop` first, then start again.")
