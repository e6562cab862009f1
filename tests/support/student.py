"""The account that stands in for a student, and what is in a student's folder."""

import os
import pwd
from pathlib import Path

# Run by root, the code under test becomes another account to work for a student: here `nobody`, which every Debian has.
# Without root there is no other account to become, so the student is whoever runs the tests.
STUDENT = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def account(home: Path) -> pwd.struct_passwd:
    """Return the student's entry in the list of accounts, with another home."""
    return pwd.struct_passwd((STUDENT.pw_name, "x", STUDENT.pw_uid, STUDENT.pw_gid, "", str(home), ""))


def give_to_student(path: Path) -> None:
    """Make the student the owner of a file, a folder or a link."""
    os.chown(path, STUDENT.pw_uid, STUDENT.pw_gid, follow_symlinks=False)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of each file in a folder and its subfolders, by its path in the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
