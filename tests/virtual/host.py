"""What the virtual Pis need from their host: a few packages, inotify instances, its Debian mirror and name servers."""

import os
import platform
import shutil
from pathlib import Path

from mynn_control import programs

from .shell import SUDO, VirtualError, run, say

os.environ["PATH"] += ":/usr/sbin:/sbin"  # which not every shell looks in
PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
INSTANCES = 16  # inotify instances per Pi: systemd, its services, and a margin
# Hosts that do not mount cgroup version 2 there use both versions, which crun, podman's default runtime, refuses.
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()

# The host's apt settings that its mirror may depend on.
_APT_SETTINGS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")


def cache_folder() -> Path:
    """Return the control node's cache folder, which is outside the repository."""
    return Path(os.environ.get("MYNN_CACHE") or Path.home() / ".cache" / "mynn-pi").resolve()


def ensure_packages(kind: str) -> None:
    """Install the Debian packages that a kind of Pi needs."""
    if platform.machine() != "x86_64" or not shutil.which("apt-get"):
        raise VirtualError("The virtual Pis need Debian 12 or 13 on x86-64, which this computer is not.")
    groups = ["virtual-machines" if kind == "vm" else "containers"]
    groups += ["unprivileged"] if SUDO else []
    groups += ["old-containers"] if kind == "container" and not UNIFIED else []
    try:
        programs.ensure(*groups)
    except programs.CannotInstallError as error:
        raise VirtualError(str(error)) from None


def ensure_watches(size: int) -> None:
    """Raise the host's limit of inotify instances, usually 128, to what ``size`` Pis need."""
    allowed = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    if allowed < INSTANCES * size:
        wanted = max(INSTANCES * size, 1024)  # other fleets may be running
        setting = f"fs.inotify.max_user_instances={wanted}"
        run([*SUDO, "sysctl", "-qw", setting], doing=f"Raising this host's limit of inotify instances ({setting})")
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
    """Return the host's IPv4 name servers that a container can reach, so none on the host itself.

    If the host runs systemd-resolved, these are its upstream servers.
    """
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        reached = [server for server in servers if ":" not in server and not server.startswith("127.")]
        if reached:
            return reached
    return []
