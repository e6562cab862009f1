"""Serve apt's downloads from a folder of this computer, for as long as a playbook runs.

    python -m mynn_control.apt_cache FOLDER PORT [MIRROR...]

Starts apt-cacher-ng as an ordinary program of the user who runs the playbook. It listens on the loopback only: a Pi
reaches it through its SSH connection (playbooks/group_vars/pis.yml), where only root can, so nothing is opened on the
school's network or to students. It ends when the last playbook that uses it has ended, for whatever reason.

It forwards requests only to the named mirrors (HOST or HOST:PORT) and to those of this computer's own apt, and follows
where these redirect to: Raspberry Pi OS's mirror redirects each request to one nearby.

Prints JSON: `state`, one of `online`, `offline` (no mirror answers: only kept files are served) and `missing` (each
Pi fetches its own packages); `why` it is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.files import is_locked, locked
from ansible_collections.mynn.pi.plugins.module_utils.system import is_apt_cacher
from mynn_control.apt_mirrors import mirror, own_mirrors

PROGRAM = shutil.which("apt-cacher-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Packages never expire: a school's cache may sit unused for a year.
# Each file whose connection is lost is asked for again. The limit counts all files that one run of apt fetches: beyond
# it, every further file fails.
# No download ever counts as stuck: apt-cacher-ng 3.7 takes each for stuck until the mirror's answer begins. If a second
# Pi asks for that list then, its file is moved aside, and one of the two gets an error or half of it. NetworkTimeout
# ends one that is really stuck.
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
# ForceManaged requires a source for each mirror's files: the mirror itself. The name is the folder's in `kept`.
REMAP = "Remap-{name}: http://{mirror}/ ; http://{mirror}/\n"


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
    """Return whether no mirror with files in `kept` accepts connections."""
    kept = [mirror for mirror in mirrors if (folder / "kept" / folder_name(mirror)).is_dir()]
    with ThreadPoolExecutor(8) as eight:
        return bool(kept) and not any(eight.map(reached, kept))


def playbook() -> int:
    """Return the id of the playbook's process: the oldest ancestor that is ansible-playbook."""
    oldest = process = os.getppid()
    while process > 1:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"ansible-playbook") for word in words):
            oldest = process
        process = int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return oldest


def is_used(folder: Path) -> bool:
    """Return whether a playbook that uses the cache still runs; forget those that do not."""
    for user in (folder / "users").iterdir():
        if not Path("/proc", user.name).exists():
            user.unlink(missing_ok=True)
    return any((folder / "users").iterdir())


def supervise(folder: Path, port: int, mirrors: list[str]) -> None:
    """Run apt-cacher-ng while it is used, once for a folder."""
    with locked(folder / "supervisor"), (folder / "messages").open("w") as messages:
        settings = CONFIGURATION.format(
            folder=folder,
            port=port,
            offline=int(is_offline(folder, mirrors)),
            ports=" ".join(sorted({"80"} | {str(port_of(mirror)) for mirror in mirrors})),
            remaps="".join(REMAP.format(name=folder_name(mirror), mirror=mirror) for mirror in mirrors),
        )
        (folder / "configuration/acng.conf").write_text(settings, encoding="utf-8")
        command = ["setpriv", "--pdeathsig", "TERM", str(PROGRAM), "-c", str(folder / "configuration")]
        program = subprocess.Popen(command, stdout=messages, stderr=messages)
        while program.poll() is None:
            time.sleep(1)
            with locked(folder / "users.lock"):  # no playbook starts using it meanwhile
                if not is_used(folder):
                    program.terminate()
                    program.wait()


def ensure_served(folder: Path, port: int) -> str:
    """Start apt-cacher-ng if it does not answer, and wait for it. Returns why it does not answer, or nothing."""
    if is_apt_cacher(port):
        return "" if is_locked(folder / "supervisor") else f"port {port} already serves another folder, not {folder}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return f"port {port} of this computer cannot be used: {os.strerror(error.errno or 0)}"
    for user in (folder / "users").iterdir():  # left from before a reboot, for example
        user.unlink()
    command = [sys.executable, "-m", "mynn_control.apt_cache", *sys.argv[1:], "--supervise"]
    null = subprocess.DEVNULL
    supervisor = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    deadline = time.monotonic() + 20
    while not is_apt_cacher(port) and supervisor.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    messages = (folder / "messages").read_text(encoding="utf-8").strip() or "no message"
    return "" if is_apt_cacher(port) else f"apt-cacher-ng does not answer: {messages.splitlines()[-1]}"


def main() -> None:
    """Start apt-cacher-ng if need be, and print its state."""
    folder, port = Path(sys.argv[1]).expanduser().absolute(), int(sys.argv[2])
    named = [mirror(word) for word in sys.argv[3:] if word != "--supervise"]
    if "--supervise" in sys.argv:
        supervise(folder, port, sorted({*named, *own_mirrors()}))
        return
    if not PROGRAM:
        print(json.dumps({"state": "missing", "why": "apt-cacher-ng is not installed (`apt install` does that)"}))
        return
    for name in ("kept", "log", "users", "configuration"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with locked(folder / "users.lock"):
        (folder / "messages").touch()
        why = ensure_served(folder, port)
        (folder / "users" / str(playbook())).touch()
    if why:
        state = "missing"
    else:
        offline = "Offlinemode: 1" in (folder / "configuration/acng.conf").read_text(encoding="utf-8")
        state = "offline" if offline else "online"
    print(json.dumps({"state": state, "why": why}))


if __name__ == "__main__":
    main()
