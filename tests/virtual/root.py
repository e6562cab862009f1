"""The root file system that every virtual Pi of a suite starts from: made once, kept in the cache.

It is as bare as Raspberry Pi OS Lite where that matters to a playbook: an account ``pi`` with sudo, SSH,
Python, and no python3-apt. That of Raspberry Pi OS itself (see raspios.py) has no account yet.
"""

import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import raspios
from .cgroups import Group
from .host import apt_settings, apt_sources
from .mounts import read_mounts, unmount_below
from .shell import run, say, stage

SUITES = ("trixie", "bookworm")
ACCOUNT = "pi"
# Each system's account that Ansible logs in with.
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

# Run by mmdebstrap at the end, with the new root as $1. Units that are masked cannot work in a container;
# the .updated stamps spare each first boot work that was done here.
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
# By system: the packages and what is done at the end.
_SYSTEMS = {
    "debian": (_PACKAGES, _CUSTOMIZE + _MAKE_ACCOUNT),
    "raspios": (_PACKAGES + raspios.PACKAGES, _CUSTOMIZE + raspios.CUSTOMIZE),
}


@dataclass(frozen=True)
class Recipe:
    """What mmdebstrap makes a root of."""

    kind: str  # the suite, with the system before it unless it is Debian: raspios-trixie
    suite: str
    packages: tuple[str, ...]
    customize: str  # a shell script, with the new root as $1
    sources: list[str]
    settings: list[str]

    @property
    def name(self) -> str:
        """The kind and a hash: another recipe has another name."""
        parts = [self.suite, list(self.packages), self.customize, self.sources, self.settings]
        return f"{self.kind}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"

    def command(self, target: Path, mode: str = "root") -> list[str | Path]:
        """Return the words that make a root, as a folder or a tar."""
        words: list[str | Path] = ["mmdebstrap", f"--mode={mode}", "--variant=minbase"]
        words += [f"--include={','.join(self.packages)}"]
        words += [f"--aptopt={line}" for line in self.settings]
        words += [f"--customize-hook={self.customize}", self.suite, target, *self.sources]
        return words


def recipe_of(suite: str, system: str) -> Recipe:
    """Return the recipe of a system's suite, from the mirrors of this host."""
    kind = suite if system == "debian" else f"{system}-{suite}"
    return Recipe(kind, suite, *_SYSTEMS[system], apt_sources(suite), apt_settings())


def ensure_root(recipe: Recipe, cache: Path, group: Group) -> Path:
    """Return the folder of a complete root, made if it is missing or its recipe has changed.

    What runs to make it belongs to ``group``, so that it can be found and ended.
    """
    root = cache / recipe.name
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{recipe.kind}.lock").open("w") as lock:
        wait_for(lock.fileno(), recipe.kind)
        if root.is_dir():
            return root
        _remove_others(recipe.kind, cache)
        with stage(f"Making the root of {recipe.kind} with mmdebstrap in {root} (once)"):
            _make(recipe, root, group, lock.fileno())
    return root


def wait_for(lock: int, kind: str) -> None:
    """Take the lock; say so when another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"Waiting for the root of {kind}, which another process is making.")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _make(recipe: Recipe, root: Path, group: Group, lock: int) -> None:
    partial = root.with_name(root.name + ".partial")
    scratch = root.with_name(root.name + ".tmp")
    scratch.mkdir()
    # In a mount namespace of its own, so that its mounts go with it when it is killed.
    argv = ["unshare", "--mount", *recipe.command(partial)]
    group.make()
    # An orphaned mmdebstrap keeps the lock, so that nobody builds beside it.
    os.set_inheritable(lock, True)
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
    """Remove roots of this kind that were left half made, or were made by an older recipe and are not in use."""
    lowers = {
        lower
        for mount in read_mounts()
        for option in mount.options
        if option.startswith("lowerdir=")
        for lower in option.removeprefix("lowerdir=").split(":")
    }
    for path in cache.glob(f"{kind}-*"):
        if path.is_dir() and str(path) not in lowers:
            unmount_below(path)  # the lock is ours, so nobody is at work there
            say(f"Removing {path}, which is outdated or half made.")
            shutil.rmtree(path)
