"""The report on a class's Pis that can be sent to the project: what it tells, and what it never tells."""

import json
from pathlib import Path
from typing import Any

import pytest

from mynn_control import class_report
from mynn_control.results import Check
from tests.support.desk import served
from tests.unit.control.test_desk_pis import state

SECRETS = ("Ada", "pi07", "192.168.1.7", "ssh-ed25519", "sunflower7")
STRANGE = " ".join(SECRETS)


def columns(*checks: Check, **changes: Any) -> dict[str, Any]:
    verified = {"pi": "pi07.local", "lost": "", "checks": list(map(vars, checks))}
    return {"state": state(**changes), "verified": verified}


def test_a_report_tells_model_times_and_failed_checks() -> None:
    zero = {"name": "Debian GNU/Linux 13 (trixie)", "kernel": "6.12.113+deb13-rpi", "machine": "armv6l"}
    learns = Check("mynn", "test_it_learns", "", seconds=9.0, figures={"smoke_accuracy": 0.83, "kernel": "compiled"})
    room = Check("Card", "test_card_has_room[pi07-ada]", "", outcome="fails", reason="Ada's files fill it.")
    silent: dict[str, Any] = {"state": {}, "verified": None}
    one = columns(learns, room, system=zero | {"model": "Raspberry Pi Zero W Rev 1.1"})
    [told] = json.loads(class_report.report({"pi07.local": one, "off": silent}))["pis"]
    system = {"name": "Debian GNU/Linux 13", "kernel": "6.12.113", "machine": "armv6l"}
    assert told.pop("system") == system | {"model": "Raspberry Pi Zero W Rev 1.1"}
    assert told.pop("figures") == {"smoke_accuracy": 0.83}
    assert told.pop("seconds") == {"test_it_learns": 9.0}
    assert told.pop("failed") == ["test_card_has_room"]
    assert told == {"mynn": "0.1.0", "memory_mb": 447, "card_mb": 7600}


@pytest.mark.parametrize("begin", ["", "Raspberry Pi 5 ", "Debian GNU/Linux 13", "6.12."])
def test_a_report_never_tells_a_name_an_address_or_a_key(begin: str) -> None:
    """Whatever a Pi says, even behind something that is known."""
    text = begin + STRANGE
    system = dict.fromkeys(("name", "kernel", "machine", "model"), text)
    check = Check(text, f"test_it[{text}]", text, figures={text: 1.0, "smoke_seconds": text})
    others = {"versions": {"mynn": text}, "failed": [text], "lessons": {text: {"missing": [text]}}}
    report = class_report.report({"pi07.local": columns(check, system=system, **others)})
    assert "test_it" in report
    assert not [secret for secret in SECRETS if secret in report]


def test_the_desk_offers_it(tmp_path: Path) -> None:
    with served(tmp_path) as desk:
        told = {"state": state(), "lessons": str(tmp_path), "room": 250}
        desk.desk.database.save_report("pi01", asked=1.0, lost="", heard=1.0, **told)
        assert desk.ask("/class-report.json").json()["pis"][0]["system"]["model"] == "Raspberry Pi Zero"
        desk.answer("pi01", {"student": (None, None)})
        assert 'href="/class-report.json" download' in desk.ask("/pis").text
