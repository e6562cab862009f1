#!/usr/bin/python3
"""Ansible module: repair dpkg's database and apt's files after a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import (
    FORMS,
    Database,
    Package,
    parse,
    read,
    stanzas,
)
from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing

DOCUMENTATION = r"""
module: repair_dpkg
short_description: Repair dpkg's database after a power cut
description:
  - Restores what dpkg and apt need to start at all, without the network. Nothing is installed or configured.
  - A package whose state is no longer known is marked as one that must be reinstalled.
  - apt's damaged lists and archives are deleted; apt fetches them again.
options:
  lock_seconds:
    description: How long to wait for another apt or dpkg that is running, in seconds.
    type: int
    default: 900
author: The mynn-pi authors
"""

EXAMPLES = r"""
- name: Repair dpkg's database
  mynn.pi.repair_dpkg:
  register: repaired
"""

RETURN = r"""
reinstall:
  description: What apt-get must reinstall; a name that ends in C(-) is a package whose removal was interrupted.
  type: list
  returned: always
fetch_lists:
  description: Whether apt must fetch its lists before that.
  type: bool
  returned: always
"""


class LostError(Exception):
    """The database cannot be restored; the message says why."""


@dataclass
class Plan:
    """Files to write (None: delete), and their descriptions before and after, for the diff."""

    files: dict[Path, bytes | None] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    reinstall: list[str] = field(default_factory=list)
    fetch_lists: bool = False

    def write(self, path: Path, data: bytes | None, before: str, after: str) -> None:
        """Plan one file."""
        self.files[path] = data
        self.changes.append((f"{path}: {before}", f"{path}: {after}"))


def plan(database: Database) -> Plan:
    """Plan the repair. LostError: there is nothing to restore the database from."""
    todo = Plan()
    packages = repair_status(database, todo)
    repair_small_files(database, packages, todo)
    repair_file_lists(database, packages, todo)
    todo.reinstall = sorted({*todo.reinstall, *unfinished(packages)})
    repair_apt(database, packages, todo)
    todo.fetch_lists = todo.fetch_lists or bool(todo.reinstall)
    return todo


def repair_status(database: Database, todo: Plan) -> dict[str, Package]:
    """Plan the file `status`; return the packages that dpkg will then know, including its updates.

    Whole stanzas stay. A missing package whose files are there is taken from status-old, or from one of Debian's daily
    copies. (dpkg takes an empty file for a system without packages.)
    """
    path = database.dpkg / "status"
    packages, whole = parse(read(path))
    whole = whole and bool(packages)
    updated: dict[str, Package] = {}
    for update in database.updates():
        found, good = parse(read(update) + b"\n")
        updated |= found
        if not good and update.name.isdigit():
            todo.write(update, None, "damaged", "deleted")
    lists = database.file_lists().keys()
    copies = [copy for copy in status_copies(database) if copy.packages]
    lost = lists - packages.keys() - updated.keys()
    if not whole and copies:  # a package whose list of files is lost as well
        lost |= {key for key, package in copies[0].packages.items() if not package.absent} - packages.keys()
    if lost or not whole:
        restored = {key: restore(key, database.dpkg / f"info/{key}.list", copies) for key in sorted(lost)}
        if sum(package.field("Version") == "" for package in restored.values()) > len(lists) / 2:
            raise LostError("dpkg's database is lost: neither status nor a copy of it knows most of its packages")
        packages |= restored
        before = f"{'whole' if whole else 'damaged'}, {len(lost)} packages are missing"
        after = f"{len(packages)} packages, {len(restored)} of them from a copy"
        text = "".join(f"{packages[key].stanza}\n" for key in sorted(packages))
        todo.write(path, text.encode(errors="surrogateescape"), before, after)
    return packages | updated


@dataclass(frozen=True)
class Copy:
    """An older copy of `status`, with the time it was written."""

    packages: dict[str, Package]
    written: float


def status_copies(database: Database) -> list[Copy]:
    """Return older copies of `status`, the newest first."""
    paths = [path for path in (database.dpkg / "status-old", *database.copies("dpkg.status")) if path.is_file()]
    return [Copy(parse(read(path))[0], path.stat().st_mtime) for path in paths]


def restore(key: str, file_list: Path, copies: list[Copy]) -> Package:
    """Return a package from an older copy. If its files are newer, its state is unknown: it must be reinstalled."""
    for copy in copies:
        if package := copy.packages.get(key):
            if file_list.exists() and file_list.stat().st_mtime <= copy.written:
                return package
            return package.with_status(f"install reinstreq {'half-installed' if package.absent else package.status[2]}")
    name, _, architecture = key.partition(":")
    stanza = f"Package: {name}\nStatus: install reinstreq half-installed\n"
    return Package(stanza + (f"Architecture: {architecture}\nMulti-Arch: same\n" if architecture else ""))


def repair_file_lists(database: Database, packages: dict[str, Package], todo: Plan) -> None:
    """Plan to delete damaged lists of files and scripts: dpkg fails on these, but not if they are missing."""
    names = r"\.(list|preinst|postinst|prerm|postrm|config|triggers|conffiles|md5sums|templates)"
    for path in sorted((database.dpkg / "info").iterdir()):
        match = re.fullmatch(rf"(.+){names}", path.name)
        package = packages.get(match[1]) if match else None
        if not match or not package:
            continue
        data = path.read_bytes()
        form = rb"(?:/[^\n\0]*\n)" + (b"*" if package.absent else b"+")  # a removed package's may be empty
        bad_list = match[2] == "list" and not re.fullmatch(form, data)
        if bad_list or b"\0" in data:
            todo.write(path, None, "damaged", "deleted")
            todo.reinstall += [] if package.absent else [apt_name(package)]
    lists = database.file_lists()
    todo.reinstall += [apt_name(package) for key, package in packages.items() if package.installed and key not in lists]


def unfinished(packages: dict[str, Package]) -> Iterator[str]:
    """Yield packages that dpkg was installing or removing, without those that only need to be configured."""
    for package in packages.values():
        wanted, flag, state = package.status
        if flag == "reinstreq" or state == "half-installed":
            removal = wanted in ("deinstall", "purge") and flag == "ok"  # dpkg does not remove what must be reinstalled
            yield apt_name(package) + ("-" if removal else "")


def apt_name(package: Package) -> str:
    """Return apt's name for it, with the architecture, if any."""
    architecture = package.field("Architecture")
    return f"{package.name}:{architecture}" if architecture not in ("", "all") else package.name


def repair_small_files(database: Database, packages: dict[str, Package], todo: Plan) -> None:
    """Plan replacements of small files that are malformed."""
    for name in database.malformed():
        path = database.dpkg / name
        if name == "info/format":
            todo.write(path, b"1\n", "damaged", "1")
        elif name == "arch":
            others = sorted({package.field("Architecture") for package in packages.values()} - {"", "all", native()})
            todo.write(path, "".join(f"{one}\n" for one in [native(), *others]).encode(), "damaged", "rebuilt")
        elif name == "triggers/Unincorp":  # dpkg-trigger's latest entries; what packages wait for is in status
            todo.write(path, b"", "damaged", "empty")
        elif name.startswith("triggers/"):
            todo.write(path, interests(database).get(path.name, b""), "damaged", "rebuilt")
        else:
            copies = [read(copy) for copy in [path.with_name(f"{name}-old"), *database.copies(f"dpkg.{name}")]]
            whole = (copy for copy in copies if copy and re.fullmatch(FORMS[name], copy))
            todo.write(path, next(whole, b""), "damaged", "its copy, or empty where there is none")


def interests(database: Database) -> dict[str, bytes]:
    """Return the files of triggers/, from each package's declared interests."""
    lines: dict[str, list[str]] = {}
    for path in sorted(database.dpkg.glob("info/*.triggers")):
        package = path.name.removesuffix(".triggers")
        for line in read(path).decode(errors="replace").splitlines():
            words = line.split()
            if len(words) == 2 and re.fullmatch(r"interest(-await|-noawait)?", words[0]):
                who = package + ("/noawait" if words[0].endswith("-noawait") else "")
                is_file = words[1].startswith("/")
                name = "File" if is_file else words[1]
                lines.setdefault(name, []).append(f"{words[1]} {who}\n" if is_file else f"{who}\n")
    return {name: "".join(found).encode() for name, found in lines.items() if "/" not in name}


def native() -> str:
    """Return the Pi's own architecture, from dpkg."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def repair_apt(database: Database, packages: dict[str, Package], todo: Plan) -> None:
    """Plan to delete what apt fetches again, and to restore apt's record of automatically installed packages."""
    for path in database.damaged_indexes():
        todo.write(path, None, "damaged", "deleted")
        todo.fetch_lists = True
    if database.broken_marks():
        path = database.apt / "extended_states"
        copies = [read(copy) for copy in database.copies("apt.extended_states")]
        whole = (copy for copy in copies if copy and stanzas(copy)[1])
        todo.write(path, next(whole, b""), "damaged", "its copy, or empty where there is none")
    archives = sorted(database.archives.glob("*.deb"))
    known = listed_hashes(database) if archives else set()
    for path in archives:
        # apt checks only an archive's size before it passes it to dpkg.
        if is_installed(path, packages):
            todo.write(path, None, "installed", "deleted")
        elif hashlib.sha256(path.read_bytes()).hexdigest() not in known:
            todo.write(path, None, "not what a mirror lists", "deleted")


def listed_hashes(database: Database) -> set[str]:
    """Return the SHA256 of all archives in apt's lists, by grep: Python takes a minute for their 50 MB on a Pi Zero."""
    lists = [str(path) for path in database.apt.glob("lists/*_Packages")]
    command = ["grep", "--no-filename", "--text", "^SHA256: ", *lists]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout if lists else ""
    return {line.split()[-1] for line in output.splitlines()}


def is_installed(archive: Path, packages: dict[str, Package]) -> bool:
    """Return whether this version is already installed."""
    name, version, architecture = [*archive.name.removesuffix(".deb").split("_"), "", ""][:3]
    version = version.replace("%3a", ":")
    for package in (packages.get(name), packages.get(f"{name}:{architecture}")):
        if package and package.installed and package.field("Version") == version:
            return True
    return False


def apply(todo: Plan, database: Database) -> None:
    """Write the files atomically, and sync them to the card."""
    for path, data in todo.files.items():
        if data is None:
            path.unlink()
            continue
        with replacing(path, folder=database.dpkg) as file:  # dpkg ignores leftovers there
            file.write(data)
    if todo.fetch_lists and (database.apt / "lists").is_dir():
        os.utime(database.apt / "lists", (0, 0))  # so that they are fetched again
    for folder in {path.parent for path in todo.files}:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main() -> None:
    """Run the task."""
    module = AnsibleModule({"lock_seconds": {"type": "int", "default": 900}}, supports_check_mode=True)
    database = Database()
    locks = [database.dpkg / "lock-frontend", database.dpkg / "lock", database.apt / "lists/lock"]
    try:
        if module.check_mode:
            todo = plan(database)
        else:
            with contextlib.ExitStack() as stack:
                for lock in locks:
                    stack.enter_context(locked(lock, module.params["lock_seconds"], fcntl.lockf))
                todo = plan(database)
                apply(todo, database)
    except LostError as error:
        module.fail_json(msg=f"{error}. Collect the students' work (make collect), and flash the card again.")
    except TimeoutError as error:
        module.fail_json(msg=f"Another program holds a lock ({error}): reboot the Pi, and run this again.")
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename} could not be repaired ({error.strerror}): make room on the card and run this again."
        )
    before, after = ("".join(f"{line}\n" for line in lines) for lines in zip(*todo.changes or [("", "")], strict=True))
    module.exit_json(
        changed=bool(todo.changes),
        reinstall=todo.reinstall,
        fetch_lists=todo.fetch_lists,
        diff={"before": before, "after": after},
    )


if __name__ == "__main__":
    main()
