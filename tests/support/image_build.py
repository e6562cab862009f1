"""The build of an SD card's image, as the tests of it need it: killed once on the way, then finished."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.classroom import ANSIBLE, ROOT
from tests.support.playbook_run import PlaybookRun
from tests.virtual.mounts import mounts_below

COMMAND = [str(ANSIBLE), str(ROOT / "playbooks/image.yml")]
KILLED_AT = "mnist : Unpack and check MNIST"  # inside the image
# A build whose first stage is there fetches nothing. (Only root can take the network away.)
UNPLUGGED = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class ImageBuild:
    """What a build left, and what one that was killed did."""

    packed: Path
    killed_in: str
    left_mounted: list[Path]
    loops_before: str
    loops_after_kill: str

    @property
    def stem(self) -> str:
        """Name and version."""
        return self.packed.name.removesuffix(".img.xz")

    @property
    def root(self) -> Path:
        """The folder that it was made of."""
        return ROOT / "build/image/root"

    @property
    def disk(self) -> Path:
        """The image as it is on a card."""
        return ROOT / f"build/image/{self.stem}.img"


def loops() -> str:
    """What loop devices there are."""
    return subprocess.run(["losetup", "--list", "--noheadings"], check=True, stdout=subprocess.PIPE, text=True).stdout


def wait_for_half_a_file(folder: Path, patience: float = 120) -> None:
    """Wait until the role is just unpacking a file there. TimeoutError: it did not."""
    deadline = time.monotonic() + patience
    while not list(folder.glob(".*.new")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing was unpacked in {folder} within {patience:.0f} s")
        time.sleep(0.02)


def build() -> ImageBuild:
    """Build an image, without a network, having killed an earlier build of it that had one."""
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
    print(f"The image took {time.monotonic() - began:.0f} s, from a first stage that was there.")
    [packed] = (ROOT / "dist").glob("mynn-pi-zero-*.img.xz")
    return ImageBuild(packed, task, mounted, before, after)
