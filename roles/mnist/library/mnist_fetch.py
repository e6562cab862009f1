#!/usr/bin/python3
"""MNIST, fetched once to the control node: an Ansible module, and a command for people and tests.

    python roles/mnist/library/mnist_fetch.py [--cache FOLDER] [MIRROR ...]

prints the folder that holds the four CSV files.
"""

from __future__ import annotations

import argparse
import fcntl
import gzip
import hashlib
import itertools
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, url2pathname, urlopen

DOCUMENTATION = r"""
module: mnist_fetch
short_description: MNIST in a cache, fetched from the first mirror that has it
description:
  - Leaves C(mnist.tar.gz) in the cache, with the four CSV files and the two that spare a Pi the parsing of the full
    ones, each checked by its SHA256.
  - Takes IDX archives or CSV files, gzipped or not. A broken download is carried on by the next run.
  - Runs on the control node. In check mode nothing is fetched.
options:
  mirrors:
    description: Addresses (http, https, file) or folders, tried in order.
    type: list
    elements: str
    required: true
  cache:
    description: The folder that keeps what was fetched.
    type: path
    required: true
  contents:
    description: For each file's name, the C(size) in bytes and the C(sha256) of its contents.
    type: dict
    required: true
author: The mynn-pi authors
"""

EXAMPLES = r"""
- mnist_fetch:
    mirrors: ["https://ossci-datasets.s3.amazonaws.com/mnist", /media/stick/mnist]
    cache: ~/.cache/mynn-pi/mnist
    contents: "{{ __mnist_files | combine(__mnist_idx) }}"
  delegate_to: localhost
"""

RETURN = r"""
archive: {description: The path of the archive., type: str, returned: always}
"""

# Each full CSV, and the IDX files (images, labels) that it can be made from.
MADE_FROM = {
    "mnist_train.csv": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "mnist_test.csv": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Each of the book's small CSVs: the first so many lines of a full one.
FIRST_LINES = {"mnist_train_100.csv": ("mnist_train.csv", 100), "mnist_test_10.csv": ("mnist_test.csv", 10)}
# Each full CSV's neighbour, its digits as bytes, in the layout of mynn/cache.py: made here, once for all Pis.
CACHES = {f"{name}.cache": name for name in MADE_FROM}
UNPACKED = 909878400  # the time of change that mnist_files gives a CSV on a Pi: a cache is of that file only
BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte
ADVICE = (
    "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and"
    " t10k-labels-idx1-ubyte.gz into a folder, and name it in mnist_mirrors or in the variable MNIST_MIRRORS."
)


class MirrorError(Exception):
    """The mirror cannot be used; the message says why."""


class BrokenError(MirrorError):
    """The network failed."""


class WrongSumError(MirrorError):
    """The mirror's file is not what it should be."""


class FetchError(Exception):
    """No mirror could be used; the message names each with its reason, and says what to do."""


class Cache:
    """A folder with MNIST's files. One process at a time works in it.

    `contents` tells each file's size and SHA256, `say` shows a person a line of progress.
    """

    def __init__(self, folder: Path, contents: dict[str, dict[str, Any]], say: Callable[[str], Any]):
        self.folder, self.contents, self.say = folder, contents, say
        self.archive = folder / "mnist.tar.gz"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process works in the cache. FetchError: the cache cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for rest in self.folder.glob("*.new"):  # a killed run left it half-made
                    rest.unlink()
                yield
        except OSError as error:
            raise FetchError(
                f"MNIST's cache {self.folder} cannot be used ({error.strerror or error}):"
                " make room or mend its rights, or name another folder in mnist_cache or MYNN_CACHE."
            ) from None

    def is_good(self, name: str) -> bool:
        """Whether the cache has this file, unharmed."""
        path = self.folder / name
        if not path.is_file() or path.stat().st_size != self.contents[name]["size"]:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.contents[name]["sha256"]

    def archive_is_good(self) -> bool:
        """Whether the archive has the four CSVs, unharmed."""
        found = {}
        try:
            with gzip.open(self.archive) as zipped, tarfile.open(fileobj=zipped, mode="r|") as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    found[member.name] = hashlib.file_digest(file, "sha256").hexdigest() if file else ""
                zipped.read()  # gzip's own sum comes last
        except (OSError, EOFError, zlib.error, tarfile.TarError):
            return False
        return found == {name: self.contents[name]["sha256"] for name in (*MADE_FROM, *FIRST_LINES, *CACHES)}

    def ensure_csvs(self, mirrors: list[str]) -> list[str]:
        """Make the four CSVs be there. Returns what was wrong with the mirrors that had to be passed over.

        FetchError: no mirror had what was missing. OSError: the cache cannot be written.
        """
        missing = [name for name in MADE_FROM if not self.is_good(name)]
        complaints = []
        for mirror in mirrors:
            try:
                while missing:
                    self.obtain(mirror, missing[0])
                    del missing[0]
            except MirrorError as error:
                complaints.append(f"{mirror}: {error}")
                self.say(f"{mirror}: {error}")
        if missing:
            tried = "".join(f"\n- {complaint}" for complaint in complaints) or " none."
            raise FetchError(f"No mirror has a good MNIST. Tried were:{tried}\n{ADVICE}")
        for rest in (*self.folder.glob("*.part"), *self.folder.glob("*-ubyte")):
            rest.unlink()
        for name, (full, lines) in FIRST_LINES.items():
            if not self.is_good(name):
                with (self.folder / full).open("rb") as file:
                    self.write(name, itertools.islice(file, lines))
        return complaints

    def ensure_archive(self, mirrors: list[str]) -> list[str]:
        """Make the archive be there: the same bytes at any time. Returns and raises as ensure_csvs."""
        complaints = self.ensure_csvs(mirrors)
        for name, csv in CACHES.items():
            if not self.is_good(name):
                self.write(name, digits_as_bytes((self.folder / csv).read_bytes()))
        new = self.folder / "mnist.tar.gz.new"
        # Level 6: a Pi unpacks it as fast as any other; level 9 takes five times as long for 4 % less.
        with (
            new.open("wb") as file,
            gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name in (*MADE_FROM, *FIRST_LINES, *CACHES):
                member = tarfile.TarInfo(name)
                member.size = self.contents[name]["size"]
                with (self.folder / name).open("rb") as content:
                    tar.addfile(member, content)
        new.replace(self.archive)
        return complaints

    def obtain(self, mirror: str, csv: str) -> None:
        """Get one full CSV from a mirror: made from its IDX files, or as it is. MirrorError: no."""
        images, labels = MADE_FROM[csv]
        if all(self.is_good(name) or self.take(mirror, name) for name in (images, labels)):
            self.write(csv, csv_lines((self.folder / images).read_bytes(), (self.folder / labels).read_bytes()))
        elif not self.take(mirror, csv):
            raise MirrorError(f"it has neither {images} and {labels} nor {csv}, with or without .gz")

    def take(self, mirror: str, name: str) -> bool:
        """Copy or download one file, gzipped or not, into the cache. Returns whether it was there."""
        names = (f"{name}.gz", name)
        if urlsplit(mirror).scheme in ("http", "https"):
            return any(self.take_address(f"{mirror.rstrip('/')}/{each}", name) for each in names)
        for path in map(local_folder(mirror).joinpath, names):
            if path.is_file():
                self.unpack(path, name, path.name)
                return True
        return False

    def take_address(self, url: str, name: str) -> bool:
        """Download one file into the cache. Returns whether it was there. MirrorError."""
        part = self.folder / f"{name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        while True:
            went_on = part.exists()
            if not download(url, part, self.contents[name]["size"] + BLOCK, self.say):
                return False
            try:
                self.unpack(part, name, url.rpartition("/")[2])
            except WrongSumError:
                if not went_on:
                    raise
                # The two ends may come from two versions of the file: once more, from its start.
            else:
                return True
            finally:
                part.unlink()

    def unpack(self, packed: Path, name: str, called: str) -> None:
        """Put the contents of a file, gzipped or not, into the cache, if they are what they should be."""
        try:
            file = packed.open("rb")
        except OSError as error:
            raise MirrorError(f"{called} cannot be read ({error.strerror})") from None
        with file:
            source = gzip.GzipFile(fileobj=file) if file.peek(2).startswith(b"\x1f\x8b") else file
            try:
                self.write(name, iter(lambda: source.read(BLOCK), b""), called)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise WrongSumError(
                    f"{called} is a damaged gzip file ({error}): SHA256 of its contents"
                    f" expected {self.contents[name]['sha256']}, found none"
                ) from None

    def write(self, name: str, blocks: Iterator[bytes], called: str = "") -> None:
        """Write one file of the cache. It takes its place only when whole and right; else WrongSumError."""
        want, want_size = self.contents[name]["sha256"], self.contents[name]["size"]
        new = self.folder / f"{name}.new"
        digest, size, hint = hashlib.sha256(), 0, ""
        with new.open("wb") as out:
            for block in blocks:
                if size == 0 and block.lstrip().startswith(b"<"):
                    hint = "; it is a web page, perhaps of a network that wants a login"
                digest.update(block)
                size += out.write(block)
                if size > want_size:  # not MNIST, and perhaps endless
                    hint += "; the rest was not read"
                    break
        if digest.hexdigest() != want:
            new.unlink()
            raise WrongSumError(
                f"{called or name} has other contents: SHA256 expected {want} ({want_size} bytes),"
                f" found {digest.hexdigest()} ({size} bytes{hint})"
            )
        new.replace(self.folder / name)


def local_folder(mirror: str) -> Path:
    """Return the folder that a mirror names. MirrorError: it names none."""
    parts = urlsplit(mirror)
    folder = Path(url2pathname(parts.path) if parts.scheme == "file" else mirror).expanduser()
    if parts.scheme not in ("", "file") or not folder.is_absolute():
        raise MirrorError("it is neither an address (http, https, file) nor an absolute folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise MirrorError("there is no such folder, or it may not be read")
    return folder


def download(url: str, part: Path, limit: int, say: Callable[[str], Any]) -> bool:
    """Bring what is at an address into the file `part`, going on where an earlier try ended.

    Returns whether the address exists. While bytes come, a broken connection is tried again. MirrorError: no
    answer, an error, or more than `limit` bytes; what came before a break is kept for the next run.
    """
    while True:
        had = size = part.stat().st_size if part.exists() else 0
        try:
            with ask(url, had) as answer:
                # A server that knows no ranges sends the file from its start.
                goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
                size = had if goes_on else 0
                expected = size + (answer.length or 0)
                with part.open("ab" if goes_on else "wb") as file:
                    for block in received(answer):
                        size += file.write(block)
                        say(f"{url}: {size / 1e6:.1f} of {expected / 1e6:.1f} MB")
                        if size > limit:
                            raise MirrorError(f"{url.rpartition('/')[2]} is too long ({size} bytes and more)")
            if size >= expected:
                return True
            raise BrokenError("the connection was closed too early")
        except BrokenError as error:
            if size <= had:
                raise
            say(f"{url}: {error} after {size} bytes; going on from there")
        except HTTPError as error:
            if error.code == 416:  # nothing is left to send; the sum will tell whether that is so
                return True
            if error.code not in (403, 404, 410):  # some stores answer 403 for what they do not have
                raise MirrorError(f"it answers {error.code} {error.reason}") from None
            return False


def ask(url: str, had: int) -> HTTPResponse:
    """Ask for an address, without its first `had` bytes. HTTPError: a code above 399. BrokenError."""
    headers = {"User-Agent": "mynn-pi"} | ({"Range": f"bytes={had}-"} if had else {})
    try:
        answer: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        raise BrokenError(str(getattr(error, "reason", error)) or type(error).__name__) from None
    return answer


def received(answer: HTTPResponse) -> Iterator[bytes]:
    """Give an answer's bytes as they come. BrokenError: the network failed."""
    try:
        while block := answer.read1(BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise BrokenError(str(error) or type(error).__name__) from None


def csv_lines(images: bytes, labels: bytes) -> Iterator[bytes]:
    """Turn IDX contents into CSV lines: a label and 784 pixels, each 0 to 255."""
    text = [b"%d" % value for value in range(256)]
    for row, digit in enumerate(labels[8:]):  # IDX headers: 8 bytes for labels, 16 for images
        pixels = images[16 + row * 784 : 16 + row * 784 + 784]
        yield b",".join([text[digit], *map(text.__getitem__, pixels)]) + b"\n"


def digits_as_bytes(csv: bytes) -> Iterator[bytes]:
    """Turn a CSV into mynn's cache of it: a head of 4096 bytes, all labels, all pixels."""
    digits = [bytes(map(int, line.split(b","))) for line in csv.splitlines()]
    labels, pixels = (b"".join(digit[part] for digit in digits) for part in (slice(1), slice(1, None)))
    sums = [
        zlib.crc32(pixels[first * 784 : first * 784 + 784_000], zlib.crc32(labels[first : first + 1000]))
        for first in range(0, len(labels), 1000)
    ]
    state = [len(csv), UNPACKED * 10**9]
    yield json.dumps({"version": 1, "state": state, "count": len(labels), "sums": sums}).encode().ljust(4096)
    yield labels
    yield pixels


def main() -> int:
    """Do as an Ansible task says."""
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec={
            "mirrors": {"type": "list", "elements": "str", "required": True},
            "cache": {"type": "path", "required": True},
            "contents": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    cache = Cache(Path(module.params["cache"]), module.params["contents"], module.debug)
    try:
        changed = not cache.archive_is_good()
        if changed and not module.check_mode:
            with cache.locked():
                if not cache.archive_is_good():  # another run may have made it while this one waited
                    for complaint in cache.ensure_archive(module.params["mirrors"]):
                        module.warn(f"MNIST mirror passed over: {complaint}")
    except FetchError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, archive=str(cache.archive))
    return 0


def command() -> int:
    """Do as a command line says. Returns the exit code."""
    import yaml

    role = Path(__file__).resolve().parents[1]
    facts = yaml.safe_load((role / "vars" / "main.yml").read_text())
    settings = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    default = Path(os.environ.get("MYNN_CACHE", "~/.cache/mynn-pi"), "mnist").expanduser()
    parser = argparse.ArgumentParser(description="Fetch MNIST once, and print the folder with its four CSV files.")
    parser.add_argument("--cache", type=Path, default=default, help="the folder (%(default)s)")
    parser.add_argument("mirrors", nargs="*", metavar="MIRROR", help="an address or an absolute folder")
    asked = parser.parse_args()
    mirrors = os.environ.get("MNIST_MIRRORS", "").split() + (asked.mirrors or settings["mnist_mirrors"])
    cache = Cache(asked.cache.absolute(), facts["__mnist_files"] | facts["__mnist_idx"], show)
    try:
        with cache.locked():
            cache.ensure_csvs(mirrors)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    print(cache.folder)
    return 0


def show(line: str) -> None:
    """Show progress: figures overwrite one another on a terminal, and are left out elsewhere."""
    figures = line.endswith(" MB")
    if sys.stderr.isatty():
        print(f"\r{line}\033[K", end="" if figures else "\n", file=sys.stderr, flush=True)
    elif not figures:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    # Ansible runs a copy, from a place of its own.
    sys.exit(command() if Path(__file__).parent.name == "library" else main())
