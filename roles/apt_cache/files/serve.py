#!/usr/bin/env python3
"""Serve what apt downloads from a folder of the control node, for as long as a playbook runs.

    serve.py FOLDER PORT [--offline] [MIRROR...]

Starts apt-cacher-ng as an ordinary program of whoever runs the playbook. It listens on the loopback only: a Pi reaches
it through its SSH connection (playbooks/group_vars/pis.yml), and so nothing is opened on the school's network. It ends
when the last playbook that asked for it has ended, however that ended.

Pis ask it, and so may students' programs there: it hands on requests to the named mirrors (HOST or HOST:PORT) and to
those that this computer's own apt uses, and to nothing else.

Prints JSON: `mirrors`, which these are; `state`, one of `online`, `offline` (no mirror answers, or none is to be asked:
only what was kept is served) and `missing` (each Pi fetches for itself); `why` it is missing.
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

PROGRAM = shutil.which("apt-cacher-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Packages are never thrown away for their age: a school's cache may wait for a year.
# A connection for each request is what the proxy gives; it asks one by one.
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
Proxy: http://127.0.0.1:{proxy}
AllowUserPorts: {ports}
{remaps}"""
# ForceManaged wants to know from where a mirror's files come: from there. The name is that of the folder in `kept`.
REMAP = "Remap-{name}: http://{mirror}/ ; http://{mirror}/\n"


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock."""
    try:
        with locked(path, seconds=0):
            return False
    except TimeoutError:
        return True


def answers(port: int) -> bool:
    """Whether apt-cacher-ng answers at that port of the loopback, and not something else."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return b" 406 " in connection.recv(64)
    except OSError:
        return False


def folder_name(mirror: Mirror) -> str:
    """The folder in `kept` of a mirror's files."""
    return str(mirror).replace(":", "_")


def reached(mirror: Mirror) -> bool:
    """Whether a mirror takes connections."""
    try:
        with socket.create_connection((mirror.host, mirror.port), timeout=5):
            return True
    except OSError:
        return False


def is_offline(folder: Path, mirrors: list[Mirror]) -> bool:
    """Whether none of the mirrors that something was kept of takes connections."""
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
    """Return the process of the playbook that this is a part of: the eldest of our ancestors that is Ansible's."""
    found, process = os.getppid(), os.getppid()
    while process > 1:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"ansible-playbook") for word in words):
            found = process
        process = int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return found


def is_used(folder: Path) -> bool:
    """Whether a playbook that asked for it still runs; those that do not are forgotten."""
    users = list((folder / "users").iterdir())
    for user in users:
        if not Path("/proc", user.name).exists():
            user.unlink(missing_ok=True)
    return any(user.exists() for user in users)


def end_with_parent() -> None:
    """Let this process end when its parent does, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def supervise(folder: Path, port: int, offline: bool, mirrors: list[Mirror]) -> None:
    """Run apt-cacher-ng as long as it is used; one at a time for a folder."""
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
        threading.Thread(target=proxy.serve_forever, daemon=True).start()  # a process with threads is not to be forked
        while program.poll() is None:
            time.sleep(1)
            with locked(folder / "users.lock"):  # nobody comes in while it closes
                if not is_used(folder):
                    program.terminate()
                    program.wait()


def ensure_served(folder: Path, port: int) -> str:
    """Start it where it does not answer, and wait until it does; return why it does not, or nothing."""
    if answers(port):
        return "" if is_locked(folder / "supervisor") else f"another folder than {folder} is served at port {port}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return f"port {port} of this computer cannot be had: {os.strerror(error.errno or 0)}"
    for user in (folder / "users").iterdir():  # of a time before this computer was switched on, say
        user.unlink()
    supervisor = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--supervise"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not answers(port) and supervisor.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    said = (folder / "said").read_text(encoding="utf-8").strip() or "it does not say why"
    return "" if answers(port) else f"apt-cacher-ng does not answer: {said.splitlines()[-1]}"


def main() -> None:
    """Have it served, and say how."""
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
        why = f"another version of mynn-pi is using {folder}; run this again when that has ended"
    print(json.dumps({**state, "why": why}))


if __name__ == "__main__":
    main()
