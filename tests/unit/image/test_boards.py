"""The table of images in roles/image/vars/main.yml: each board has one, and all that it is made of is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.image import TABLE
from tests.support.programs import ROOT
from tests.virtual.board import MACHINES

ROLE = ROOT / "roles/image"
BOARDS = [board for row in TABLE for board in row["boards"]]
ADD_SUITE = ROLE / "files/add_suite"

every_image = pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row["boards"]))


def test_each_board_has_one_image_and_can_be_chosen() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text("utf-8"))["argument_specs"]["main"]["options"]
    assert options["image_board"]["choices"] == BOARDS
    assert len(set(BOARDS)) == len(BOARDS)
    cards = yaml.safe_load((ROOT / "roles/cards/meta/argument_specs.yml").read_text("utf-8"))["argument_specs"]["main"]
    assert cards["options"]["board"]["choices"] == ["", *BOARDS]
    named = yaml.safe_load((ROOT / "playbooks/group_vars/all/boards.yml").read_text("utf-8"))["boards"]
    assert list(named) == BOARDS
    [comment] = re.findall(r"^image: .*BOARD=(.*)\)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert re.split(", | or ", comment) == BOARDS


@every_image
def test_imager_offers_it_for_pis_of_its_architecture(row: dict[str, Any]) -> None:
    """Imager calls a Zero 2 W pi3, and a 400 and 500 pi4 and pi5 (os_list_imagingutility_v4.json)."""
    width = "64" if row["architecture"] == "arm64" else "32"
    called = {"zero": "pi1", "zero2w": "pi3"}
    pis = dict.fromkeys(called.get(board, f"pi{board}") for board in row["boards"])
    assert row["devices"] == [f"{pi}-{width}bit" for pi in pis]


@every_image
def test_what_it_is_made_of_is_there(row: dict[str, Any]) -> None:
    assert [name for name in row["settings"] if not (ROLE / "files" / name).is_dir()] == []
    assert row["kernel"].rpartition("-")[2] in MACHINES, "make board would not know which Pi to emulate"
    program = MACHINES[row["kernel"].rpartition("-")[2]].program
    assert program == {"arm": "qemu-system-arm", "aarch64": "qemu-system-aarch64"}[row["emulator"]]


def test_backports_come_from_where_the_suite_comes(tmp_path: Path) -> None:
    sources = tmp_path / "etc/apt/sources.list"
    sources.parent.mkdir(parents=True)
    lines = "deb [trusted=yes] http://mirror.test/debian trixie main non-free-firmware\n"
    lines += "deb http://mirror.test/debian trixie-updates main non-free-firmware\n"
    sources.write_text(lines)
    subprocess.run([ADD_SUITE, tmp_path, "trixie", "trixie-backports"], check=True)
    assert sources.read_text() == lines + "deb [trusted=yes] http://mirror.test/debian trixie-backports main\n"
