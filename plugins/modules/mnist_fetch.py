#!/usr/bin/python3
"""Ansible module: MNIST's files, made on the control node once for all Pis, as an archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mynn.pi.plugins.module_utils.files import locked, replacing

DOCUMENTATION = r"""
module: mnist_fetch
short_description: An archive with MNIST as CSV and .npy files, made from the first mirror that has the IDX files
description: Runs on the control node. In check mode nothing is fetched.
options:
  mirrors:
    description: Folders or addresses (http, https, file) with the IDX files, C(.xz), C(.gz) or plain, tried in order.
    type: list
    elements: str
    required: true
  cache: {description: The folder that keeps the archive., type: path, required: true}
  idx: {description: "For each IDX file's name, its C(size) in bytes and its C(sha256).", type: dict, required: true}
  files: {description: The same for each file in the archive., type: dict, required: true}
author: The mynn-pi authors
"""
RETURN = "archive: {description: The path of the archive., type: str, returned: always}"

TIMEOUT = 30  # seconds without a byte
OVERHEAD = 1024  # bytes by which a packed file may be longer than its contents
MEMORY = 1 << 27  # bytes that unpacking may take; xz -9 takes half of that
ADVICE = (
    "Put the project's own copy back (git checkout roles/mnist/files), or name in mnist_mirrors a folder with"
    " train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz."
)

Contents = dict[str, dict[str, Any]]  # for each file's name, its size in bytes and its sha256


class FetchError(Exception):
    """A mirror cannot be used, or none can; the message says why."""


def ensure_archive(archive: Path, mirrors: list[str], idx: Contents, files: Contents) -> list[str]:
    """Make the archive unless it is good. One process at a time works in its folder; the others wait.

    Returns what was wrong with the mirrors that were passed over. FetchError: a file is on none. OSError: the folder
    cannot be written.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with locked(archive.parent / ".lock"):
        for rest in archive.parent.glob(f".{archive.name}.*.new"):  # of a run that was killed
            rest.unlink()
        if is_good(archive, files):
            return []
        found, complaints = fetch_all(mirrors, idx)
        write_archive(archive, made_from(found))
    return complaints


def is_good(archive: Path, files: Contents) -> bool:
    """Whether the archive has these files, unharmed, and no others."""
    try:
        with gzip.open(archive) as zipped, tarfile.open(fileobj=zipped, mode="r|") as tar:
            found = {}
            for member in tar:
                file = tar.extractfile(member)
                found[member.name] = hashlib.file_digest(file, "sha256").hexdigest() if file else ""  # type: ignore[arg-type]
            zipped.read()  # gzip's own sum comes last
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return False
    return found == {name: content["sha256"] for name, content in files.items()}


def fetch_all(mirrors: list[str], idx: Contents) -> tuple[dict[str, bytes], list[str]]:
    """Return the contents of all IDX files, and what was wrong with mirrors. FetchError: a file is on none."""
    found: dict[str, bytes] = {}
    complaints = []
    for mirror in mirrors:
        try:
            for name in [name for name in idx if name not in found]:
                found[name] = fetch(mirror, name, **idx[name])
        except FetchError as error:
            complaints.append(f"{mirror}: {error}")
    if len(found) < len(idx):
        tried = "".join(f"\n- {complaint}" for complaint in complaints) or " none."
        raise FetchError(f"No mirror has a good MNIST. Tried were:{tried}\n{ADVICE}")
    return found, complaints


def fetch(mirror: str, name: str, size: int, sha256: str) -> bytes:
    """Return the contents of a mirror's IDX file. FetchError: it has none, or not the right one."""
    if not re.match("(https?|file)://", mirror):
        folder = Path(mirror).expanduser()
        if not folder.is_absolute() or not os.access(folder, os.X_OK):
            raise FetchError("it is neither an address (http, https, file) nor the absolute path of a readable folder")
        mirror = folder.as_uri()
    for called in (f"{name}.gz", f"{name}.xz", name):
        request = Request(f"{mirror.rstrip('/')}/{called}", headers={"User-Agent": "mynn-pi"})
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:
                content = unpack(answer.read(size + OVERHEAD), size + 1)
        except (OSError, HTTPException, ValueError, lzma.LZMAError, zlib.error) as error:
            missing = isinstance(getattr(error, "reason", error), FileNotFoundError)
            if missing or getattr(error, "code", 0) in (403, 404, 410):  # 403: some stores' word for 404
                continue
            raise FetchError(f"{called} cannot be read ({error})") from None
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise FetchError(
                f"{called} has other contents: SHA256 expected {sha256} ({size} bytes),"
                f" found {found} ({len(content)} bytes)"
            )
        return content
    raise FetchError(f"it has no {name}, with or without .gz or .xz")


def unpack(packed: bytes, limit: int) -> bytes:
    """Return the first `limit` bytes of what is in an .xz or .gz file; what is neither is returned as it is."""
    if packed.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor(memlimit=MEMORY).decompress(packed, limit)
    if packed.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, limit)
    return packed[:limit]


def made_from(idx: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Make the archive's files, names and contents, from the IDX files' contents."""
    text = [b"%d" % value for value in range(256)]
    for csv, part, few in (("mnist_train", "train", 100), ("mnist_test", "t10k", 10)):
        labels, pixels = idx[f"{part}-labels-idx1-ubyte"][8:], idx[f"{part}-images-idx3-ubyte"][16:]  # without heads
        rows = [labels[n : n + 1] + pixels[784 * n : 784 * n + 784] for n in range(len(labels))]
        lines = [b",".join(map(text.__getitem__, row)) + b"\n" for row in rows]
        yield f"{csv}.csv", b"".join(lines)
        yield f"{csv}_{few}.csv", b"".join(lines[:few])
        # What numpy.save makes: 128 bytes, then the rows. This may run in a Python without numpy.
        head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(rows)}, 785), }}".ljust(117) + "\n"
        yield f"{csv}.csv.npy", b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head.encode() + b"".join(rows)


def write_archive(archive: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write the archive, at once and whole: the same bytes at any time."""
    # Level 6: a Pi unpacks it as fast as any other; level 9 takes five times as long for 4 % less.
    with (
        replacing(archive) as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def main() -> None:
    """Do as an Ansible task says."""
    options: dict[str, Any] = {name: {"type": "dict", "required": True} for name in ("idx", "files")}
    options["mirrors"] = {"type": "list", "elements": "str", "required": True}
    options["cache"] = {"type": "path", "required": True}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    archive, files = Path(module.params["cache"], "mnist.tar.gz"), module.params["files"]
    changed = not is_good(archive, files)
    if changed and not module.check_mode:
        try:
            for complaint in ensure_archive(archive, module.params["mirrors"], module.params["idx"], files):
                module.warn(f"MNIST mirror passed over: {complaint}")
        except FetchError as error:
            module.fail_json(msg=str(error))
        except OSError as error:
            module.fail_json(
                msg=f"MNIST's cache {archive.parent} cannot be used ({error.strerror or error}): make room or correct"
                " its permissions, or name another folder in mnist_cache or MYNN_CACHE."
            )
    module.exit_json(changed=changed, archive=str(archive))


if __name__ == "__main__":
    main()
