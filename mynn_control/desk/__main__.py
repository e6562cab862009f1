"""`make desk`: serve the teacher's pages, until Ctrl-C.

python -m mynn_control.desk FOLDER INVENTORY [--limit PIS] [--student NAME]

FOLDER keeps what is remembered, and the class's own test set; only one desk at a time has it. The Pis' answers are kept
only while this runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.files import locked
from mynn import wall
from mynn.outline import outline
from mynn_control.desk.app import Server
from mynn_control.desk.asking import Asking, keep_asking
from mynn_control.desk.pages import Desk
from mynn_control.desk.runs import PROJECT, SETTINGS, Pis


def main(folder: Path, pis: Pis, student: str) -> int:
    """Keep asking the Pis, and serve the pages; return the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mynn-desk-") as answers:
        settings = {"desk_answers": answers, "wall_file": wall.FILE, "wall_largest": wall.LARGEST}
        settings |= {"desk_students": [student]} if student else {}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(pis.inventory)]
        command += [str(PROJECT / "playbooks/desk.yml"), *(["--limit", pis.limit] if pis.limit else [])]
        try:
            with locked(folder, 0):
                desk = Desk(pis, Path(answers), folder, outline(PROJECT / "notebooks"))
                with Server(desk) as server:
                    print(f"The desk: {server.url} (open it in a browser). Ctrl-C ends it.", flush=True)
                    asked = [pis.inventory, SETTINGS]
                    desk.asking = Asking([*command, "--extra-vars", json.dumps(settings)], asked)
                    keep_asking(desk.asking, desk.update, desk.answers.forget)
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
    given = parser.parse_args()
    sys.exit(main(given.folder, Pis(given.inventory.resolve(), given.limit), given.student))
