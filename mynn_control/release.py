"""Make a release: images, packages, manual, signed checksums, and a page that leads to them.

    python -m mynn_control.release BOARDS ADDRESS KEY

BOARDS are names of `BOARDS` below, separated by commas; empty: all. ADDRESS is where the files will be published;
empty: the folder itself, for a school without the Internet. KEY is the SSH key that signs.

The folder dist/release/VERSION appears whole, or a sentence says why not. Images of this commit in dist/ are taken from
there, so a run that was cut goes on where it was.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mynn import __version__ as version
from mynn_control import manual
from mynn_control.image_release import MANIFEST, repository, sha256, sources
from mynn_control.project import ROOT

# The boards of images, and what `make image` needs to make each.
BOARDS = {"zero": "BOARD=zero", "2": "BOARD=2", "3": "BOARD=3", "5": "BOARD=5", "desk": "BOARD=3 DESK=yes"}
SIGNER = "mynn-pi"  # whom the reader's ssh-keygen asks for, as on docs/manage/signatures.md
# The manual's page is the first one. Browsers follow this from a folder, too.
INDEX = '<!doctype html><meta http-equiv="refresh" content="0; url={0}"><a href="{0}">mynn-pi</a>\n'


def release_notes(project: Path) -> str:
    """Return this version's section in the changelog. SystemExit: the version, the tag or the files disagree."""
    if sources(project).endswith("-changed"):
        raise SystemExit(
            "This folder has changes, or settings of a school, which images would carry (`git status --ignored` shows "
            "them): make the release in a fresh clone."
        )
    tags = subprocess.check_output(["git", "-C", str(project), "tag", "--points-at", "HEAD"], text=True).split()
    changelog = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = [section.partition("\n") for section in re.split(r"^## ", changelog, flags=re.M)[1:]]
    heading, notes = next(((heading, text.strip()) for heading, _, text in sections if text.strip()), ("nothing", ""))
    if f"v{version}" not in tags or not heading.startswith(f"[{version}]"):
        raise SystemExit(
            f"mynn/__init__.py says {version}, the tag of this commit is {' '.join(tags) or 'missing'}, and "
            f"CHANGELOG.md begins with {heading}: they must have the same version, as in 0.2.0, v0.2.0 and [0.2.0]."
        )
    return notes


def run(folder: Path, *command: str | Path) -> None:
    """Run a command in a folder. SystemExit: it failed; it has said why."""
    if subprocess.run(command, cwd=folder, check=False).returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"`{words}` failed, see above. Run `make release` again: images in dist/ are made only once.")


def image_files(project: Path, board: str) -> list[Path]:
    """Return the files of the image of a board, if it was made of this commit; else []."""
    name = "desk-3" if board == "desk" else f"pi-{board}"
    for record in (project / "dist").glob(f"mynn-{name}*-{version}.json"):
        if json.loads(record.read_bytes())["sources"] == sources(project):
            return sorted(record.parent.glob(f"{record.stem}.*"))
    return []


def copy_image(project: Path, board: str, folder: Path) -> None:
    """Copy the image of a board to a folder. If this commit has none, it is made, which takes some twenty minutes."""
    if not image_files(project, board):
        run(project, "make", "image", *BOARDS[board].split())
    files = image_files(project, board)
    if not files:
        raise SystemExit(f"The image of {board} is of another commit: change nothing while a release is made.")
    for path in files:
        shutil.copy(path, folder)
    run(folder, "sha256sum", "--quiet", "--check", *(path.name for path in files if path.suffix == ".sha256"))


def write_packages(project: Path, folder: Path) -> None:
    """Add the wheels and sources of mynn to a folder."""
    run(project, sys.executable, "-m", "mynn_control.wheels", project, "--to", folder)


def write_manual(project: Path, folder: Path) -> None:
    """Add the manual to a folder, as pages and as one archive."""
    sphinx = ["env", f"MYNN_RELEASE={folder}", sys.executable, "-m", "sphinx", "-q", "-E", "-W", "-b", "html"]
    run(project, *sphinx, "-d", "build/release.trees", "docs", folder / "manual")
    manual.pack(folder / "manual", folder / f"mynn-manual-{version}.zip", b"")
    (folder / "index.html").write_text(INDEX.format("manual/download.html"), encoding="utf-8")


def sign(folder: Path, key: Path) -> None:
    """Write the checksums of all files, and sign them."""
    public = subprocess.check_output(["ssh-keygen", "-y", "-f", key], text=True)
    (folder / "allowed_signers").write_text(f"{SIGNER} {public}", encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    run(folder, "ssh-keygen", "-q", "-Y", "sign", "-f", key.resolve(), "-n", "file", "SHA256SUMS")


def make(project: Path, boards: Sequence[str], address: str, key: Path) -> Path:
    """Make a release, and return its folder. SystemExit: there is none, and the message says why."""
    if unknown := ", ".join(board for board in boards if board not in BOARDS):
        raise SystemExit(f"There is no image of {unknown}. BOARDS can be {', '.join(BOARDS)}.")
    if not key.is_file():
        raise SystemExit(f"There is no key {key}: `ssh-keygen -t ed25519 -f {key}` makes one. Keep it, and a copy.")
    notes = release_notes(project)
    release = project / "dist/release" / version
    address = f"{(address or release.as_uri()).rstrip('/')}/"
    if not address.startswith(("http://", "https://", "file:///")):
        raise SystemExit(f"URL={address} is not an address such as https://example.org/mynn/.")
    parts = release.with_name(f".{version}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    for board in boards:
        copy_image(project, board, parts)
    (parts / MANIFEST.format(version)).write_text(repository(parts, version, address), encoding="utf-8")
    (parts / "release-notes.md").write_text(f"# mynn-pi {version}\n\n{notes}\n", encoding="utf-8")
    write_packages(project, parts)
    write_manual(project, parts)
    sign(parts, key)
    shutil.rmtree(release, ignore_errors=True)
    return parts.rename(release)


def main() -> None:
    """Make a release."""
    wanted, address, key = sys.argv[1:]
    began = time.monotonic()
    folder = make(ROOT, wanted.replace(",", " ").split() or list(BOARDS), address, Path(key).expanduser())
    print(f"== The release is {folder}: {time.monotonic() - began:.0f} s. Open index.html in it.")


if __name__ == "__main__":
    main()
