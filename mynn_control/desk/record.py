"""Save the Pis' reports in the desk's database: playbooks/tasks/report.yml runs this.

python -m mynn_control.desk.record FOLDER < RUN.json

RUN.json comes from the playbook: `lessons` (folder on this computer), `asked` (for each Pi that was asked, its `state`
from the module pi_state, or why it is `lost`), `room` (MB that the next run needs on a card), `verified` (names of the
Pis that were verified, if any) and `results` (folder with their results). FOLDER holds the desk's database. It keeps
each Pi's last answer, so a Pi that is off is shown as it last was.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.schema import misfit
from ansible_collections.mynn.pi.plugins.module_utils.system import desks_summary
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn.files import write_text
from mynn_control import class_report
from mynn_control.desk.database import Database
from mynn_control.desk.monitor import STRANGE_KEY
from mynn_control.desk.pis import rows
from mynn_control.report_schemas import FIGURES, STATE
from mynn_control.results import PiResult, load, save
from mynn_control.translation import _, colon, safe


def columns_of(name: str, now: float, answer: dict[str, Any], result: PiResult | None = None) -> dict[str, Any]:
    """Return the columns to save for a Pi that was asked: checked against the schema, without passwords."""
    state, lost = answer["state"], answer["lost"] and in_words(name, str(answer["lost"]))
    if state != {} and (wrong := misfit(state, STATE)):
        sentence = _("{pi} reported an invalid state ({reason}). Flash its card again.")
        state, lost = {}, sentence.format(pi=name, reason=wrong)
    new = {"asked": now, "lost": safe((result.lost if result else "") or lost)}
    if state:
        new |= {"state": {name: state[name] for name in STATE["properties"] if name in state}, "heard": now}
    if result and not result.lost:
        new |= {"verified": asdict(result), "verified_when": now}
    return new


def result_from(name: str, folder: Path) -> PiResult:
    """Return a Pi's verification, or an error as the result if its figures do not match the schema."""
    result = load(name, folder)
    wrong = misfit(result.figures, FIGURES)
    sentence = _("{pi} reported impossible measurements ({reason}). Flash its card again.")
    return PiResult(name, sentence.format(pi=name, reason=wrong)) if wrong else result


def in_words(name: str, error: str) -> str:
    """Return a sentence for the teacher from Ansible's error about a Pi that did not answer."""
    last = printable(error.strip().splitlines()[-1]) if error.strip() else _("no answer")
    if "sudo" in error or "become" in error:
        sentence = _("sudo on {pi} wants a password ({reason}). See “When sudo wants a password” in the manual.")
    elif STRANGE_KEY.search(error):
        sentence = _("{pi} has another SSH host key than before ({reason}). The desk’s tab Pis can forget the old one.")
    else:
        sentence = _("{pi} does not answer over SSH ({reason}). Check that it is switched on and on the network.")
    return sentence.format(pi=name, reason=last)


def main(folder: Path) -> None:
    """Save the Pis' answers, and print what a teacher should know at once."""
    run, now = json.load(sys.stdin), time.time()
    database, results = Database(folder / "memory.sqlite"), Path(run["results"])
    verified = {name: result_from(name, results) for name in run["verified"]}
    for name, answer in run["asked"].items():
        new = columns_of(name, now, answer, verified.get(name))
        database.save_report(name, **new, lessons=run["lessons"], room=run["room"])
    if verified:
        write_text(folder / "class-report.json", class_report.report(database.pis()), 0o600)
    for result in verified.values():
        save(result, results)  # also if the tests were cut off: the role verify reads it
    for row in rows(database.pis(), {name: {} for name in run["asked"]}):
        for what in [row.lost] if row.lost else [f"{colon(row.pi)} {fault.what}" for fault in row.grave]:
            print(safe(what))
    if not desks_summary():
        print(_("The desk (`make desk`) shows how each Pi is, and what to do; and who did which task."))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
