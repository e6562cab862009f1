"""The disk that every virtual machine's own lies over, with the kernel beside it: made once, kept in the cache.

Nothing here needs a privilege: mmdebstrap makes a tar (as an ordinary user in a user namespace, or with fakechroot),
and mke2fs writes a file system from a folder.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .errors import VirtualError
from .root import Recipe, wait_for
from .shell import run, say, stage

SIZE = "8G"  # of a usual card; what is empty takes no room
_PACKAGES = ("linux-image-cloud-amd64",)
# Raspberry Pi OS has NetworkManager. The name server is QEMU's, which asks as the host does.
_NETWORK = """
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\n' > "$1/etc/systemd/network/eth0.network"
ln -s /usr/lib/systemd/system/systemd-networkd.service "$1/etc/systemd/system/multi-user.target.wants/"
echo nameserver 10.0.2.3 > "$1/etc/resolv.conf"
"""
_CUSTOMIZE = """
echo '/dev/nvme0n1 / ext4 defaults,discard 0 1' > "$1/etc/fstab"
"""
# The new file holds zeros, so its inode tables need none.
_UNPACK = """
tar --extract --file "$1" --directory "$2" --exclude='./dev/*'
cp "$2"/boot/vmlinuz-* "$5"
mke2fs -q -t ext4 -E lazy_itable_init=1,assume_storage_prezeroed=1 -d "$2" "$3" "$4"
"""


def ensure_disk(root: Recipe, cache: Path) -> Path:
    """Return the folder of a disk with such a root, and its kernel, made if missing or if the recipe has changed."""
    network = _NETWORK if root.kind == root.suite else ""
    recipe = replace(root, packages=root.packages + _PACKAGES, customize=root.customize + network + _CUSTOMIZE)
    folder = cache / f"vm-{recipe.name}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"vm-{recipe.kind}.lock").open("w") as lock:
        wait_for(lock.fileno(), recipe.kind)
        if folder.is_dir():
            return folder
        _remove_others(recipe.kind, cache)
        os.set_inheritable(lock.fileno(), True)  # an orphaned mmdebstrap keeps it
        _make(recipe, folder, lock.fileno())
    return folder


def _make(recipe: Recipe, folder: Path, lock: int) -> None:
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir()
    tar, root, log = partial / "root.tar", partial / "root", partial.with_suffix(".log")
    doing = f"Making the root of a virtual machine of {recipe.kind}"
    is_root = os.geteuid() == 0
    fake = [] if is_root else ["fakeroot"]  # so that the files' owners are as in the tar
    # Who mmdebstrap is in its user namespace cannot see into the caller's home.
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
    """Keep a disk in the cache, while a Pi's own lies over it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _remove_others(kind: str, cache: Path) -> None:
    """Remove disks of this kind that were left half made, or were made by an older recipe and are not in use."""
    for path in (path for path in cache.glob(f"vm-{kind}-*") if path.is_dir()):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            say(f"Removing {path}, which is outdated or half made.")
            shutil.rmtree(path)
        finally:
            os.close(descriptor)


def check_disk(folder: Path) -> None:
    """Raise a sentence when a disk is no longer in the cache."""
    if not (folder / "disk").exists():
        raise VirtualError(
            f"The disk {folder} that the Pi's own lies over is gone; run `make demo-stop` first, then start again."
        )
