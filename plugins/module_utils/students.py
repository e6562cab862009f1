"""The students of a Pi, and what belongs to each. Every role, program and test takes it from here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

UNITS = "/etc/systemd/system/"
# Units and files with passwords' hashes that the role jupyter makes, or made in earlier releases.
OURS = re.compile(
    rf"{UNITS}jupyter(@|-(door-)?[0-9]+@.*|-door@)?\.(service|socket)|/etc/jupyter/(password|certificate).*"
)


def classroom_students(
    names: list[str], pi: str, address: str, port: int | str, https: bool, passwords: str
) -> list[dict[str, Any]]:
    """Return what belongs to each student of a Pi. Ports are numbered from `port`.

    A single student's server runs all the time. Of several students, each has a socket, which starts the server.

    name: the account.
    folder: on the Pi, the student's folder with the lessons.
    port, url: of the notebook server.
    unit, unit_file: the server's systemd unit, and its file (a template for several students).
    socket, socket_file: the socket's unit, and its file; empty for a single student.
    hash_file: on the Pi, the file with the password's hash.
    password_file, salt_file: on the control node, the files with the password, and with the salt of its hash.
    stale_password_file: password_file as it would be if the Pi had one student instead of several, or vice versa.
    """
    several = len(names) > 1
    host = f"[{address}]" if ":" in address else address
    students = []
    for number, name in enumerate(names, int(port)):
        files = [f"{pi}-{name}", pi] if several else [pi, f"{pi}-{name}"]
        socket = f"jupyter-{number}@{name}.socket" if several else ""
        students.append(
            {
                "name": name,
                "folder": f"/home/{name}/notebooks",
                "port": number,
                "url": f"{'https' if https else 'http'}://{host}:{number}",
                "unit": f"jupyter@{name}.service" if several else "jupyter.service",
                "unit_file": f"{UNITS}jupyter@.service" if several else f"{UNITS}jupyter.service",
                "socket": socket,
                "socket_file": socket and UNITS + socket,
                "hash_file": f"/etc/jupyter/password-{name}" if several else "/etc/jupyter/password",
                "password_file": f"{passwords}/{files[0]}",
                "stale_password_file": f"{passwords}/{files[1]}",
                "salt_file": f"{passwords}/.salt-{files[0]}",
            }
        )
    return students


def notebook_servers(found: Iterable[str], students: list[dict[str, Any]], state: str) -> dict[str, list[str]]:
    """Compare a Pi's notebook servers with what its students need.

    found: the servers' files in /etc and /run. A running server has a folder in /run with a file whose name holds its
    state, the hash of all that it was started with. state: this hash for a server started now.

    surplus: files that no student needs.
    unneeded: units to stop, since no student needs them.
    current, outdated: units of the students' running servers, by whether their state is the present one.
    """
    found = sorted(found)
    needed = {student[file] for student in students for file in ("unit_file", "socket_file", "hash_file")}
    surplus = [path for path in found if OURS.fullmatch(path) and path not in needed]
    names = {path.removeprefix(UNITS) for path in surplus if path.startswith(UNITS) and "@." not in path}
    running = {_unit_of(path): path for path in found if re.fullmatch("/run/jupyter(-[^/]+)?", path)}
    units = [student["unit"] for student in students]
    current = [unit for unit in units if f"{running.get(unit)}/state-{state}" in found]
    return {
        "surplus": surplus,
        "unneeded": sorted(names | (running.keys() - {*units, "jupyter.service"})),
        "current": current,
        "outdated": [unit for unit in units if unit in running and unit not in current],
    }


def _unit_of(runtime_folder: str) -> str:
    _, _, student = PurePosixPath(runtime_folder).name.partition("-")
    return f"jupyter@{student}.service" if student else "jupyter.service"
