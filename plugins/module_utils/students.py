"""The students of a Pi: what belongs to each, and where it is. Every role, program and test takes it from here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

UNITS = "/etc/systemd/system/"
# What the role jupyter makes, and what earlier versions of it made: of systemd, and of the passwords' hashes.
OURS = re.compile(
    rf"{UNITS}jupyter(@|-(door-)?[0-9]+@.*|-door@)?\.(service|socket)|/etc/jupyter/(password|certificate).*"
)


def classroom_students(
    names: list[str], pi: str, address: str, port: int | str, https: bool, passwords: str
) -> list[dict[str, Any]]:
    """Return what belongs to each student of a Pi: the first one's port is `port`, each other's is the next one.

    An only student's server runs all the time. Each of several has a socket, which starts the server.

    name: of the account.
    folder: on the Pi, the student's folder with the lessons.
    port, url: of the notebook server.
    unit, unit_file: the server's unit of systemd, and its file (of several, a template).
    socket, socket_file: the socket's unit, and its file; empty for an only student.
    hash_file: on the Pi, the file with the password's hash.
    password_file, salt_file: on the control node, the files with the password, and with the salt of its hash.
    stale_password_file: the one that the student had, or will have, alone instead of with others, or the reverse.
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
    """Compare what a Pi has of notebook servers with what its students need.

    found: the files in /etc and /run that are named after them. A server that runs has a folder in /run, and in it a
    file with the state, the hash of all that it was started with. state: what this is for a server started now.

    surplus: files that no student needs.
    unneeded: units to be stopped, since no student needs them.
    current, outdated: units of the students' servers that run, and were started with the same as now, or not.
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
