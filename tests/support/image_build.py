"""The SD card image for the tests: built, unless an earlier run has built it from the same files."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from mynn_control.wheels import README
from tests.support.image import TABLE, unpack
from tests.support.programs import ROOT, run_playbook
from tests.virtual.host import cache_folder

PLAYBOOK = ROOT / "playbooks/image.yml"
# What an image is made of, besides its roles. (The manual is in it, too, but no test of the image depends on that.)
PARTS = [
    *("mynn", "mynn_server", "notebooks", "locale", "plugins", "playbooks/group_vars", "playbooks/image.yml"),
    *("mynn_control/image_*", "mynn_control/card_*", "setup.py", "pyproject.toml", README),
    "tests/support/image_build.py",  # which files of it are kept
]


@dataclass(frozen=True)
class ImageBuild:
    """An image, and the folder of its files."""

    folder: Path

    @cached_property
    def packed(self) -> Path:
        """The image as it is released."""
        [packed] = self.folder.glob("mynn-pi-zero-*.img.xz")
        return packed

    @property
    def disk(self) -> Path:
        """The uncompressed image."""
        return self.packed.with_suffix("")

    @cached_property
    def root(self) -> Path:
        """All that is in it, in a folder."""
        return unpack(self.disk)


def key() -> str:
    """Return a sum of all files that an image is made of."""
    plays = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))
    parts = PARTS + [f"roles/{role}" for play in plays for role in play.get("roles", [])]
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *parts], cwd=ROOT
    )
    digest = hashlib.sha256()
    for name in sorted(set(listed.decode().splitlines())):
        if (ROOT / name).is_file():
            digest.update(f"{name}\0".encode() + hashlib.sha256((ROOT / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def make_image(**chosen: object) -> None:
    """Run the playbook with settings."""
    assert run_playbook(PLAYBOOK, "-e", json.dumps(chosen), timeout=3600).returncode == 0


def build_for(board: str, image_from: Path | None = None, desk: bool = False) -> Path:
    """Build the image for a board, from Debian or from a card's image, and return it uncompressed. desk: the desk's."""
    make_image(image_board=board, image_desk=desk, **({"image_from": str(image_from)} if image_from else {}))
    [boards] = [row["boards"] for row in TABLE if board in row["boards"]]
    packed = max(
        (ROOT / "dist").glob(f"mynn-{'desk' if desk else 'pi'}-{'-'.join(boards)}-*.img.xz"),
        key=lambda path: path.stat().st_mtime,
    )
    return ROOT / "build/image" / packed.name.removesuffix(".xz")


def build() -> ImageBuild:
    """Return the image of these files, without building it again."""
    kept = cache_folder() / "tested-image"
    made = ImageBuild(kept / key())
    if made.folder.is_dir():
        print("The image was built before, from the same files.")
        return made
    make_image(image_board="zero")
    shutil.rmtree(kept, ignore_errors=True)
    partial = kept / "partial"
    partial.mkdir(parents=True)
    disk = max((ROOT / "build/image").glob("mynn-pi-zero-*.img"), key=lambda path: path.stat().st_mtime)
    for path in (disk, *(ROOT / "dist" / f"{disk.stem}.{suffix}" for suffix in ("img.xz", "json", "svg"))):
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", path, partial], check=True)
    partial.rename(made.folder)
    return made
