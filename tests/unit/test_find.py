"""The list of Pis: as a teacher writes it, and as `make find` proposes it."""

from pathlib import Path

import pytest

from playbooks import find
from playbooks.find import Found, hosts_in, lines

THIRTY = [f"pi{number:02}.local" for number in range(1, 31)]


def test_a_range_stands_for_thirty(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.ini"
    text = Path("inventory.ini").read_text(encoding="utf-8")
    inventory.write_text(text.replace("# pi01.local", "pi[01:30].local"), encoding="utf-8")
    assert hosts_in(str(inventory)) == THIRTY


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this computer find pi01.local only."""
    monkeypatch.setattr(find, "is_resolved", lambda name: name == "pi01.local")


def test_what_this_computer_finds_by_its_name_needs_no_address() -> None:
    found = {
        "pi01": Found({"10.0.0.1"}, True, True),
        "pi10": Found({"10.0.0.10"}, True),
        "pi2": Found({"10.0.0.2"}, True),
    }
    assert lines(found, []) == [
        "pi01.local   # 10.0.0.1: is a notebook server",
        "pi2 ansible_host=10.0.0.2   # 10.0.0.2: is no notebook server yet",
        "pi10 ansible_host=10.0.0.10   # 10.0.0.10: is no notebook server yet",
    ]


def test_a_card_without_a_name_gets_one_that_nobody_has() -> None:
    found = {"raspberrypi": Found({"10.0.0.9"}, True), "pi01": Found({"10.0.0.1"}, True, True)}
    assert lines(found, ["pi02.local"])[1] == (
        "pi03 ansible_host=10.0.0.9   # 10.0.0.9: is called raspberrypi and gets this name"
    )


def test_what_need_not_be_a_pi_and_what_is_known_are_comments() -> None:
    found = {"laptop": Found({"10.0.0.7"}), "pi01": Found({"10.0.0.1"}, True, True)}
    assert all(line.startswith("# ") for line in lines(found, ["pi01"]))
