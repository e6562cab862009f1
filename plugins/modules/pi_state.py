#!/usr/bin/python3
"""Ansible module: gather a Pi's current state within seconds."""

from __future__ import annotations

import json
import os
import platform
import pwd
import re
import resource
import subprocess
import time
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from ansible_collections.mynn.pi.plugins.module_utils.linux import (
    as_student,
    memory,
    memory_of_connection,
    read_regular,
)
from ansible_collections.mynn.pi.plugins.module_utils.system import listeners, updated

DOCUMENTATION = r"""
module: pi_state
short_description: A Pi's present state
description:
  - What a teacher wants to know about a Pi, without the minutes that its verification takes. Changes nothing.
  - What a Pi cannot tell, such as a temperature without a sensor, is left out.
  - A student's files are read with the student's powers, and with little memory and time. If that is not enough, they
    count as damaged.
options:
  venv:
    description: The environment that the students' programs run in.
    type: path
    required: true
  pristine:
    description: The folder with the lessons as they were written.
    type: path
    required: true
  students:
    description: By account, each student's C(folder) with the lessons and the server's C(port).
    type: dict
    required: true
author: The mynn-pi authors
"""

RETURN = r"""
state:
  description: >-
    C(epoch) (its clock), C(uptime), C(updated) (when apt last checked for updates), C(failed) (systemd units),
    C(system), C(versions), C(memory) (in MB of 1024 KiB), C(card) (in MB of a million bytes), C(temperature) (in
    degrees Celsius), C(throttled) (the Pi's firmware's bits), C(reboot_required), C(lessons), C(records) and C(servers)
    (by student: the files that are not as they should be, what mynn.tasks.parse reads, and whether something listens),
    C(pristine) (the lessons' SHA256 sums).
  returned: always
  type: dict
"""

LARGE = 1 << 23  # bytes; a larger file is not a lesson
RECORD = "my_progress.json"  # in a student's folder; mynn/tasks.py defines its format
RECORDED = re.compile(rb"[ -~\n]{0,32768}")  # the characters and length that lessons write
MEMORY = 1 << 26  # further bytes for reading a student's files; a lesson takes four times its size
PATIENCE = 60  # seconds for reading a student's files
ROOT = Path("/")  # another folder in tests


def text(path: str) -> str:
    """Return a file's text; empty if it cannot be read."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def system() -> dict[str, str]:
    """Return the names of system, kernel, machine and model."""
    return {
        "name": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "model": text("proc/device-tree/model"),
    }


def versions(venv: str) -> dict[str, str]:
    """Return the versions of Python and packages from their files, since starting Python takes seconds."""
    python = re.search(r"(?m)^version *= *(\S+)", text(f"{venv.lstrip('/')}/pyvenv.cfg"))
    if not python:
        return {}
    numbers = {"python": python[1]}
    places = [*map(str, Path(venv).glob("lib/python3*/site-packages")), "/usr/lib/python3/dist-packages"]
    for name in ("mynn-pi", "notebook", "numpy"):
        for package in Distribution.discover(name=name, path=places):
            numbers.setdefault(name.removesuffix("-pi"), package.version)
    return numbers


def card() -> dict[str, Any]:
    """Return the card's size and free space in MB, whether it is read-only and, if known, ext4's error count."""
    room = os.statvfs(ROOT)
    device = ROOT.stat().st_dev
    partition = (ROOT / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    errors = text(f"sys/fs/ext4/{partition}/errors_count")  # missing in a container
    return {
        "total": room.f_blocks * room.f_frsize // 10**6,
        "free": room.f_bavail * room.f_frsize // 10**6,
        "read_only": bool(room.f_flag & os.ST_RDONLY),
        **({"errors": int(errors)} if errors else {}),
    }


def temperature() -> float | None:
    """Return the highest temperature in degrees Celsius; None without a sensor."""
    zones = (text(str(zone.relative_to(ROOT))) for zone in (ROOT / "sys/class/thermal").glob("thermal_zone*/temp"))
    return max((int(zone) / 1000 for zone in zones if zone), default=None)


def throttled() -> int | None:
    """Return the firmware's bits: 0 under-voltage, 1 frequency capped, 2 throttled, 3 too hot; 16 to 19: since boot.

    Debian has no vcgencmd, but its kernel reports under-voltage.
    """
    if (ROOT / "usr/bin/vcgencmd").exists():
        asked = subprocess.run(["/usr/bin/vcgencmd", "get_throttled"], capture_output=True, text=True, check=False)
        if bits := re.search(r"0x([0-9a-f]+)", asked.stdout):
            return int(bits[1], 16)
    sensors = [path.relative_to(ROOT) for path in (ROOT / "sys/class/hwmon").glob("hwmon*/in0_lcrit_alarm")]
    alarms = [text(str(path)) for path in sensors if text(str(path.parent / "name")) == "rpi_volt"]
    return int("1" in alarms) if alarms else None


def failed_units() -> list[str]:
    """Return the systemd units that failed."""
    query = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def opens(path: Path, content: bytes) -> bool:
    """Return whether a lesson or a picture can be opened."""
    if path.suffix == ".png":
        return content.startswith(b"\x89PNG") and b"IEND" in content[-16:]
    try:
        return isinstance(json.loads(content)["cells"], list)
    except (ValueError, LookupError, TypeError, MemoryError, RecursionError):
        return False


def lessons(folder: Path, pristine: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of missing, damaged and changed lessons in a student's folder. pristine: name → SHA256 sum."""
    result: dict[str, list[str]] = {"missing": [], "damaged": [], "changed": []}
    for name, digest in pristine.items():
        try:
            content = read_regular(folder / name, LARGE)
        except (FileNotFoundError, NotADirectoryError):
            result["missing"].append(name)
            continue
        except OSError:  # a folder, a link or another account's file
            content = b""
        if sha256(content).hexdigest() != digest:
            result["changed" if opens(folder / name, content) else "damaged"].append(name)
    return result


def record(folder: Path) -> str:
    """Return a student's progress record; empty if it is missing or no lesson can have written it."""
    try:
        content = read_regular(folder / RECORD, 1 << 16)
    except OSError:
        return ""
    return content.decode("ascii") if RECORDED.fullmatch(content) else ""


def examine(account: pwd.struct_passwd, folder: Path, pristine: dict[str, str]) -> tuple[Any, Any]:
    """Return a student's `lessons` and `record`, read as the student within limits of memory and time.

    Beyond these limits, all lessons count as damaged and the record as empty.
    """

    def work() -> tuple[Any, Any]:
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        for what, limit in {resource.RLIMIT_AS: has + MEMORY, resource.RLIMIT_CPU: PATIENCE}.items():
            resource.setrlimit(what, (limit, limit))
        return lessons(folder, pristine), record(folder)

    try:
        return tuple(as_student(account, work, PATIENCE))
    except OSError:
        return {"missing": [], "damaged": list(pristine), "changed": []}, ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        {
            "venv": {"type": "path", "required": True},
            "pristine": {"type": "path", "required": True},
            "students": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    of_pi, of_connection = memory(), memory_of_connection()
    open_ports = listeners()  # connecting to a port might start a server
    pristine = {
        name: sha256(lesson).hexdigest() for name, lesson in lessons_in(Path(module.params["pristine"])).items()
    }
    students = module.params["students"]
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    examined = {
        name: examine(accounts[name], Path(student["folder"]), pristine)
        for name, student in students.items()
        if name in accounts
    }
    state = {
        "epoch": round(time.time()),
        "uptime": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
        "updated": updated(ROOT),
        "reboot_required": Path("/run/reboot-required").exists(),
        "failed": failed_units(),
        "system": system(),
        "versions": versions(module.params["venv"]),
        # As the notebook server counts it: without Ansible, which takes 60 MB while it asks.
        "memory": {"total": of_pi["total"], "available": min(of_pi["free"] + of_connection, of_pi["total"])},
        "card": card(),
        "temperature": temperature(),
        "throttled": throttled(),
        "pristine": pristine,
        "lessons": {name: result[0] for name, result in examined.items()},
        "records": {name: result[1] for name, result in examined.items()},
        "servers": {name: student["port"] in open_ports for name, student in students.items()},
    }
    module.exit_json(changed=False, state={name: value for name, value in state.items() if value is not None})


if __name__ == "__main__":
    main()
