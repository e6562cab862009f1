"""Ansible filters: a Pi's students with their folders, ports, units and files, and the notebook servers to remove.

Roles, programs and tests take all of these from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

UNITS = "/etc/systemd/system/"
TEMPLATE = f"{UNITS}jupyter@.service"
# Unit files and password hashes that the role jupyter writes.
OURS = re.compile(rf"{UNITS}(jupyter(@|-[0-9]+@.*)?|mynn-seats@?)\.(service|socket)|/etc/jupyter/password.*")


def classroom_students(
    names: list[str], pi: str, address: str, port: int | str, https: bool, passwords: str
) -> list[dict[str, Any]]:
    """Return a dictionary for each student of a Pi. Ports are numbered from `port`.

    A single student's server runs all the time. If there are several, each has a socket, which starts the server.

    name: the account.
    folder: on the Pi, the student's folder with the lessons.
    port, url: of the notebook server.
    unit, unit_file: the server's systemd unit, and its file (a template for several students).
    socket, socket_file: the socket's unit, and its file; empty for a single student.
    hash_file: on the Pi, the file with the password's hash.
    password_file, salt_file: on the control node, the files with the password, and with the salt of its hash.
    secret_files: these two, under their names on a Pi with one student and on a Pi with several.
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
                "unit_file": TEMPLATE if several else f"{UNITS}jupyter.service",
                "socket": socket,
                "socket_file": socket and UNITS + socket,
                "hash_file": f"/etc/jupyter/password-{name}" if several else "/etc/jupyter/password",
                "password_file": f"{passwords}/{files[0]}",
                "salt_file": f"{passwords}/.salt-{files[0]}",
                "secret_files": [f"{passwords}/{prefix}{file}" for file in files for prefix in ("", ".salt-")],
            }
        )
    return students


def notebook_servers(
    files: Iterable[str], running: Iterable[str], students: list[dict[str, Any]]
) -> dict[str, list[str]]:
    """Compare a Pi's files and running units with those that its students' notebook servers need.

    surplus: files of servers that no student needs.
    unneeded: units to stop, since no student needs them. (Without its template, only a running server's unit can be
    stopped.)
    """
    files = set(files)
    needed = {student[file] for student in students for file in ("unit_file", "socket_file", "hash_file")}
    surplus = sorted(path for path in files - needed if OURS.fullmatch(path))
    units = {path.removeprefix(UNITS) for path in surplus if path.startswith(UNITS) and "@." not in path}
    servers = {unit for unit in running if unit.startswith("jupyter@")}
    if TEMPLATE in files:
        servers |= {re.sub(r"[^@]*(@.*)socket", r"jupyter\1service", unit) for unit in units if "@" in unit}
    return {"surplus": surplus, "unneeded": sorted(units | servers - {student["unit"] for student in students})}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"classroom_students": classroom_students, "notebook_servers": notebook_servers}
