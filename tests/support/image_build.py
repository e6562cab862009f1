"""The build of the SD card image for the tests: killed once on the way, then finished."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.classroom import ANSIBLE, ROOT
from tests.support.image import TABLE
from tests.support.playbook_run import PlaybookRun

COMMAND = [str(ANSIBLE), str(ROOT / "playbooks/image.yml")]
KILLED_AT = "mnist : Unpack and check MNIST"  # inside the image
# Without network: a build with a cached first stage fetches nothing. Only root can disconnect it.
UNPLUGGED = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class ImageBuild:
    """The results of a build, and what a killed one left behind."""

    packed: Path
    killed_in: str
    left_mounted: list[str]
    loops_before: str
    loops_after_kill: str

    @property
    def stem(self) -> str:
        """The name and version, such as mynn-pi-zero-0.1."""
        return self.packed.name.removesuffix(".img.xz")

    @property
    def root(self) -> Path:
        """The root file system that the image was made from."""
        return ROOT / "build/image/root"

    @property
    def disk(self) -> Path:
        """The uncompressed image."""
        return ROOT / f"build/image/{self.stem}.img"


def mounts_below(folder: Path) -> list[str]:
    """Return the mount points below a folder."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return [point for point in points if point.startswith(f"{folder}/".replace(" ", r"\040"))]


def loops() -> str:
    """Return the list of loop devices."""
    return subprocess.run(["losetup", "--list", "--noheadings"], check=True, stdout=subprocess.PIPE, text=True).stdout


def wait_for_half_a_file(folder: Path, patience: float = 120) -> None:
    """Wait until the role is unpacking a file into a folder. Raises TimeoutError if it does not."""
    deadline = time.monotonic() + patience
    while not list(folder.glob(".*.new")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing was unpacked in {folder} within {patience:.0f} s")
        time.sleep(0.02)


def build_for(board: str, image_from: Path | None = None) -> Path:
    """Build the image for a board, from Debian or from a card's image, and return it uncompressed."""
    began = time.monotonic()
    chosen = {"image_board": board} | ({"image_from": str(image_from)} if image_from else {})
    run = PlaybookRun([*COMMAND, "-e", json.dumps(chosen)], ROOT, dict(os.environ))
    assert run.wait(3600) == 0, run.output[-3000:]
    print(f"The build for {board} took {time.monotonic() - began:.0f} s.")
    [boards] = [row["boards"] for row in TABLE if board in row["boards"]]
    packed = max((ROOT / "dist").glob(f"mynn-pi-{'-'.join(boards)}-*.img.xz"), key=lambda path: path.stat().st_mtime)
    return ROOT / "build/image" / packed.name.removesuffix(".xz")


def build() -> ImageBuild:
    """Kill a build of the image, then finish it without network."""
    before = loops()
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
    run = PlaybookRun(COMMAND, ROOT, environment)
    run.when(rf"TASK \[{KILLED_AT}", 3600)
    wait_for_half_a_file(ROOT / "build/image/root/srv/mynn/mnist")
    run.kill()
    _, task = run.tasks[-1]
    mounted, after = mounts_below(ROOT / "build/image"), loops()
    began = time.monotonic()
    again = PlaybookRun([*UNPLUGGED, *COMMAND], ROOT, environment)
    assert again.wait(3600) == 0, again.output[-3000:]
    print(f"The build took {time.monotonic() - began:.0f} s with a cached first stage.")
    [packed] = (ROOT / "dist").glob("mynn-pi-zero-*.img.xz")
    return ImageBuild(packed, task, mounted, before, after)
