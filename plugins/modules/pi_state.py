#!/usr/bin/python3
"""Ansible module: a Pi's present state, gathered in seconds."""

from __future__ import annotations

import json
import os
import platform
import pwd
import re
import resource
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import as_student, open_regular
from ansible_collections.mynn.pi.plugins.module_utils.system import listeners

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

EXAMPLES = r"""
- mynn.pi.pi_state:
    venv: /opt/mynn/venv
    pristine: /opt/mynn/notebooks
    students: {student: {folder: /home/student/notebooks, port: 8888}}
"""

RETURN = r"""
state:
  description: >-
    C(epoch) (its clock), C(uptime), C(updated) (when apt last checked for updates), C(failed) (systemd units),
    C(system), C(versions), C(memory) and C(card) (in MB of a million bytes), C(temperature) (in degrees Celsius),
    C(throttled) (the Pi's firmware's bits), C(reboot_required), C(lessons), C(progress) and C(servers) (by student:
    the files that are not as they should be, when each lesson was finished and with what score, and whether something
    listens), C(pristine) (the lessons' SHA256 sums).
  returned: always
  type: dict
"""

LARGE = 1 << 23  # bytes; a larger file is not a lesson
PROGRESS = "my_progress.json"  # in a student's folder; mynn.lesson writes it
LARGEST_PROGRESS = 1 << 16  # bytes of it
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
MEMORY = 1 << 26  # bytes, to read a student's files; a lesson takes four times its size
PATIENCE = 60  # seconds, to read a student's files
ROOT = Path("/")  # another folder in tests


def text(path: str) -> str:
    """Return a file's text, or nothing."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def number(path: str) -> int | None:
    """Return the number in a file, decimal or 0x..., if there is one."""
    try:
        return int(text(path), 0)
    except ValueError:
        return None


def system() -> dict[str, str]:
    """Return the names of system, kernel, machine and model."""
    return {
        "name": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "model": text("proc/device-tree/model"),
    }


def versions(venv: str) -> dict[str, str]:
    """Return the versions of Python and of packages, from their files: starting Python would take seconds."""
    lines = (line.partition("=") for line in text(f"{venv.lstrip('/')}/pyvenv.cfg").splitlines())
    settings = {name.strip(): value.strip() for name, _, value in lines}
    found = {"python": settings["version"]} if "version" in settings else {}
    places = [*Path(venv).glob("lib/python3*/site-packages"), Path("/usr/lib/python3/dist-packages")]
    for name in ("mynn", "notebook", "numpy"):
        for one in Distribution.discover(name=name, path=[str(place) for place in places]):
            found.setdefault(name, one.version)
    return found if settings else {}


def uptime() -> float | None:
    """Return the seconds since systemd started, also in a container, where /proc/uptime is the host's."""
    try:
        ticks = int(text("proc/1/stat").rpartition(")")[2].split()[19])
        return round(float(text("proc/uptime").split()[0]) - ticks / os.sysconf("SC_CLK_TCK"))
    except (ValueError, IndexError):
        return None


def updated() -> float | None:
    """Return when apt last checked for updates."""
    for path in ("var/lib/apt/periodic/update-success-stamp", "var/lib/apt/lists/partial", "var/lib/apt/lists"):
        if (ROOT / path).exists():
            return round((ROOT / path).stat().st_mtime)
    return None


def memory() -> dict[str, int]:
    """Return the memory in MB: in total, and available to programs."""
    words = (line.split() for line in text("proc/meminfo").splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in words if len(line) > 1}
    names = {"total": "MemTotal", "available": "MemAvailable"}
    return {name: kib[key] * 1024 // 1_000_000 for name, key in names.items() if key in kib}


def card() -> dict[str, Any]:
    """Return the card's size and free space in MB, and its wear as far as known."""
    room = os.statvfs(ROOT)
    found: dict[str, Any] = {
        "total": room.f_blocks * room.f_frsize // 1_000_000,
        "free": room.f_bavail * room.f_frsize // 1_000_000,
        "read_only": bool(room.f_flag & os.ST_RDONLY),
    }
    device = ROOT.stat().st_dev
    partition = (ROOT / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    disk = partition.parent if (partition / "partition").exists() else partition
    if not (disk / "stat").exists():
        return found  # a container's root is on no disk of its own
    return found | wear(disk, partition.name)


def wear(disk: Path, partition: str) -> dict[str, Any]:
    """Return what a disk in /sys and its ext4 report about wear; sizes in MB."""
    disk_name = disk.relative_to(ROOT).as_posix()
    found: dict[str, Any] = {"disk": disk.name, "name": text(f"{disk_name}/device/name")}
    found["written"] = int(text(f"{disk_name}/stat").split()[6]) * 512 // 1_000_000  # since it was switched on
    ever = number(f"sys/fs/ext4/{partition}/lifetime_write_kbytes")
    found["written_ever"] = ever * 1024 // 1_000_000 if ever is not None else None
    found["errors"] = number(f"sys/fs/ext4/{partition}/errors_count")
    # Tenths of its life, by kind of cell; 0 is "not defined".
    tenths = [int(word, 16) for word in text(f"{disk_name}/device/life_time").split()]
    found["life_used"] = max(tenths) * 10 if any(tenths) else None
    found["end_of_life"] = number(f"{disk_name}/device/pre_eol_info") or None  # 1: normal, 2: 80 % used, 3: 90 %
    return {name: value for name, value in found.items() if value not in (None, "")}


def temperature() -> float | None:
    """Return the highest temperature in degrees Celsius."""
    zones = sorted((ROOT / "sys/class/thermal").glob("thermal_zone*/temp"))
    found = [number(zone.relative_to(ROOT).as_posix()) for zone in zones]
    known = [one / 1000 for one in found if one is not None]
    return max(known) if known else None


def throttled() -> int | None:
    """Return the firmware's bits: 0 under-voltage, 1 frequency capped, 2 throttled, 3 too hot; 16 to 19: since boot."""
    said = text("sys/devices/platform/soc/soc:firmware/get_throttled")
    if not said and (ROOT / "usr/bin/vcgencmd").exists():
        asked = subprocess.run(["/usr/bin/vcgencmd", "get_throttled"], capture_output=True, text=True, check=False)
        said = asked.stdout.strip().partition("0x")[2]
    try:
        return int(said, 16)
    except ValueError:
        pass
    alarms = [
        number(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "sys/class/hwmon").glob("hwmon*/in0_lcrit_alarm")
        if text((path.parent / "name").relative_to(ROOT).as_posix()) == "rpi_volt"
    ]
    return int(any(alarms)) if alarms else None


def failed_units() -> list[str]:
    """Return the systemd units that failed."""
    query = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in said.splitlines() if line.strip()]


def content_of(path: Path) -> bytes | None:
    """Return the contents of a student's file, None if it is very large. OSError: it is missing, or not a file."""
    with open_regular(path) as file:
        return file.read() if os.fstat(file.fileno()).st_size <= LARGE else None


def opens(path: Path, content: bytes | None) -> bool:
    """Return whether a lesson or a picture can be opened."""
    if content is None:
        return False
    if path.suffix == ".png":
        return content.startswith(b"\x89PNG") and b"IEND" in content[-16:]
    try:
        return isinstance(json.loads(content)["cells"], list)
    except (ValueError, LookupError, TypeError, MemoryError, RecursionError):
        return False


def lessons(folder: Path, pristine: dict[str, str]) -> dict[str, list[str]]:
    """Return which lessons are missing in a student's folder, damaged, or changed by the student."""
    found: dict[str, list[str]] = {"missing": [], "damaged": [], "changed": []}
    for name, digest in pristine.items():
        try:
            content = content_of(folder / name)
        except (FileNotFoundError, NotADirectoryError):
            found["missing"].append(name)
            continue
        except OSError:
            content = None
        if content is not None and sha256(content).hexdigest() == digest:
            continue
        found["changed" if opens(folder / name, content) else "damaged"].append(name)
    return found


def lessons_of(account: pwd.struct_passwd, folder: Path, pristine: dict[str, str]) -> dict[str, list[str]]:
    """Do so with the student's powers and within limits; if these are exceeded, all lessons count as damaged."""
    damaged = {"missing": [], "damaged": list(pristine), "changed": []}
    found: dict[str, list[str]] = within_limits(account, lambda: lessons(folder, pristine), damaged)
    return found


def progress(folder: Path, pristine: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return by lesson, without `.ipynb`, when the student `finished` it, and the best `score`, if any.

    The file is the student's, who can write anything there: what is no lesson of ours, or makes no sense, is left out.
    """
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        with open_regular(folder / PROGRESS) as file:
            content = file.read(LARGEST_PROGRESS + 1)
        if len(content) <= LARGEST_PROGRESS:
            said = json.loads(content)["lessons"]
            return {stem: entry for stem in map(stem_of, pristine) if stem in said and (entry := finished(said[stem]))}
    return {}


def stem_of(lesson: str) -> str:
    """Return a lesson's name as the record of progress has it."""
    return lesson.removesuffix(".ipynb")


def finished(said: dict[str, Any]) -> dict[str, Any]:
    """Return when a lesson was finished and with what score, or nothing."""
    when, score = said.get("finished"), said.get("score")
    if not isinstance(when, str) or not WHEN.fullmatch(when):
        return {}
    scored = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    return {"finished": when, "score": score} if scored else {"finished": when}


def progress_of(account: pwd.struct_passwd, folder: Path, pristine: Collection[str]) -> dict[str, dict[str, Any]]:
    """Do so with the student's powers and within limits."""
    found: dict[str, dict[str, Any]] = within_limits(account, lambda: progress(folder, pristine), {})
    return found


def within_limits(account: pwd.struct_passwd, work: Callable[[], Any], otherwise: Any) -> Any:
    """Do work with a student's powers, with little memory and time; if that is not enough, return something else."""

    def limited() -> Any:
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = {resource.RLIMIT_AS: has + MEMORY, resource.RLIMIT_CPU: PATIENCE}
        for what, limit in limits.items():
            resource.setrlimit(what, (limit, limit))
        return work()

    try:
        return as_student(account, limited, PATIENCE)
    except OSError:
        return otherwise


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
    open_ports = listeners()  # connecting to a port might start a server
    pristine_lessons = lessons_in(Path(module.params["pristine"]))
    pristine = {name: sha256(lesson).hexdigest() for name, lesson in pristine_lessons.items()}
    students = module.params["students"]
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    state = {
        "epoch": round(time.time()),
        "uptime": uptime(),
        "updated": updated(),
        "reboot_required": Path("/run/reboot-required").exists(),
        "failed": failed_units(),
        "system": system(),
        "versions": versions(module.params["venv"]),
        "memory": memory(),
        "card": card(),
        "temperature": temperature(),
        "throttled": throttled(),
        "pristine": pristine,
        "lessons": {
            name: lessons_of(accounts[name], Path(student["folder"]), pristine)
            for name, student in students.items()
            if name in accounts
        },
        "progress": {
            name: progress_of(accounts[name], Path(student["folder"]), pristine)
            for name, student in students.items()
            if name in accounts
        },
        "servers": {name: student["port"] in open_ports for name, student in students.items()},
    }
    module.exit_json(changed=False, state={name: value for name, value in state.items() if value is not None})


if __name__ == "__main__":
    main()
