#!/usr/bin/python3
"""Ansible module: pack MNIST's files on the control node and unpack them on a Pi."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of

DOCUMENTATION = r"""
module: mnist
short_description: MNIST as CSV and .npy files
description:
  - With O(source), packs the files into the archive on the control node.
  - With O(folder) only, makes that folder on a Pi, and tells which files are missing or changed.
  - With O(folder) and O(archive), unpacks those files and removes the archive.
  - A file counts as unchanged when its owner, mode and size are right and its time is the one that this module gave it,
    so an unchanged Pi need not read 183 MB.
options:
  source: {description: The folder with the four IDX files (.xz)., type: path}
  folder: {description: "The data folder. It belongs to root, and everybody can read it.", type: path}
  archive: {description: A gzipped tar file with the files. In check mode it need not be there., type: path}
  files: {description: "For each file's name, its C(size) in bytes and its C(sha256).", type: dict, required: true}
author: The mynn-pi authors
"""
RETURN = "wanted: {description: Names of the files that are missing or changed., type: list, returned: with O(folder)}"

UNPACKED = 909878400  # 1 November 1998: mtime of each checked file; mynn requires a .npy to have its CSV's
AGAIN = "run the play again; if that does not help, delete the folder mnist in ~/.cache/mynn-pi on this computer"

Files = dict[str, dict[str, Any]]


class DamagedError(Exception):
    """A damaged or missing file; the message names it and the remedy."""


def contents(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file that is made from the IDX files."""
    text = [b"%d" % value for value in range(256)]
    for csv, part, few in (("mnist_train", "train", 100), ("mnist_test", "t10k", 10)):
        labels = lzma.decompress((source / f"{part}-labels-idx1-ubyte.xz").read_bytes())[8:]  # after the IDX header
        pixels = lzma.decompress((source / f"{part}-images-idx3-ubyte.xz").read_bytes())[16:]
        rows = [labels[n : n + 1] + pixels[784 * n : 784 * n + 784] for n in range(len(labels))]
        lines = [b",".join(map(text.__getitem__, row)) + b"\n" for row in rows]
        yield f"{csv}.csv", b"".join(lines)
        yield f"{csv}_{few}.csv", b"".join(lines[:few])
        # As numpy.save writes it, a header of 128 bytes and the rows, and their CRC-32. This Python may lack numpy.
        head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(rows)}, 785), }}".ljust(117) + "\n"
        numbers = b"".join(rows)
        parts = (b"\x93NUMPY\x01\0", len(head).to_bytes(2, "little"), head.encode(), numbers)
        yield f"{csv}.csv.npy", b"".join(parts) + zlib.crc32(numbers).to_bytes(4, "little")


def pack(source: Path, archive: Path, files: Files) -> None:
    """Write the archive atomically. DamagedError: the IDX files are missing or not MNIST's."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A Pi unpacks all levels equally fast; level 9 takes five times as long to pack, for 4 % less.
        with replacing(archive) as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
            for name, content in contents(source):
                if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
                    raise lzma.LZMAError(f"{name} made of it has other contents")
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    except (EOFError, FileNotFoundError, lzma.LZMAError) as error:
        raise DamagedError(f"{source} is damaged ({error}): put it back with git checkout roles/mnist/files") from None


def wanted(folder: Path, files: Files) -> list[str]:
    """Return the names of missing or changed files."""
    names = []
    for name, content in files.items():
        try:
            about = (folder / name).lstat()
        except OSError:
            names.append(name)
            continue
        right = (stat.S_IFREG | 0o644, os.geteuid(), content["size"], UNPACKED)
        if (about.st_mode, about.st_uid, about.st_size, about.st_mtime) != right:
            names.append(name)
    return names


def unpack(archive: Path, folder: Path, files: Files, names: list[str]) -> None:
    """Extract the named files into the folder, each atomically and only if its SHA256 sum is right.

    DamagedError: the archive lacks a file, or is damaged. OSError: the card is full.
    """
    missing = set(names)
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                source = tar.extractfile(member)
                if member.name not in missing or not source:
                    continue
                with replacing(folder / member.name, 0o644) as file:
                    digest = hashlib.sha256()
                    while block := source.read(1 << 20):
                        digest.update(block)
                        file.write(block)
                    if digest.hexdigest() != files[member.name]["sha256"]:
                        raise DamagedError(f"{member.name} came damaged to the Pi; {AGAIN}")
                    file.flush()
                    os.utime(file.fileno(), (UNPACKED, UNPACKED))
                missing.remove(member.name)
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise DamagedError(f"{archive} came damaged to the Pi ({error}); {AGAIN}") from None
    if missing:
        raise DamagedError(f"{archive} lacks {', '.join(sorted(missing))}; {AGAIN}")
    for rest in folder.glob(".*"):  # the archive and a killed run's files
        rest.unlink()


def main() -> None:
    """Run the module."""
    paths = {name: {"type": "path"} for name in ("source", "folder", "archive")}
    module = AnsibleModule({**paths, "files": {"type": "dict", "required": True}}, supports_check_mode=True)
    source, folder, archive = (Path(module.params[name] or "") for name in paths)
    files, names, changes = module.params["files"], [], []
    try:
        if module.params["source"]:
            changed = True
            if not module.check_mode:
                pack(source, archive, files)
        else:
            names = wanted(folder, files)
            changed = not folder.is_dir()
            if changed and not module.check_mode:
                folder.mkdir(parents=True)
            if module.params["archive"]:
                changed = bool(names)
                changes = [f"{folder / name} unpacked" for name in names]
                if changed and not module.check_mode:
                    unpack(archive, folder, files, names)
    except DamagedError as error:
        module.fail_json(msg=f"MNIST: {error}.")
    except OSError as error:
        place = error.filename or archive.parent if module.params["source"] else folder
        module.fail_json(msg=f"MNIST: {place} cannot be written ({error.strerror}): make room there.")
    module.exit_json(changed=changed, wanted=names, diff=diff_of(changes))


if __name__ == "__main__":
    main()
