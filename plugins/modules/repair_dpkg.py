#!/usr/bin/python3
"""Ansible module: repair dpkg's database and apt's files after a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import (
    Database,
    Files,
    LostError,
    packages_in,
    plan,
    to_reinstall,
)
from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of

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


def apply(files: Files, database: Database) -> None:
    """Write and delete files."""
    for path, data in files.items():
        if data is None:
            path.unlink()
            continue
        with replacing(path, folder=database.dpkg) as file:  # dpkg ignores leftovers there
            file.write(data)
    if any(path.parent == database.lists for path in files):
        os.utime(database.lists, (0, 0))  # so that they count as old and are fetched


def main() -> None:
    """Run the task."""
    module = AnsibleModule({"lock_seconds": {"type": "int", "default": 900}}, supports_check_mode=True)
    database = Database()
    locks = [database.dpkg / "lock-frontend", database.dpkg / "lock", database.lists / "lock"]
    try:
        with contextlib.ExitStack() as stack:
            for lock in [] if module.check_mode else locks:
                stack.enter_context(locked(lock, module.params["lock_seconds"], fcntl.lockf))
            files = plan(database, packages_in(database.dpkg))
            if not module.check_mode:
                apply(files, database)
            reinstall = to_reinstall(packages_in(database.dpkg), database.file_lists())
    except LostError as error:
        module.fail_json(msg=f"{error}. Collect the students' work (`make collect`), and flash the card again.")
    except TimeoutError as error:
        module.fail_json(msg=f"Another program holds a lock ({error}): reboot the Pi, and run this again.")
    except OSError as error:
        what = f"{error.filename or 'dpkg'} could not be repaired ({error.strerror})"
        module.fail_json(msg=f"{what}: make room on the card and run this again.")
    changes = [f"{path}: {'deleted' if data is None else 'its copy'}" for path, data in files.items()]
    module.exit_json(changed=bool(files), reinstall=reinstall, diff=diff_of(changes))


if __name__ == "__main__":
    main()
