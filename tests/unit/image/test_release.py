"""The release files of an image: mynn_control/image_release.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.programs import ROOT
from tests.unit.image.rootfs import EPOCH, OURS

STEM = "mynn-pi-zero-0.1"
MIB = 1 << 20
# What Raspberry Pi Imager's schema asks of an operating system in a repository (raspberrypi/rpi-imager,
# doc/json-schema/os-list-schema.json at commit 72ad1179ff46).
FIELDS = {
    *("name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size"),
    *("image_download_sha256", "release_date", "devices", "init_format"),
}


def run(image: Path, root: Path, dist: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    about = {"image": str(image), "root": str(root), "dist": str(dist), "name": "mynn-pi-zero", "version": "0.1"}
    about |= {"pis": "Raspberry Pi Zero, Zero W or 1", "tried": "Pi Zero"}
    handed = json.dumps(about | {"epoch": EPOCH, "devices": ["pi1-32bit"]})
    command = [sys.executable, "-m", "mynn_control.image_release", handed]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a sparse file of 96 MiB with three chunks of data, and a root with some packages beside it."""
    path = tmp_path_factory.mktemp("image") / "card.img"
    with path.open("wb") as file:
        for place in (0, 4, 40):
            file.seek(place * MIB)
            file.write(os.urandom(MIB))
        file.truncate(96 * MIB)
    for name, content in OURS.items():
        (path.parent / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "root" / name).write_bytes(content)
    return path


@pytest.fixture(scope="module")
def dist(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "dist"
    done = run(image, image.with_name("root"), path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_card_can_be_written_with_bmaptool_and_imager(image: Path, dist: Path, tmp_path: Path) -> None:
    packed, card = dist / f"{STEM}.img.xz", tmp_path / "card"
    command: list[str | Path] = ["bmaptool", "copy", "--bmap", dist / f"{STEM}.img.bmap", packed, card]
    subprocess.run(command, check=True, capture_output=True)
    assert card.read_bytes() == image.read_bytes()
    # Imager's own xz has no other filter than this.
    output = subprocess.run(
        ["xz", "--list", "--robot", "-vv", packed], check=True, capture_output=True, text=True
    ).stdout
    blocks = [line.split("\t")[-1].split("=")[0] for line in output.splitlines() if line.startswith("block")]
    assert blocks == ["--lzma2"] * (96 // 16)


def test_imager_accepts_the_repository(image: Path, dist: Path) -> None:
    [entry] = json.loads((dist / f"{STEM}.rpi-imager-manifest").read_text())["os_list"]
    assert entry.keys() == FIELDS
    packed = dist / f"{STEM}.img.xz"
    assert (entry["url"], entry["icon"]) == (packed.as_uri(), (dist / f"{STEM}.svg").as_uri())
    assert (entry["extract_size"], entry["image_download_size"]) == (96 * MIB, packed.stat().st_size)
    assert entry["extract_sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert entry["image_download_sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert (entry["devices"], entry["init_format"]) == (["pi1-32bit"], "rpi-preseed")
    assert date.fromisoformat(entry["release_date"]) == date(2024, 10, 4)


def test_the_list_has_exactly_the_installed_packages(dist: Path) -> None:
    text = (dist / f"{STEM}.cdx.json").read_text()
    packages = [entry for entry in json.loads(text)["components"] if "arch=source" not in entry["purl"]]
    assert {entry["name"]: entry["version"] for entry in packages} == {
        "linux-image-6.12.107+deb13-rpi": "6.12.107-1",
        "python3-numpy": "1:2.2.4+ds-1+b2",
        "notebook": "7.6.0",
        "mynn": "0.1",
    }
    assert "pkg:pypi/notebook@7.6.0" in [entry["purl"] for entry in packages]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    notes = (dist / f"{STEM}.md").read_text()
    assert "It turns a Raspberry Pi Zero, Zero W or 1\n" in notes
    assert "all 4 packages" in notes


def test_the_same_image_gives_the_same_bytes(image: Path, dist: Path, tmp_path: Path) -> None:
    shutil.copytree(image.parent / "root", tmp_path / "root")
    subprocess.run(["cp", "--sparse=auto", image, tmp_path / "copy.img"], check=True)
    assert run(tmp_path / "copy.img", tmp_path / "root", tmp_path / "dist").returncode == 0
    for path in dist.iterdir():
        other = (tmp_path / "dist" / path.name).read_bytes()
        assert other.replace((tmp_path / "dist").as_uri().encode(), dist.as_uri().encode()) == path.read_bytes()


def test_a_failure_leaves_nothing_and_is_explained(image: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    root = image.with_name("root")
    (tools / "xz").write_text("#!/bin/sh\necho no room on the disk >&2\nexit 1\n")
    (tools / "xz").chmod(0o755)
    done = run(image, root, tmp_path / "dist", f"{tools}:{os.environ['PATH']}")
    assert (done.returncode, "no room on the disk" in done.stderr) == (1, True)
    assert list((tmp_path / "dist").iterdir()) == []
