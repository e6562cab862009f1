"""From a folder to a card's image, its release, and back: roles/image/files, tasks/raspberry.yml and image_release."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.imager import downloaded
from tests.support.programs import DEBIAN_12, ROOT
from tests.unit.image.conftest import DISK, EPOCH, LEFT_BEHIND, VENDOR, Built, make_disk, set_times

MIB = 1 << 20
STEM = "mynn-pi-zero-0.1"
MANIFEST = "mynn-0.1.rpi-imager-manifest"


def unpack(image: Path, total: str, root: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DISK.with_name("unpack"), image, total, root]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.root
def test_a_folder_comes_back_as_it_was(built: Built, tmp_path: Path) -> None:
    """With owners, modes and times; without what a build leaves behind."""
    there = tmp_path / "root"
    assert unpack(built.image, "", there).returncode == 0
    names = {path.relative_to(there) for path in there.rglob("*")} - {Path("lost+found")}
    left = {Path(name) for name in (*LEFT_BEHIND, "proc/1", "run/lock")}
    assert names == {path.relative_to(built.root) for path in built.root.rglob("*")} - left
    for name in names:
        found, wanted = (there / name).lstat(), (built.root / name).lstat()
        if not name.is_relative_to("boot/firmware"):  # FAT has no owners
            assert (found.st_mode, found.st_uid, found.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid), name
        if stat.S_ISREG(wanted.st_mode):
            assert (there / name).read_bytes() == (built.root / name).read_bytes(), name
            assert found.st_mtime == EPOCH, name


@pytest.mark.skipif(DEBIAN_12, reason="mke2fs of Debian 12 stores the time: run it on Debian 13")
def test_the_image_is_reproducible(built: Built, tmp_path: Path) -> None:
    other = tmp_path / "root"
    subprocess.run(["cp", "--archive", built.root, other], check=True)
    set_times(other, EPOCH + 9000)
    (other / "var/log/another.log").write_text("another build's")
    image = tmp_path / "b.img"
    assert make_disk(other, image).returncode == 0
    assert subprocess.run(["cmp", built.image, image], check=False).returncode == 0


def test_a_bad_folder_is_refused_with_a_message(built: Built, tmp_path: Path) -> None:
    large = tmp_path / "root"
    for name, size in (("etc/fstab", 0), ("boot/firmware/config.txt", 0), ("boot/firmware/large", 200 * MIB)):
        (large / name).parent.mkdir(parents=True, exist_ok=True)
        (large / name).touch()
        os.truncate(large / name, size)
    for root, sentence in (
        (tmp_path, "is not a finished root"),
        (large, "Disk full"),
    ):
        done = make_disk(root, tmp_path / "c.img")
        assert done.returncode != 0
        assert sentence in done.stderr.splitlines()[-1]
        assert not list(tmp_path.glob("*c.img*"))


def test_an_unsuitable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.img").write_bytes(b"x" * 4096)
    for total, sentence in (("0" * 64, "it is another file, or damaged"), ("", "does not have the two partitions")):
        done = unpack(tmp_path / "card.img", total, tmp_path / "root")
        assert (done.returncode, sentence in done.stderr) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == {"card.img"}


@pytest.mark.slow
@pytest.mark.root
def test_the_vendors_first_boot_is_disabled(built: Built, tmp_path: Path) -> None:
    """In a root that the role makes from an image of Raspberry Pi OS: it boots our partition with systemd."""
    with (tmp_path / "card.img.xz").open("wb") as packed:
        subprocess.run(["xz", "-0", "--stdout", built.image], stdout=packed, check=True)
    settings = {"__image_stage": str(tmp_path), "image_from": f"{tmp_path}/card.img.xz"}
    include = [
        "-m",
        "ansible.builtin.include_role",
        "-a",
        "name=image tasks_from=raspberry",
        "-e",
        json.dumps(settings),
    ]
    command = [str(Path(sys.executable).with_name("ansible")), "localhost", *include]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    root = tmp_path / "root"
    states = subprocess.run(["systemctl", f"--root={root}", "is-enabled", *VENDOR], capture_output=True, check=False)
    assert states.stdout.split() == [b"masked"] * len(VENDOR)
    words = (root / "boot/firmware/cmdline.txt").read_text().split()
    assert [word for word in words if word.startswith("root=")] == ["root=PARTUUID=6d796e6e-02"]
    assert not [word for word in words if word.startswith(("init=", "systemd.")) or word == "resize"]
    assert {"rootwait", "cfg80211.ieee80211_regdom=GB"} <= set(words)


def release(built: Built, dist: Path, path: str = os.environ["PATH"], **other: Any) -> subprocess.CompletedProcess[str]:
    about = {"image": str(built.image), "root": str(built.root), "dist": str(dist), "version": "0.1"}
    about |= {
        "name": "mynn-pi-zero",
        "title": "A classroom",
        "pis": "Raspberry Pi Zero, Zero W or 1",
        "tried": "Pi Zero",
    }
    handed = json.dumps(about | {"epoch": EPOCH, "usual": True, "devices": ["pi1-32bit"]} | other)
    command = [sys.executable, "-m", "mynn_control.image_release", handed]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dist(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "dist"
    done = release(built, path)
    assert done.returncode == 0, done.stderr
    assert f"The image is {path}/{STEM}.img.xz (" in done.stdout
    assert str(path) not in (path / f"{STEM}.md").read_text(), "notes are given to others"
    return path


def test_imager_accepts_image_and_repository(built: Built, dist: Path, tmp_path: Path) -> None:
    images = downloaded((dist / MANIFEST).as_uri(), tmp_path)
    # With no device of its own, Imager's first screen is empty, and goes no further.
    assert list(images) == ["Raspberry Pi Zero, Zero W or 1"]
    assert images["Raspberry Pi Zero, Zero W or 1"].read_bytes() == built.image.read_bytes()
    told = json.loads((dist / MANIFEST).read_text())
    assert told["os_list"][0]["devices"] == ["pi1-32bit"]
    assert told["os_list"][0]["release_date"] == "2024-10-04"
    # Imager's own xz has no other filter than this.
    packed = dist / f"{STEM}.img.xz"
    output = subprocess.run(["xz", "--list", "--robot", "-vv", packed], check=True, capture_output=True, text=True)
    blocks = [line.split("\t")[-1].split("=")[0] for line in output.stdout.splitlines() if line.startswith("block")]
    assert len(blocks) > 1
    assert set(blocks) == {"--lzma2"}


def test_the_list_has_exactly_the_installed_packages(dist: Path) -> None:
    text = (dist / f"{STEM}.cdx.json").read_text()
    packages = [entry for entry in json.loads(text)["components"] if "arch=source" not in entry["purl"]]
    assert {entry["name"]: entry["version"] for entry in packages} == {
        "python3-numpy": "1:2.2.4+ds-1+b2",
        "notebook": "7.6.0",
    }
    assert "pkg:pypi/notebook@7.6.0" in [entry["purl"] for entry in packages]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "all 2 packages" in (dist / f"{STEM}.md").read_text()


def test_the_same_image_gives_the_same_bytes(built: Built, dist: Path, tmp_path: Path) -> None:
    assert release(built, tmp_path).returncode == 0
    for path in dist.iterdir():
        other = (tmp_path / path.name).read_bytes()
        assert other.replace(tmp_path.as_uri().encode(), dist.as_uri().encode()) == path.read_bytes()


def test_a_failure_leaves_nothing_and_is_explained(built: Built, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "xz").write_text("#!/bin/sh\necho no room on the disk >&2\nexit 1\n")
    (tools / "xz").chmod(0o755)
    done = release(built, tmp_path / "dist", f"{tools}:{os.environ['PATH']}")
    assert (done.returncode, "no room on the disk" in done.stderr) == (1, True)
    assert list((tmp_path / "dist").iterdir()) == []
