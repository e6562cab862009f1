#!/usr/bin/python3
"""Ansible module: repair dpkg's database and apt's files after a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import (
    Database,
    is_text,
    packages_in,
    read,
    to_reinstall,
)
from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing

DOCUMENTATION = r"""
module: repair_dpkg
short_description: Repair dpkg's database after a power cut
description:
  - Restores what dpkg and apt need to start at all, without the network. Nothing is installed or configured.
  - What dpkg cannot read is replaced by the newest of Debian's copies that it can read. apt's archives are deleted,
    and its lists if one is damaged; apt fetches them again.
options:
  lock_seconds:
    description: How long to wait for another apt or dpkg that is running, in seconds.
    type: int
    default: 900
author: The mynn-pi authors
"""

EXAMPLES = r"""
- name: Repair dpkg's database
  repair_dpkg:
  register: repaired
"""

RETURN = r"""
reinstall:
  description: What apt-get must reinstall; a name that ends in C(-) is a package whose removal was interrupted.
  type: list
  returned: always
"""


class LostError(Exception):
    """The database cannot be restored; the message says why."""


def plan(database: Database) -> dict[Path, bytes | None]:
    """Return the files to write, and those to delete (None). LostError: there is no copy of `status` to restore."""
    files: dict[Path, bytes | None] = {path: None for path in database.updates() if not is_text(read(path))}
    if not is_readable(read(database.dpkg / "status")):
        files[database.dpkg / "status"] = readable_copy(database)
    for path, name in database.copied_files().items():
        if not is_text(read(path)):
            files[path] = next((data for data in copies(database, path, name) if data and is_text(data)), b"")
    for name, last in database.file_lists().items():
        if last not in (b"\n", b""):  # dpkg fails on it, but not if there is none
            files[database.dpkg / "info" / name] = None
    if database.damaged_indexes():
        files |= dict.fromkeys(filter(Path.is_file, database.apt.glob("lists/*_*")), None)
    return files | dict.fromkeys(database.archives.glob("*.deb"), None)


def copies(database: Database, path: Path, name: str) -> Iterator[bytes]:
    """Yield the copies of a file, the newest first: dpkg's own, and Debian's daily ones."""
    yield read(path.with_name(f"{path.name}-old"))
    for number in range(7):
        yield read(database.backups / f"{name}.{number}")
        with contextlib.suppress(OSError, EOFError):
            yield gzip.decompress(read(database.backups / f"{name}.{number}.gz"))


def readable_copy(database: Database) -> bytes:
    """Return the newest copy of `status` that dpkg can read. What came after it, apt installs once more."""
    for data in copies(database, database.dpkg / "status", "dpkg.status"):
        if is_readable(data):
            return data
    raise LostError("dpkg's database is lost: neither its file status nor a copy of it can be read")


def is_readable(status: bytes) -> bool:
    """Return whether dpkg can read this file `status`, without its journal."""
    with tempfile.TemporaryDirectory() as name:
        for folder in ("info", "updates"):
            Path(name, folder).mkdir()
        Path(name, "status").write_bytes(status)
        return bool(packages_in(Path(name)))


def apply(files: dict[Path, bytes | None], database: Database) -> None:
    """Write and delete files."""
    for path, data in files.items():
        if data is None:
            path.unlink()
            continue
        with replacing(path, folder=database.dpkg) as file:  # dpkg ignores leftovers there
            file.write(data)
    lists = database.apt / "lists"
    if any(path.parent == lists for path in files):
        os.utime(lists, (0, 0))  # so that they count as old and are fetched


def main() -> None:
    """Run the task."""
    module = AnsibleModule({"lock_seconds": {"type": "int", "default": 900}}, supports_check_mode=True)
    database = Database()
    locks = [database.dpkg / "lock-frontend", database.dpkg / "lock", database.apt / "lists/lock"]
    try:
        with contextlib.ExitStack() as stack:
            for lock in [] if module.check_mode else locks:
                stack.enter_context(locked(lock, module.params["lock_seconds"], fcntl.lockf))
            files = plan(database)
            if not module.check_mode:
                apply(files, database)
            reinstall = to_reinstall(packages_in(database.dpkg), database.file_lists())
    except LostError as error:
        module.fail_json(msg=f"{error}. Collect the students' work (make collect), and flash the card again.")
    except TimeoutError as error:
        module.fail_json(msg=f"Another program holds a lock ({error}): reboot the Pi, and run this again.")
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename} could not be repaired ({error.strerror}): make room on the card and run this again."
        )
    after = "".join(f"{path}: {'deleted' if data is None else 'its copy'}\n" for path, data in files.items())
    before = "".join(f"{path}: damaged, or not installed yet\n" for path in files)
    diff = {"before": before, "after": after}
    module.exit_json(changed=bool(files), reinstall=reinstall, diff=diff)


if __name__ == "__main__":
    main()
