"""The release files of an image: roles/image/files/release.py."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.programs import ROOT
from tests.unit.image.rootfs import EPOCH

RELEASE = ROOT / "roles/image/files/release.py"
STEM = "mynn-pi-zero-0.1"
ZERO = ("--pis=Raspberry Pi Zero, Zero W or 1", "--device=pi1-32bit", "--tried=Pi Zero")
MIB = 1 << 20
# The fields of an operating system in a Raspberry Pi Imager repository, with a type and a pattern each: the facts of
# its published schema (raspberrypi/rpi-imager, doc/json-schema/os-list-schema.json at commit 72ad1179ff46).
REQUIRED: dict[str, tuple[type, str]] = {
    "name": (str, r".+"),
    "description": (str, r".+"),
    "icon": (str, r"(https?|file)://.+\.(svg|png)"),
    "url": (str, r"(https?|file)://.+\.(zip|gz|xz)"),
    "extract_size": (int, r"[1-9]\d*"),
    "extract_sha256": (str, r"[0-9a-f]{64}"),
    "image_download_size": (int, r"[1-9]\d*"),
    "release_date": (str, r"\d{4}-\d\d-\d\d"),
    "devices": (list, r"\['pi[1-5]-(32|64)bit'.*\]"),
}
OPTIONAL: dict[str, tuple[type, str]] = {
    "image_download_sha256": (str, r"[0-9a-f]{64}"),
    "init_format": (str, r"none|systemd|cloudinit|cloudinit-rpi|rpi-preseed"),
    "website": (str, r"https?://.+"),
}
COMPONENTS = [
    {"type": "operating-system", "name": "debian", "version": "13.2"},
    {"type": "library", "name": "linux-image-6.12.107+deb13-rpi", "version": "6.12.107-1"},
    {"type": "library", "name": "python3-numpy", "version": "1:2.2.4+ds-1"},
    {"type": "library", "name": "notebook", "version": "7.6.0"},
]


def check_repository(text: str) -> dict[str, Any]:
    """Check a repository against Imager's schema, and return the entry with Imager's settings."""
    listing = json.loads(text)
    assert list(listing) == ["os_list"]
    for entry in listing["os_list"]:
        assert REQUIRED.keys() <= entry.keys()
        assert entry.keys() <= REQUIRED.keys() | OPTIONAL.keys()
        for key, value in entry.items():
            kind, pattern = (REQUIRED | OPTIONAL)[key]
            assert type(value) is kind, key
            assert re.fullmatch(pattern, str(value)), key
        date.fromisoformat(entry["release_date"])
    ours, older = listing["os_list"]
    assert (ours["init_format"], older["init_format"]) == ("rpi-preseed", "none")
    assert "2.0.11" in older["name"]
    different = {key for key in ours if ours[key] != older[key]}
    assert different == {"name", "init_format"}
    return dict(ours)


def run(image: Path, dist: Path, *options: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    wanted = ["--name=mynn-pi-zero", "--version=0.1", f"--epoch={EPOCH}", "--preset=0", *(options or ZERO)]
    command = [sys.executable, str(RELEASE), str(image), str(dist), *wanted]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a sparse file of 96 MiB with three chunks of data."""
    path = tmp_path_factory.mktemp("image") / "card.img"
    with path.open("wb") as file:
        for place in (0, 4, 40):
            file.seek(place * MIB)
            file.write(b"".join(struct.pack("<I", number * number % (1 << 32)) for number in range(MIB // 4)))
        file.truncate(96 * MIB)
    return path


def new_dist(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / f"{STEM}.cdx.json").write_text(json.dumps({"components": COMPONENTS}))
    return path


@pytest.fixture(scope="module")
def dist(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_dist(tmp_path_factory.mktemp("release") / "dist")
    done = run(image, path)
    assert done.returncode == 0, done.stderr
    return path


def test_exactly_these_files_are_written(dist: Path) -> None:
    ends = ["cdx.json", "img.bmap", "img.xz", "img.xz.sha256", "md", "rpi-imager-manifest", "svg"]
    assert sorted(path.name for path in dist.iterdir()) == [f"{STEM}.{end}" for end in ends]


def test_the_image_unpacks_and_its_checksum_is_right(image: Path, dist: Path) -> None:
    assert lzma.decompress((dist / f"{STEM}.img.xz").read_bytes()) == image.read_bytes()
    subprocess.run(["sha256sum", "--check", f"{STEM}.img.xz.sha256"], cwd=dist, check=True, stdout=subprocess.PIPE)


def test_imager_supports_the_compression(dist: Path) -> None:
    output = subprocess.run(
        ["xz", "--list", "--robot", "-vv", dist / f"{STEM}.img.xz"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    filters = {line.split("\t")[-1].split("=")[0] for line in output.splitlines() if line.startswith("block")}
    assert filters == {"--lzma2"}
    assert sum(line.startswith("block") for line in output.splitlines()) == 96 // 16


def test_bmaptool_can_write_a_card(image: Path, dist: Path, tmp_path: Path) -> None:
    card = tmp_path / "card"
    command: list[str | Path] = ["bmaptool", "copy", "--bmap", dist / f"{STEM}.img.bmap", dist / f"{STEM}.img.xz", card]
    subprocess.run(command, check=True, capture_output=True)
    assert card.read_bytes() == image.read_bytes()
    assert f"<MappedBlocksCount> {3 * MIB // 4096} " in (dist / f"{STEM}.img.bmap").read_text()


def test_imager_accepts_the_repository(image: Path, dist: Path) -> None:
    entry = check_repository((dist / f"{STEM}.rpi-imager-manifest").read_text())
    packed = dist / f"{STEM}.img.xz"
    assert entry["url"] == packed.as_uri()
    assert entry["icon"] == (dist / f"{STEM}.svg").as_uri()
    assert entry["extract_size"] == 96 * MIB
    assert entry["extract_sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert entry["image_download_size"] == packed.stat().st_size
    assert entry["image_download_sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert entry["devices"] == ["pi1-32bit"]
    assert entry["release_date"] == "2024-10-04"


def test_older_imagers_list_the_image_too(dist: Path) -> None:
    """From 2.0.2 to 2.0.10, Imager hides entries with other formats than these (src/oslistmodel.cpp)."""
    entries = json.loads((dist / f"{STEM}.rpi-imager-manifest").read_text())["os_list"]
    known = {"", "systemd", "cloudinit", "cloudinit-rpi", "none"}
    assert [entry["name"] for entry in entries if entry["init_format"] in known] == [entries[1]["name"]]


def test_the_icon_is_40_by_40_pixels(dist: Path) -> None:
    icon = ElementTree.parse(dist / f"{STEM}.svg").getroot()
    assert (icon.get("width"), icon.get("height")) == ("40", "40")


def test_the_notes_describe_the_image(dist: Path) -> None:
    notes = (dist / f"{STEM}.md").read_text()
    for line in ("| Debian | 13.2 |", "| Linux | 6.12.107 |", "| numpy | 2.2.4 |", "| Notebook | 7.6.0 |"):
        assert line in notes.splitlines()
    assert "Raspberry Pi Zero, Zero W or 1" in notes
    assert "started on an emulated Pi Zero" in notes
    assert "all 3 packages" in notes
    assert (dist / f"{STEM}.img.xz.sha256").read_text().split()[0] in notes
    assert "$" not in notes


def test_the_same_image_gives_the_same_bytes(image: Path, dist: Path, tmp_path: Path) -> None:
    other = new_dist(tmp_path / "dist")
    copy = tmp_path / "copy.img"
    subprocess.run(["cp", "--sparse=auto", image, copy], check=True)
    assert run(copy, other, *ZERO, f"--url={dist.as_uri()}").returncode == 0
    for path in dist.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_it_can_be_published_for_other_pis(image: Path, tmp_path: Path) -> None:
    dist = new_dist(tmp_path / "dist")
    options = ["--pis=Raspberry Pi 3, 4 or Zero 2 W", "--device=pi3-64bit", "--device=pi4-64bit", "--tried=Pi 3"]
    assert run(image, dist, *options, "--url=https://example.org/cards").returncode == 0
    entry = check_repository((dist / f"{STEM}.rpi-imager-manifest").read_text())
    assert entry["url"] == f"https://example.org/cards/{STEM}.img.xz"
    assert entry["devices"] == ["pi3-64bit", "pi4-64bit"]
    notes = (dist / f"{STEM}.md").read_text()
    assert "It turns a Raspberry Pi 3, 4 or Zero 2 W\n" in notes
    assert "started on an emulated Pi 3 only, " in notes


def test_bad_input_is_refused_with_a_message(image: Path, tmp_path: Path) -> None:
    dist = new_dist(tmp_path / "dist")
    before = list(dist.iterdir())
    tools = tmp_path / "tools"
    tools.mkdir()
    assert "apt install bmap-tools xz-utils" in run(image, dist, path=str(tools)).stderr
    assert "none.img could not be read" in run(tmp_path / "none.img", dist).stderr
    (tools / "xz").write_text("#!/bin/sh\necho no room on the disk >&2\nexit 1\n")
    (tools / "xz").chmod(0o755)
    (tools / "bmaptool").symlink_to(shutil.which("bmaptool") or "/nowhere")
    assert "no room on the disk" in run(image, dist, path=f"{tools}:{os.environ['PATH']}").stderr
    assert list(dist.iterdir()) == before
    before[0].unlink()
    assert "let manifest.py make it first" in run(image, dist).stderr
    assert list(dist.iterdir()) == []
