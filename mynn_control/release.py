"""Make a release: images, packages, manual, signed checksums and a page that leads to them.

    python -m mynn_control.release BOARDS ADDRESS KEY

BOARDS are names of `BOARDS` below, separated by commas; empty: all. ADDRESS is where the files will be published;
empty: the folder itself, for a school without the Internet. KEY is the SSH key that signs.

The folder dist/release/VERSION appears whole and checked, or a sentence says why not. Images of this commit in dist/
are taken from there, so a run that was cut goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from mynn_control import manual, wheels
from mynn_control import project as facts
from mynn_control.image_release import manifest_name, repository, sha256, sources

# The boards of images, and for `make image`, the variables that make each.
BOARDS = {board: [f"BOARD={board}"] for board in ("zero", "2", "3", "5")} | {"desk": ["BOARD=3", "DESK=yes"]}
ADDRESS = re.compile(r"(https?://|file:///)[\w.~:/%-]+/", re.ASCII)
SIGNER = "mynn-pi"  # whom the reader's ssh-keygen asks for, as on docs/manage/signatures.md


class ReleaseError(Exception):
    """There is no release; the message says why, and what to do."""


def git(project: Path, *words: str) -> str:
    """Return the output of a git command."""
    return subprocess.check_output(["git", "-C", str(project), *words], text=True)


def release_notes(project: Path) -> tuple[str, str]:
    """Return the version, and its section in the changelog. ReleaseError: these, the tag or the files disagree."""
    if changes := git(project, "status", "--porcelain").splitlines():
        raise ReleaseError(f"This folder has changes: commit or remove {changes[0][3:]}")
    if sources(project).endswith("-changed"):
        raise ReleaseError("This folder has settings of a school, which images would carry: release from a fresh clone")
    version = facts.version(project)
    tags = git(project, "tag", "--points-at", "HEAD").split()
    if f"v{version}" not in tags:
        has = f"has the tag {tags[0]}" if tags else "has no tag"
        raise ReleaseError(
            f"mynn/__init__.py says {version}, but this commit {has}: correct the version, or `git tag v{version}`"
        )
    changelog = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\].*\n((?:(?!## \[).*\n)*)", changelog, re.M)
    newest, notes = next(((name, text.strip()) for name, text in sections if text.strip()), ("", ""))
    if newest != version:
        raise ReleaseError(
            f"mynn/__init__.py says {version}, but CHANGELOG.md begins with [{newest}]: name that section [{version}]"
        )
    return version, notes


def run(project: Path, *command: str | Path) -> None:
    """Run a command in the project's folder. ReleaseError: it failed; it has said why."""
    if subprocess.run(command, cwd=project, check=False).returncode:
        words = " ".join(map(str, command))
        raise ReleaseError(f"`{words}` failed, see above. What was made until then is kept: run `make release` again")


def image_files(project: Path, version: str, board: str) -> list[Path]:
    """Return the files of the image of a board, if it was made of this commit; else []."""
    wanted = BOARDS[board][0].removeprefix("BOARD=")
    for path in (project / "dist").glob(f"mynn-*-{version}.json"):
        _mynn, kind, *boards = path.name.removesuffix(f"-{version}.json").split("-")
        if kind == ("desk" if board == "desk" else "pi") and wanted in boards:
            record = json.loads(path.read_bytes())
            files = sorted(path.parent.glob(f"{path.stem}.*"))
            if record["sources"] == sources(project) and path.with_name(record["entry"]["url"]) in files:
                return files
    return []


def copy_images(project: Path, version: str, boards: Sequence[str], folder: Path) -> None:
    """Copy the images to a folder. Those that this commit lacks are made, which takes some twenty minutes each."""
    for board in boards:
        began = time.monotonic()
        if not image_files(project, version, board):
            run(project, "make", "image", *BOARDS[board])
        files = image_files(project, version, board)
        if not files:
            raise ReleaseError(f"The image of {board} is of another commit: change nothing while a release is made")
        for path in files:
            shutil.copy(path, folder)
        print(f"== The image of {board}: {time.monotonic() - began:.0f} s", flush=True)


def write_manual(project: Path, version: str, folder: Path) -> None:
    """Add the manual to a folder, as pages and as one archive."""
    pages = folder / "manual"
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", f"{project}/build/release.trees"]
    run(project, *sphinx, "-E", "docs", pages)
    (pages / ".buildinfo").unlink()
    manual.pack(pages, folder / f"mynn-manual-{version}.zip", b"")


def write_page(folder: Path, version: str, address: str) -> None:
    """Write index.html, which leads to all files."""
    told = json.loads((folder / manifest_name(version)).read_bytes())
    online = address.startswith("http")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("release.html").read_text(encoding="utf-8")
    )
    text = page.render(
        version=version,
        source=facts.address(),
        manifest=manifest_name(version),
        repository=f"rpi-imager://open?repo={address}{manifest_name(version)}" if online else "",
        below=address if online else "",
        images=told["os_list"],
        packages=sorted(path.name for suffix in ("*.whl", "*.tar.gz") for path in folder.glob(suffix)),
    )
    (folder / "index.html").write_text(text, encoding="utf-8")


def sign(folder: Path, key: Path) -> None:
    """Write the checksums of all files, and sign them."""
    public = key.with_name(f"{key.name}.pub").read_text(encoding="utf-8")
    (folder / "allowed_signers").write_text(f"{SIGNER} {public}", encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    run(folder, "ssh-keygen", "-q", "-Y", "sign", "-f", key.resolve(), "-n", "file", "SHA256SUMS")


def check(folder: Path, version: str, address: str) -> None:
    """Check the finished folder as a reader would. ReleaseError: what is wrong with it."""
    verify = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", SIGNER, "-n", "file", "-s", "SHA256SUMS.sig"]
    with (folder / "SHA256SUMS").open("rb") as sums:
        if subprocess.run(verify, cwd=folder, stdin=sums, stdout=subprocess.DEVNULL, check=False).returncode:
            raise ReleaseError("The signature of SHA256SUMS is not valid")
    run(folder, "sha256sum", "--quiet", "--strict", "--check", "SHA256SUMS")
    for entry in json.loads((folder / manifest_name(version)).read_bytes())["os_list"]:
        check_image(folder / entry["url"].removeprefix(address), entry)
    page = (folder / "index.html").read_text(encoding="utf-8")
    for link, heading in re.findall(r'(?:href|src)="([^"#:]+)#?([^":]*)"', page):
        to = folder / link
        if not to.is_file() or (heading and f'id="{heading}"' not in to.read_text(encoding="utf-8")):
            raise ReleaseError(f"index.html leads to {link}#{heading}, which does not exist")


def check_image(packed: Path, entry: dict[str, Any]) -> None:
    """Compare an image with what Imager is told about it. ReleaseError: they differ."""
    with subprocess.Popen(["xz", "--decompress", "--stdout", packed], stdout=subprocess.PIPE) as xz:
        assert xz.stdout
        unpacked = hashlib.sha256()
        size = 0
        while chunk := xz.stdout.read(1 << 20):
            unpacked.update(chunk)
            size += len(chunk)
    found = [packed.stat().st_size, sha256(packed), size, unpacked.hexdigest()]
    names = ("image_download_size", "image_download_sha256", "extract_size", "extract_sha256")
    if xz.returncode or found != [entry[name] for name in names]:
        raise ReleaseError(f"{packed.name} is damaged: delete its .json in dist/, and run `make release` again")


def make(project: Path, boards: Sequence[str], address: str, key: Path) -> Path:
    """Return the folder of a new release. ReleaseError: there is none."""
    for board in boards:
        if board not in BOARDS:
            raise ReleaseError(f"There is no image of {board}. BOARDS can be {', '.join(BOARDS)}")
    if not (key.is_file() and key.with_name(f"{key.name}.pub").is_file()):
        raise ReleaseError(f"There is no key {key} with {key.name}.pub: `ssh-keygen -t ed25519 -f {key}` makes both")
    version, notes = release_notes(project)
    release = project / "dist/release" / version
    address = f"{(address or release.as_uri()).rstrip('/')}/"
    if not ADDRESS.fullmatch(address):
        raise ReleaseError(f"URL={address} is not an address such as https://example.org/mynn/")
    parts = release.with_name(f".{version}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    copy_images(project, version, boards, parts)
    (parts / manifest_name(version)).write_text(repository(parts, version, address), encoding="utf-8")
    wheels.distribute(project, parts)
    write_manual(project, version, parts)
    (parts / "release-notes.md").write_text(f"# mynn-pi {version}\n\n{notes}\n", encoding="utf-8")
    write_page(parts, version, address)
    sign(parts, key)
    check(parts, version, address)
    shutil.rmtree(release, ignore_errors=True)
    return parts.rename(release)


def main() -> None:
    """Make a release, and print its files."""
    wanted, address, key = sys.argv[1:]
    boards = wanted.replace(",", " ").split() or list(BOARDS)
    began = time.monotonic()
    try:
        folder = make(facts.ROOT, boards, address, Path(key).expanduser())
    except (ReleaseError, wheels.CannotBuildError) as error:
        sys.exit(f"make release: {error}.")
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.name}" if path.is_file() else f"{'':12}{path.name}/")
    print(f"== The release is {folder}: {time.monotonic() - began:.0f} s. Open index.html in it.")


if __name__ == "__main__":
    main()
