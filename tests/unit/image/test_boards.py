"""The table of images in roles/image/vars/main.yml: each board has one."""

from __future__ import annotations

import re

import yaml

from tests.support.image import TABLE
from tests.support.programs import ROOT

ROLE = ROOT / "roles/image"
BOARDS = [board for row in TABLE for board in row["boards"]]


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
