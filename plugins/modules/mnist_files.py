#!/usr/bin/python3
"""Ansible module: MNIST's files in a Pi's data folder, unpacked from an archive."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing

DOCUMENTATION = r"""
module: mnist_files
short_description: MNIST's files on a Pi
description:
  - Without O(archive), tells which files are missing or changed, and repairs owners and modes.
  - With it, unpacks those files, lets each take its place once it is whole and its SHA256 is right,
    and removes the archive.
  - A file counts as unchanged when its size is right and its time is the one that this module gave it; so an
    unchanged Pi need not read 183 MB.
options:
  folder: {description: "The data folder. It belongs to root, and everybody can read it.", type: path, required: true}
  files: {description: "For each file's name, its C(size) in bytes and its C(sha256).", type: dict, required: true}
  archive: {description: A gzipped tar file with them. In check mode it need not be there., type: path}
author: The mynn-pi authors
"""
RETURN = "wanted: {description: Names of the files that are missing or changed., type: list, returned: always}"

UNPACKED = 909878400  # 1 November 1998: the time of change of each file that was checked; a CSV's .npy must have it too
BLOCK = 1 << 20


class UnpackError(Exception):
    """The archive is not what it should be; the message says how."""


def wanted(folder: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    """Name the files that are missing or changed."""
    names = []
    for name, content in files.items():
        try:
            found = (folder / name).lstat()
        except OSError:
            names.append(name)
            continue
        if not stat.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime) != (content["size"], UNPACKED):
            names.append(name)
    return names


def repair(folder: Path, files: dict[str, dict[str, Any]], dry: bool) -> list[tuple[str, str]]:
    """Make the folder, set owners and modes, remove what a killed run or an old release left; when `dry`, only look.

    Returns what changes, as pairs of before and after.
    """
    changes = []
    owner = f"{os.geteuid()}:{os.getegid()}"
    for absent in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        changes.append((f"{absent} absent", f"{absent} {owner} 0755"))
        if not dry:
            absent.mkdir()
            absent.chmod(0o755)  # whatever the umask
    for path, mode in {folder: 0o755, **{folder / name: 0o644 for name in files}}.items():
        if path.exists() and not path.is_symlink():
            found = path.stat()
            before = f"{path} {found.st_uid}:{found.st_gid} {stat.S_IMODE(found.st_mode):04o}"
            after = f"{path} {owner} {mode:04o}"
            if before != after:
                changes.append((before, after))
                if not dry:
                    os.chown(path, os.geteuid(), os.getegid())
                    path.chmod(mode)
    for rest in (*folder.glob(".*"), *folder.glob("*.csv.cache")):  # the latter are of earlier releases
        if not rest.is_dir():
            changes.append((f"{rest} left over", f"{rest} absent"))
            if not dry:
                rest.unlink()
    return changes


def unpack(archive: Path, folder: Path, files: dict[str, dict[str, Any]], names: list[str]) -> None:
    """Put the named files of the archive into the folder, each at once and whole.

    UnpackError: the archive lacks a file, or is damaged. OSError: the card is full.
    """
    missing = set(names)
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                source = tar.extractfile(member)
                if member.name in missing and source:
                    put(source, folder / member.name, files[member.name]["sha256"])
                    missing.remove(member.name)
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise UnpackError(f"{archive} is damaged ({error})") from None
    if missing:
        raise UnpackError(f"{archive} lacks {', '.join(sorted(missing))}")


def put(source: IO[bytes], place: Path, sha256: str) -> None:
    """Write one file beside its place; it takes the place once its sum is right and it is on the card."""
    if place.is_dir() and not place.is_symlink():
        raise UnpackError(f"{place} is a folder: move it away")
    digest = hashlib.sha256()
    with replacing(place) as file:  # by a name of its own: what a killed run started may still be at work on the Pi
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
        if digest.hexdigest() != sha256:
            raise UnpackError(f"{place.name} in the archive has SHA256 {digest.hexdigest()}, expected {sha256}")
        file.flush()
        os.utime(file.fileno(), (UNPACKED, UNPACKED))


def main() -> None:
    """Do as the task says."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    folder, files = Path(module.params["folder"]), module.params["files"]
    try:
        names = wanted(folder, files)
        if module.params["archive"] is None:
            changes = repair(folder, files, dry=module.check_mode)
        else:
            changes = [(f"{folder / name} missing or changed", f"{folder / name} unpacked") for name in names]
            if names and not module.check_mode:
                unpack(Path(module.params["archive"]), folder, files, names)
                Path(module.params["archive"]).unlink()
    except UnpackError as error:
        module.fail_json(msg=f"MNIST could not be unpacked: {error}. Run the play again.")
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or folder} could not be written ({error.strerror}): make room on the card."
        )
    before, after = ("".join(f"{line}\n" for line in lines) for lines in zip(*changes or [("", "")], strict=True))
    module.exit_json(changed=bool(changes), wanted=names, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
