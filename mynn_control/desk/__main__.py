"""Run the desk (`make desk`): serve the teacher's pages until Ctrl-C.

python -m mynn_control.desk FOLDER INVENTORY [--limit PIS] [--student NAME] [--serve FILE [--certificate FILE]]

FOLDER holds the desk's database and the class's test set; only one desk at a time can use it. The pages are for
browsers on this computer. With --serve, as on the desk's card, they are on the network, behind the password whose
argon2 hash is in FILE. --certificate: a file with a certificate and its key, for HTTPS; ignored if missing.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path

from mynn.files import locked
from mynn_control.desk.access import NetworkSettings
from mynn_control.desk.app import Server
from mynn_control.desk.backup import BackupFiles, confirm_restore, restore
from mynn_control.desk.monitor import Monitor
from mynn_control.desk.pages import Desk
from mynn_control.desk.runs import SETTINGS, Fleet
from mynn_control.own_files import create_empty, desk_file


def main(folder: Path, fleet: Fleet, student: str, network: NetworkSettings | None = None) -> int:
    """Ask the Pis and serve the pages until a signal; return the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Path.home() if network else None
    files = BackupFiles(fleet.inventory, folder.resolve(), home)
    note = restore(files)
    try:
        with locked(folder, 0):
            create_empty(SETTINGS)
            desk = Desk(fleet, folder, home=home, note=note)
            with Server(desk, network=network) as server:

                def on_start() -> None:
                    print(f"The desk: {server.url} (open it in a browser). Ctrl-C ends it.", flush=True)
                    confirm_restore(files)

                watched = [path for own in (fleet.inventory, SETTINGS) for path in (own, desk_file(own))]
                desk.monitor = Monitor(fleet, student, watched, desk.answers)
                asyncio.run(desk.monitor.run(desk.update, on_start))
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)  # an impatient teacher may press Ctrl-C again
                desk.end()
    except TimeoutError:
        print("The desk is already open, in another terminal: end it there with Ctrl-C.", file=sys.stderr)
        return 1
    print("The desk has ended.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("inventory", type=Path)
    parser.add_argument("--limit", default="")
    parser.add_argument("--student", default="")
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--certificate", type=Path)
    given = parser.parse_args()
    network = None
    if given.serve:
        certificate = given.certificate if given.certificate and given.certificate.exists() else None
        names = frozenset({f"{socket.gethostname()}.local"})
        hashed = given.serve.read_text(encoding="ascii").strip().removeprefix("argon2:")
        network = NetworkSettings(hashed, names, certificate, clock=given.folder / "clock")
    sys.exit(main(given.folder, Fleet(given.inventory.resolve(), given.limit), given.student, network))
