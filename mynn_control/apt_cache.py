"""Package cache for the Pis: apt-cacher-ng on this computer, for as long as a playbook runs.

    python -m mynn_control.apt_cache FOLDER PORT [MIRROR...]

Starts apt-cacher-ng as the user who runs the playbook. It listens on the loopback only. A Pi reaches it through its SSH
connection (playbooks/group_vars/pis.yml), and there only as root: students and the school's network cannot use it. It
stops when the last playbook that uses it ends, for any reason.

It forwards requests only to the named mirrors (HOST or HOST:PORT) and to those of this computer's apt, and follows
their redirects: Raspberry Pi OS's mirror redirects each request to one nearby.

Prints JSON: `state`, one of `online`, `offline` (no mirror answers: only cached files are served) and `missing` (each
Pi fetches its own packages); `why`, the reason if it is missing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.system import is_apt_cacher
from mynn.files import locked
from mynn_control.apt_mirrors import mirror, own_mirrors

PROGRAM = shutil.which("apt-cacher-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Packages never expire: a school's cache may sit unused for a year.
# DlMaxRetries: a file whose connection is lost is requested again. The limit counts over all files of one run of apt;
# beyond it, every further file fails.
# ResponseFreezeDetectTime: no download counts as stuck. apt-cacher-ng 3.7 takes each for stuck until the mirror begins
# to answer. If a second Pi then requests the same file, it is moved aside, and one Pi gets an error or half the file.
# NetworkTimeout ends downloads that are really stuck.
CONFIGURATION = """CacheDir: {folder}/kept
LogDir: {folder}/log
BindAddress: 127.0.0.1:{port}
Offlinemode: {offline}
ExThreshold: 4000
ReportPage: none
ForeGround: 1
ForceManaged: 1
ForwardBtsSoap: 0
PassThroughPattern: ^$
RedirMax: 5
DlMaxRetries: 1000
NetworkTimeout: 30
ResponseFreezeDetectTime: 2147483647
AllowUserPorts: {ports}
{remaps}"""
# ForceManaged refuses hosts without a Remap line, so each mirror is mapped to itself. name: its folder in `kept`.
REMAP = "Remap-{name}: http://{mirror}/ ; http://{mirror}/\n"
# Runs the cache while any process holds the lock `used`. Then it holds the lock until the cache has ended.
SERVE = """cd "$1" && exec 9<used >messages 2>&1
"$0" -c configuration & flock 9 & wait -n; kill $(jobs -p); wait"""


def folder_name(mirror: str) -> str:
    """Return the name of a mirror's folder in `kept`."""
    return mirror.replace(":", "_")


def port_of(mirror: str) -> int:
    """Return a mirror's port."""
    return int(mirror.partition(":")[2] or 80)


def reached(mirror: str) -> bool:
    """Return whether a mirror accepts connections."""
    try:
        with socket.create_connection((mirror.partition(":")[0], port_of(mirror)), timeout=5):
            return True
    except OSError:
        return False


def is_offline(folder: Path, mirrors: list[str]) -> bool:
    """Return whether there are mirrors with files in `kept`, and none of them accepts connections."""
    kept = [mirror for mirror in mirrors if (folder / "kept" / folder_name(mirror)).is_dir()]
    with ThreadPoolExecutor(8) as eight:
        return bool(kept) and not any(eight.map(reached, kept))


def playbook() -> int:
    """Return the playbook's process id: the oldest ancestor that is ansible-playbook."""
    oldest = process = os.getppid()
    while process > 1:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"ansible-playbook") for word in words):
            oldest = process
        process = int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return oldest


def start(command: list[str], lock: int) -> None:
    """Start a program in the background that holds a lock until it ends."""
    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, pass_fds=[lock], start_new_session=True)


def use(folder: Path) -> None:
    """Keep the cache running until the playbook ends: until then, `tail` holds the lock."""
    with (folder / "used").open("a") as used:
        fcntl.flock(used, fcntl.LOCK_SH)  # waits while an unused cache shuts down
        start(["tail", f"--pid={playbook()}", "--follow", os.devnull], used.fileno())


def ensure_served(folder: Path, port: int, mirrors: list[str]) -> str:
    """Start apt-cacher-ng if it is not running, and wait for it. Returns the reason if it does not answer, or ""."""
    with suppress(TimeoutError), locked(folder / "supervisor", 0) as lock:
        if is_apt_cacher(port):
            return f"port {port} already serves another folder, not {folder}"
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            return f"port {port} of this computer cannot be used: {os.strerror(error.errno or 0)}"
        settings = CONFIGURATION.format(
            folder=folder,
            port=port,
            offline=int(is_offline(folder, mirrors)),
            ports=" ".join(sorted({"80"} | {str(port_of(mirror)) for mirror in mirrors})),
            remaps="".join(REMAP.format(name=folder_name(mirror), mirror=mirror) for mirror in mirrors),
        )
        (folder / "configuration/acng.conf").write_text(settings, encoding="utf-8")
        start(["bash", "-c", SERVE, str(PROGRAM), str(folder)], lock)
    deadline = time.monotonic() + 20
    while not is_apt_cacher(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    messages = (folder / "messages").read_text(encoding="utf-8").strip() or "no message"
    return "" if is_apt_cacher(port) else f"apt-cacher-ng does not answer: {messages.splitlines()[-1]}"


def main() -> None:
    """Start apt-cacher-ng if necessary, and print its state."""
    folder, port = Path(sys.argv[1]).expanduser().absolute(), int(sys.argv[2])
    if not PROGRAM:
        print(json.dumps({"state": "missing", "why": "apt-cacher-ng is not installed (`apt install` does that)"}))
        return
    for name in ("kept", "log", "configuration"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "messages").touch()
    use(folder)
    if why := ensure_served(folder, port, sorted({*map(mirror, sys.argv[3:]), *own_mirrors()})):
        state = "missing"
    else:
        offline = "Offlinemode: 1" in (folder / "configuration/acng.conf").read_text(encoding="utf-8")
        state = "offline" if offline else "online"
    print(json.dumps({"state": state, "why": why}))


if __name__ == "__main__":
    main()
