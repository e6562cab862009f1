"""The report on a class's Pis that can be sent to the project: what it tells, and what it never tells."""

import json
from pathlib import Path
from typing import Any

from mynn_control import class_report
from mynn_control.results import Check, PiResult
from tests.support.desk import served
from tests.unit.control.test_desk_pis import state

SECRETS = ("Ada", "pi07", "192.168.1.7", "ssh-ed25519", "sunflower7")
STRANGE = " ".join(SECRETS)


def columns(result: PiResult | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "state": state(**changes),
        "verified": result and {**vars(result), "checks": list(map(vars, result.checks))},
    }


def test_a_report_tells_model_times_and_failed_checks() -> None:
    zero = {"name": "Debian GNU/Linux 13 (trixie)", "kernel": "6.12.113+deb13-rpi", "machine": "armv6l"}
    figures = {"smoke_accuracy": 0.83, "smoke_seconds": 2.5, "kernel": "compiled"}
    result = PiResult("pi07.local")
    result.checks = [
        Check("Jupyter", "test_it_runs_a_cell", "", seconds=21.3),
        Check("mynn", "test_it_learns", "", seconds=9.0, figures=figures),
        Check("Card", "test_card_has_room[pi07-ada]", "", outcome="fails", reason="Ada's files fill it."),
    ]
    model = {"model": "Raspberry Pi Zero W Rev 1.1"}
    report = class_report.report({"pi07.local": columns(result, system=zero | model), "off": columns() | {"state": {}}})
    assert json.loads(report) == {
        "pis": [
            {
                "model": "Raspberry Pi Zero W Rev 1.1",
                "system": "Debian GNU/Linux 13",
                "linux": "6.12.113",
                "machine": "armv6l",
                "mynn": "0.1.0",
                "memory_mb": 447,
                "card_mb": 7600,
                "figures": {"smoke_accuracy": 0.83, "smoke_seconds": 2.5},
                "seconds": {"test_it_runs_a_cell": 21.3, "test_it_learns": 9.0},
                "failed": ["test_card_has_room"],
            }
        ]
    }


def test_a_report_never_tells_a_name_an_address_or_a_key() -> None:
    """Whatever a Pi says, even behind a model that is known."""
    for text in (STRANGE, f"Raspberry Pi 5 {STRANGE}", f"Debian GNU/Linux 13{STRANGE}", f"6.12.{STRANGE}"):
        result = PiResult("pi07.local", checks=[Check(text, text, text, figures={text: 1.0, "smoke_seconds": text})])
        others: dict[str, Any] = {name: {text: text} for name in ("pristine", "servers", "records")}
        others |= {"versions": {"mynn": text}, "failed": [text], "lessons": {text: {"missing": [text]}}}
        system = dict.fromkeys(("name", "kernel", "machine", "model"), text)
        report = class_report.report({"pi07.local": columns(result, system=system, **others)})
        assert not [secret for secret in SECRETS if secret in report]
        assert len(json.loads(report)["pis"]) == 1


def test_the_desk_offers_it(tmp_path: Path) -> None:
    with served(tmp_path) as desk:
        desk.desk.database.save_report(
            "pi01", asked=1.0, lost="", heard=1.0, state=state(), lessons=str(tmp_path), room=250
        )
        answer = desk.ask("/class-report.json")
        assert answer.json()["pis"][0]["model"] == "Raspberry Pi Zero"
        desk.answer("pi01", {"student": (None, None)})
        assert 'href="/class-report.json" download' in desk.ask("/pis").text
