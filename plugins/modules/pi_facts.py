#!/usr/bin/python3
"""Ansible module: gather all facts about a Pi that the roles need."""

from __future__ import annotations

import os
import platform
import pwd
import re
import subprocess
import time
from fnmatch import fnmatchcase
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import faults, packages_in
from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of
from ansible_collections.mynn.pi.plugins.module_utils.system import is_apt_cacher, listeners

DOCUMENTATION = r"""
module: pi_facts
short_description: The facts about a Pi that the roles need
description:
  - Replaces C(ansible.builtin.setup), which gathers far more and takes 24 seconds on a Pi Zero.
  - Changes nothing, so it also runs in check mode.
  - Tasks call the action plugin of the same name, which checks this module's answer, and returns the keys of C(pi).
options:
  account:
    description: The account that Ansible logs in with; by default the one that called sudo.
    type: str
  packages:
    description: Names of Debian packages; O(packages) that are installed are returned.
    type: list
    elements: str
    default: []
  units:
    description: By systemd unit, or pattern of units, the files that it is started with, or patterns of them. Of these
      units are returned those that run, that start at boot, that are masked, and that have not read their newest files.
    type: dict
    default: {}
  files:
    description: Further files, or patterns of them.
    type: list
    elements: str
    default: []
  proxy_port:
    description: Loopback port of the Pi at which the control node's apt-cacher-ng may be reached.
    type: int
  proxied:
    description: Mirrors, C(HOST) or C(HOST:PORT), that are reached through the control node.
    type: list
    elements: str
    default: []
author: The mynn-pi authors
"""

RETURN = r"""
pi:
  description: >-
    C(os) and C(version) from os-release (C(debian), C(13)), C(suite) (C(trixie)), C(architecture) in dpkg's terms
    (C(armel)), C(release) (C(13.8)), C(platform) (C(trixie-armel-armv6l); the action plugin empties it if the roles
    do not support it), C(python) (C(3.13)), C(epoch) (its clock, in seconds), C(clock_set) (by NTP), C(lists_time)
    (when apt's lists last changed), C(package_count), C(booted) (false in an image that is being made), C(free_mb)
    on the card, C(installed) (of O(packages)), C(cloud_init) (it runs at each boot), C(dpkg_faults) (what a power cut
    broke in dpkg and apt, in words), C(reboot_required), C(account), C(key_login) (the account has an SSH
    key), C(host_names) (those that the kernel, /etc/hostname and /etc/hosts give it), C(files) (of O(units) and
    O(files), those that exist; see plugins/module_utils/file_state.py), C(running), C(enabled), C(masked) and C(stale)
    (of O(units)), C(apt_proxy) (its address, or empty if nothing answers), C(nft) (the kernel can filter packets;
    tested if there are a proxy and nftables), C(apt_direct) (hosts that the proxy does not fetch from).
  returned: always
  type: dict
"""

ETC = Path("/etc")
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
MOST_FAULTS = 10
# Times of a unit's program start and of its last state change; a reload is one.
START, CHANGE = "ExecMainStartTimestampMonotonic", "StateChangeTimestampMonotonic"
PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "CanReload", START, CHANGE)


def processor(architecture: str) -> str:
    """Return the processor's name in wheel tags; a 64-bit kernel may run a 32-bit system."""
    usual = {"amd64": "x86_64", "arm64": "aarch64", "armel": "armv6l", "armhf": "armv7l"}
    return "armv6l" if platform.machine() == "armv6l" else usual.get(architecture, platform.machine())


def has_key(account: str) -> bool:
    """Return whether the account can log in with an SSH key."""
    try:
        keys = Path(pwd.getpwnam(account).pw_dir, ".ssh", "authorized_keys").read_text(encoding="utf-8")
    except (KeyError, OSError):
        return False
    return any(line.strip() and not line.startswith("#") for line in keys.splitlines())


def host_names() -> list[str]:
    """Return the host names in the kernel, /etc/hostname and /etc/hosts; "" for an invalid or missing one."""
    names = {platform.node()}
    for path, pattern in ((ETC / "hostname", r"^\s*([^#\s]\S*)"), (ETC / "hosts", r"^127\.0\.1\.1[ \t]+(.*\S)")):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        names.update(re.findall(pattern, text, re.M) or [""])
    return sorted({name if HOST_NAME.fullmatch(name) else "" for name in names})[:10]


def files(patterns: list[str]) -> list[str]:
    """Return the existing files, except those whose names are not printable ASCII."""
    paths = {str(path) for pattern in patterns for path in Path("/").glob(pattern.lstrip("/"))}
    return sorted(path for path in paths if path.isascii() and path.isprintable())


def units(wanted: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return running, enabled (started at boot), masked and stale units. wanted: unit pattern → its files' patterns.

    A stale unit has not read its newest files: an earlier run was cut off before it restarted the unit.
    """
    if not wanted or not Path("/run/systemd/system").is_dir():
        return {"running": [], "enabled": [], "masked": [], "stale": []}
    written = {unit: changed(patterns) for unit, patterns in wanted.items()}
    query = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", *written]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in answer.strip().split("\n\n")]
    states = {state["Id"]: state for state in blocks if state.get("LoadState") in ("loaded", "masked")}
    loaded = {unit: state for unit, state in states.items() if state["LoadState"] == "loaded"}
    newest = {unit: max(then for names, then in written.items() if fnmatchcase(unit, names)) for unit in loaded}
    return {
        "running": sorted(unit for unit, state in states.items() if state["ActiveState"] not in ("inactive", "failed")),
        "enabled": sorted(unit for unit, state in loaded.items() if state.get("UnitFileState") == "enabled"),
        "masked": sorted(states.keys() - loaded.keys()),
        "stale": sorted(unit for unit, state in loaded.items() if is_stale(state, newest[unit])),
    }


def changed(patterns: list[str]) -> float:
    """Return the newest ctime of the files, in seconds; 0 without files."""
    return max((os.lstat(path).st_ctime for path in files(patterns)), default=0)


def is_stale(state: dict[str, str], written: float) -> bool:
    """Return whether a unit last read its files before `written`, the time of the newest.

    The monotonic clock tells how long ago that was, since a Pi boots with the wrong time. A file from the future was
    written before this boot.
    """
    reads_at_start = state["CanReload"] == "no" and state.get(START, "0") != "0"
    event = int(state[START if reads_at_start else CHANGE] or 0) / 1e6
    now = time.time()
    began = now - (time.clock_gettime(time.CLOCK_MONOTONIC) - event)
    return bool(written) and (not event or began < written <= now)


def apt_proxy(port: int | None, owners: set[int], trusted: set[int]) -> str:
    """Return the address of apt-cacher-ng at that port; "" unless it answers and only trusted users listen there."""
    if port and owners and owners <= trusted and is_apt_cacher(port):
        return f"http://127.0.0.1:{port}"
    return ""


def nft(program: str = "/usr/sbin/nft") -> bool:
    """Return whether nftables works: after a kernel update, its modules are missing until a reboot."""
    return subprocess.run([program, "list", "tables"], capture_output=True, check=False).returncode == 0


def user_ids(*accounts: str) -> set[int]:
    """Return the user ids of the accounts that exist."""
    return {entry.pw_uid for entry in pwd.getpwall() if entry.pw_name in accounts}


def apt_direct(proxied: list[str]) -> str:
    """Return the hosts in apt's sources, comma-separated, that the control node's apt-cacher-ng does not fetch from."""
    apt = Path("/etc/apt")
    sources = [apt / "sources.list", *apt.glob("sources.list.d/*.list"), *apt.glob("sources.list.d/*.sources")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sources if path.is_file())
    named = re.findall(r"\bhttp://(?:[^@/\s]*@)?([^:/\s]+)(?::(\d+))?", text)
    mirrors = [(host, host if port in ("", "80") else f"{host}:{port}") for host, port in named]
    return ",".join(sorted({host for host, mirror in mirrors if mirror.lower() not in proxied}))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        {
            "account": {"type": "str"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "dict", "default": {}},
            "files": {"type": "list", "elements": "str", "default": []},
            "proxy_port": {"type": "int"},
            "proxied": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    account = module.params["account"] or os.environ.get("SUDO_USER") or "root"
    release = platform.freedesktop_os_release()
    card = os.statvfs("/")
    is_debian = Path("/usr/bin/dpkg").exists()
    packages = packages_in(Path("/var/lib/dpkg")) if is_debian else []
    there = {package.name for package in packages if package.installed}
    query = ["dpkg", "--print-architecture"] if is_debian else ["uname", "--machine"]
    architecture = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    suite = release.get("VERSION_CODENAME", "")
    port = module.params["proxy_port"]
    trusted = user_ids("root", account)  # sshd listens there as the account that logged in
    owners = listeners().get(port or 0, set())
    proxy = apt_proxy(port, owners, trusted)
    if strangers := owners - trusted:
        module.warn(
            f"A program of user id {min(strangers)} listens on port {port} of this Pi, so apt does not use the control "
            "node's packages, but fetches its own. End the students' programs (`make reset`), or restart the Pi."
        )
    packages_there = [name for name in module.params["packages"] if name in there]
    filters = bool(proxy) and "nftables" in packages_there and nft()
    if proxy and "nftables" in packages_there and not filters:
        module.warn(
            f"The kernel of this Pi cannot keep students' programs off port {port}, which apt fetches packages"
            " through. If the kernel was just updated, restart the Pi."
        )
    asked = module.params["units"]
    patterns = [*module.params["files"], *(pattern for patterns in asked.values() for pattern in patterns)]
    pi = {
        "os": release.get("ID", "unknown"),
        "name": release.get("PRETTY_NAME", "unknown"),
        "version": release.get("VERSION_ID", ""),
        "release": Path("/etc/debian_version").read_text(encoding="utf-8").strip() if is_debian else "",
        "suite": suite,
        "architecture": architecture,
        "platform": f"{suite}-{architecture}-{processor(architecture)}",
        "python": ".".join(platform.python_version_tuple()[:2]),
        "epoch": time.time(),
        "clock_set": Path("/run/systemd/timesync/synchronized").exists(),
        "booted": Path("/run/systemd/system").is_dir(),
        "lists_time": Path("/var/lib/apt/lists").stat().st_mtime if is_debian else 0,
        "free_mb": card.f_bavail * card.f_frsize // 1_000_000,
        "installed": packages_there,
        "package_count": len(there),
        "cloud_init": Path("/usr/bin/cloud-init").exists() and not Path("/etc/cloud/cloud-init.disabled").exists(),
        "dpkg_faults": list(faults(packages))[:MOST_FAULTS] if is_debian else [],
        "reboot_required": Path("/run/reboot-required").exists(),
        "account": account,
        "key_login": has_key(account),
        "host_names": host_names(),
        "files": {path: state_of(Path(path)) for path in files(patterns)},
        **units(asked),
        "apt_proxy": proxy,
        "nft": filters,
        "apt_direct": apt_direct(module.params["proxied"]),
    }
    module.exit_json(changed=False, pi=pi)


if __name__ == "__main__":
    main()
