"""What the virtual Pis need from the machine that they run on: root, a few packages, its Debian mirror."""

import os
import platform
import shutil
from pathlib import Path

from .shell import VirtualError, run, say, stage, warn

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
INSTANCES = 16  # of inotify for each Pi: its systemd, what that starts, and a margin

# By the kind of Pi, a program that is needed, and the Debian package that brings it.
_PROGRAMS = {
    "container": {
        "mmdebstrap": "mmdebstrap",
        "systemd-nspawn": "systemd-container",
        "pasta": "passt",
        "ssh": "openssh-client",
        "ssh-keygen": "openssh-client",
        "mount": "mount",
    },
    "vm": {
        "mmdebstrap": "mmdebstrap",
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "mke2fs": "e2fsprogs",
        "ssh": "openssh-client",
        "ssh-keygen": "openssh-client",
    },
}
# What making a root takes for somebody who is not root.
_UNPRIVILEGED = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}
# Settings of the host's apt that decide whether and how its mirror can be reached.
_APT_SETTINGS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")


def become_root(arguments: list[str]) -> None:
    """Go on as root; without rights to namespaces and mounts nothing here works."""
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo"):
        raise VirtualError("The virtual Pis need root, and this computer has no sudo: run this as root.")
    warn("The virtual Pis need root (namespaces, mounts, control groups): using sudo.")
    # The state and the cache are the caller's, not root's: `arguments` name both in full.
    os.chdir(PROJECT)
    os.execvp("sudo", ["sudo", "--", PYTHON, "-m", "tests.virtual", *arguments])


def caller() -> tuple[int, int]:
    """Return the user and group id of the person who called, also through sudo."""
    return int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid()))


def cache_folder() -> Path:
    """Return the control node's cache, which outlives a clone."""
    return Path(os.environ.get("MYNN_CACHE") or Path.home() / ".cache" / "mynn-pi").resolve()


def ensure_packages(kind: str) -> None:
    """Install the Debian packages that are missing for a kind of Pi, and say so."""
    if platform.machine() != "x86_64" or not shutil.which("apt-get"):
        raise VirtualError("The virtual Pis need Debian 12 or 13 on x86-64, which this computer is not.")
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # missing in some root shells
    is_root = os.geteuid() == 0
    programs = _PROGRAMS[kind] | ({} if is_root else _UNPRIVILEGED)
    missing = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if not missing:
        return
    if not is_root and not shutil.which("sudo"):
        raise VirtualError(
            f"The virtual Pis need packages that only root may install: `apt-get install {' '.join(missing)}`."
        )
    sudo = [] if is_root else ["sudo", "--"]
    with stage(f"Installing {', '.join(missing)} with apt-get, once"):
        run([*sudo, "apt-get", "-q", "update"], doing="apt-get update")
        install = ["-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends", *missing]
        run(
            [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", *install],
            doing="Installing the packages that the virtual Pis need",
        )


def ensure_watches(size: int, file: Path = Path("/proc/sys/fs/inotify/max_user_instances")) -> None:
    """Let this host's Linux have as many inotify instances as so many Pis need; usual are 128."""
    needed, allowed = INSTANCES * size, int(file.read_text())
    if allowed >= needed:
        return
    wanted = max(needed, 1024)  # there may be other fleets
    try:
        file.write_text(f"{wanted}\n")
    except OSError as error:
        raise VirtualError(
            f"{size} Pis need {needed} inotify instances, this host allows {allowed}, and that cannot be changed here "
            f"({error.strerror}): set it with `sysctl fs.inotify.max_user_instances={wanted}`."
        ) from None
    say(f"This host now allows {wanted} inotify instances, instead of {allowed}, until its next boot.")


def apt_sources(suite: str) -> list[str]:
    """Return the source lines for ``suite`` on the mirrors that this host's own apt uses.

    Empty when the host is not a Debian or names no mirror over HTTP: mmdebstrap then takes Debian's own.
    """
    release = platform.freedesktop_os_release()
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return []
    listed = run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Identifier: Packages"],
        doing="Reading the mirrors of this host's apt",
    )
    mirrors: dict[str, str] = {}
    for line in listed.splitlines():
        site, _, name = line.partition(" ")
        if site.startswith(("http://", "https://")):
            mirrors.setdefault(name, site)
    main, security = mirrors.get(codename), mirrors.get(f"{codename}-security")
    if not main or not security:
        return []
    return [f"deb {main} {suite} main", f"deb {main} {suite}-updates main", f"deb {security} {suite}-security main"]


def apt_settings() -> list[str]:
    """Return the lines of this host's apt configuration without which its mirror cannot be used."""
    dump = run(["apt-config", "dump", *_APT_SETTINGS], doing="Reading this host's apt configuration")
    return [line for line in dump.splitlines() if line.split(" ")[0] in _APT_SETTINGS and '""' not in line]


def name_servers() -> list[str]:
    """Return the IPv4 name servers of this host that a guest can reach too: those that are not the host itself.

    Where systemd-resolved is the host's own name server, these are the ones that it asks.
    """
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        reached = [server for server in servers if ":" not in server and not server.startswith("127.")]
        if reached:
            return reached
    return []


def own(*paths: Path) -> None:
    """Give paths to the person who called, when root made them on their behalf."""
    user, group = caller()
    for path in paths:
        os.chown(path, user, group)
