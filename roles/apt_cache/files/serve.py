#!/usr/bin/env python3
"""Serve apt's downloads from a folder of the control node, for as long as a playbook runs.

    serve.py FOLDER PORT [--offline] [MIRROR...]

Starts apt-cacher-ng as an ordinary program of the user who runs the playbook. It listens on the loopback only: a Pi
reaches it through its SSH connection (playbooks/group_vars/pis.yml), so nothing is opened on the school's network. It
ends when the last playbook that uses it has ended, for whatever reason.

Students' programs on a Pi may use it, too, so it forwards requests only to the named mirrors (HOST or HOST:PORT) and
to those of this computer's own apt.

Prints JSON: `mirrors`, the mirrors that it forwards to; `state`, one of `online`, `offline` (no mirror answers, or
--offline was given: only kept files are served) and `missing` (each Pi fetches its own packages); `why` it is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mirrors import Mirror, mirror, own_mirrors
from proxy import Proxy

from ansible_collections.mynn.pi.plugins.module_utils.files import locked
from ansible_collections.mynn.pi.plugins.module_utils.system import is_apt_cacher

PROGRAM = shutil.which("apt-cacher-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Packages never expire: a school's cache may sit unused for a year.
# No reused connections and no pipelining: the proxy takes one request per connection.
# Each file whose connection is lost is asked for again. The limit counts all files that one run of apt fetches: beyond
# it, every further file fails.
# No download ever counts as stuck: apt-cacher-ng 3.7 takes each for stuck until the mirror's answer begins. If a second
# Pi asks for that list then, its file is moved aside, and one of the two gets an error or half of it. The proxy has a
# deadline for a mirror that is really stuck.
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
ReuseConnections: 0
PipelineDepth: 1
DlMaxRetries: 1000
ResponseFreezeDetectTime: 2147483647
Proxy: http://127.0.0.1:{proxy}
AllowUserPorts: {ports}
{remaps}"""
# ForceManaged requires a source for each mirror's files: the mirror itself. The name is the folder's in `kept`.
REMAP = "Remap-{name}: http://{mirror}/ ; http://{mirror}/\n"


def is_locked(path: Path) -> bool:
    """Return whether another process holds a lock."""
    try:
        with locked(path, seconds=0):
            return False
    except TimeoutError:
        return True


def folder_name(mirror: Mirror) -> str:
    """Return the name of a mirror's folder in `kept`."""
    return str(mirror).replace(":", "_")


def reached(mirror: Mirror) -> bool:
    """Return whether a mirror accepts connections."""
    try:
        with socket.create_connection((mirror.host, mirror.port), timeout=5):
            return True
    except OSError:
        return False


def is_offline(folder: Path, mirrors: list[Mirror]) -> bool:
    """Return whether no mirror with files in `kept` accepts connections."""
    kept = [mirror for mirror in mirrors if (folder / "kept" / folder_name(mirror)).is_dir()]
    with ThreadPoolExecutor(8) as eight:
        return bool(kept) and not any(eight.map(reached, kept))


def configuration(folder: Path, port: int, offline: bool, mirrors: list[Mirror], proxy: int) -> str:
    """Return apt-cacher-ng's settings."""
    return CONFIGURATION.format(
        folder=folder,
        port=port,
        offline=int(offline),
        proxy=proxy,
        ports=" ".join(sorted({"80"} | {str(mirror.port) for mirror in mirrors})),
        remaps="".join(REMAP.format(name=folder_name(mirror), mirror=mirror) for mirror in mirrors),
    )


def playbook() -> int:
    """Return the id of the playbook's process: the oldest ancestor that is ansible-playbook."""
    found, process = os.getppid(), os.getppid()
    while process > 1:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"ansible-playbook") for word in words):
            found = process
        process = int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return found


def is_used(folder: Path) -> bool:
    """Return whether a playbook that uses the cache still runs; forget those that do not."""
    users = list((folder / "users").iterdir())
    for user in users:
        if not Path("/proc", user.name).exists():
            user.unlink(missing_ok=True)
    return any(user.exists() for user in users)


def end_with_parent() -> None:
    """Make this process end with its parent, for whatever reason."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def supervise(folder: Path, port: int, offline: bool, mirrors: list[Mirror]) -> None:
    """Run apt-cacher-ng while it is used, once for a folder."""
    with locked(folder / "supervisor"), Proxy(mirrors) as proxy:
        offline = offline or is_offline(folder, mirrors)
        settings = folder / "configuration"
        settings.mkdir(exist_ok=True)
        text = configuration(folder, port, offline, mirrors, proxy.port)
        (settings / "acng.conf").write_text(text, encoding="utf-8")
        state = {"state": "offline" if offline else "online", "mirrors": [str(mirror) for mirror in mirrors]}
        (folder / "state").write_text(json.dumps(state), encoding="ascii")
        with (folder / "said").open("w") as said:
            program = subprocess.Popen(
                [str(PROGRAM), "-c", str(settings)], stdout=said, stderr=said, preexec_fn=end_with_parent
            )
        threading.Thread(
            target=proxy.serve_forever, daemon=True
        ).start()  # last: a process with threads must not be forked
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
    supervisor = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--supervise"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not is_apt_cacher(port) and supervisor.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    said = (folder / "said").read_text(encoding="utf-8").strip() or "no message"
    return "" if is_apt_cacher(port) else f"apt-cacher-ng does not answer: {said.splitlines()[-1]}"


def main() -> None:
    """Start apt-cacher-ng if need be, and print its state."""
    folder, port = Path(sys.argv[1]).expanduser().absolute(), int(sys.argv[2])
    named = [mirror(word) for word in sys.argv[3:] if not word.startswith("--")]
    if "--supervise" in sys.argv:
        supervise(folder, port, "--offline" in sys.argv, sorted({*named, *own_mirrors()}))
        return
    if not PROGRAM:
        print(json.dumps({"state": "missing", "why": "apt-cacher-ng is not installed (`make fetch` installs it)"}))
        return
    for name in ("kept", "log", "users"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with locked(folder / "users.lock"):
        (folder / "said").touch()
        why = ensure_served(folder, port)
        (folder / "users" / str(playbook())).touch()
    state = {"state": "missing"}
    with contextlib.suppress(ValueError):  # another version's
        state = state if why else json.loads((folder / "state").read_text(encoding="ascii"))
    if not why and state["state"] == "missing":
        why = f"another version of mynn-pi is using {folder}; run this again once it has ended"
    print(json.dumps({**state, "why": why}))


if __name__ == "__main__":
    main()
