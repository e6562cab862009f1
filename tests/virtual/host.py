"""What the virtual Pis need from their host: root, a few packages, its Debian mirror."""

import os
import platform
import shutil
from pathlib import Path

from .shell import VirtualError, run, say, stage, warn

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
INSTANCES = 16  # inotify instances per Pi: systemd, its services, and a margin

# The programs that each kind of Pi needs, and their Debian packages.
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
# Also needed to make a root file system as an ordinary user.
_UNPRIVILEGED = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}
# The host's apt settings that its mirror may depend on.
_APT_SETTINGS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")


def become_root(arguments: list[str]) -> None:
    """Continue as root, through sudo if necessary: namespaces and mounts need it."""
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo"):
        raise VirtualError("The virtual Pis need root, and this computer has no sudo: run this as root.")
    warn("The virtual Pis need root (namespaces, mounts, control groups): using sudo.")
    # `arguments` give the full paths of the state and the cache, which are the caller's.
    os.chdir(PROJECT)
    os.execvp("sudo", ["sudo", "--", PYTHON, "-m", "tests.virtual", *arguments])


def caller() -> tuple[int, int]:
    """Return the user and group id of the caller, even under sudo."""
    return int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid()))


def cache_folder() -> Path:
    """Return the control node's cache folder, which is outside the repository."""
    return Path(os.environ.get("MYNN_CACHE") or Path.home() / ".cache" / "mynn-pi").resolve()


def ensure_packages(kind: str) -> None:
    """Install the Debian packages that a kind of Pi needs."""
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
    """Raise the host's limit of inotify instances, usually 128, to what ``size`` Pis need."""
    needed, allowed = INSTANCES * size, int(file.read_text())
    if allowed >= needed:
        return
    wanted = max(needed, 1024)  # other fleets may be running
    try:
        file.write_text(f"{wanted}\n")
    except OSError as error:
        raise VirtualError(
            f"{size} Pis need {needed} inotify instances, but this host allows {allowed}, and the limit cannot be "
            f"changed from here ({error.strerror}): set it with `sysctl fs.inotify.max_user_instances={wanted}`."
        ) from None
    say(f"Until its next boot, this host allows {wanted} inotify instances instead of {allowed}.")


def apt_sources(suite: str) -> list[str]:
    """Return apt source lines for ``suite``, from the mirrors that this host uses.

    Empty if the host is not Debian or uses no HTTP mirror: mmdebstrap then uses Debian's own.
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
    """Return the lines of this host's apt configuration that its mirror may depend on."""
    dump = run(["apt-config", "dump", *_APT_SETTINGS], doing="Reading this host's apt configuration")
    return [line for line in dump.splitlines() if line.split(" ")[0] in _APT_SETTINGS and '""' not in line]


def name_servers() -> list[str]:
    """Return the host's IPv4 name servers that a guest can reach, so none on the host itself.

    If the host runs systemd-resolved, these are its upstream servers.
    """
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        reached = [server for server in servers if ":" not in server and not server.startswith("127.")]
        if reached:
            return reached
    return []


def own(*paths: Path) -> None:
    """Make the caller the owner of paths that root may have created."""
    user, group = caller()
    for path in paths:
        os.chown(path, user, group)
