"""Printable labels (HTML), one for each Pi and student, on A4 and on Letter sheets.

python -m mynn_control.labels FOLDER DESK < PIS.json

DESK is the desk's folder, with the database of pupils' names. PIS.json is a list of objects: `name`, `model` (such as
Pi 4; "" if unknown), `students` (from the filter classroom_students), `password` ("": it is in the student's password
file). The labels fit common label sheets with fourteen labels (99.1 by 38.1 mm on A4; 4 by 1⅓ inches on Letter); they
can also be printed on plain paper and cut.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segno

from ansible_collections.mynn.pi.plugins.module_utils.system import desks_summary
from mynn.files import write_text
from mynn_control.desk.database import Database, Seat
from mynn_control.render import render
from mynn_control.translation import N_, _, ngettext

A_SHEET = 14  # labels per sheet


@dataclass(frozen=True)
class Paper:
    """A sheet of labels, in mm. place: left and top of the first label; gap: between columns."""

    name: str
    size: tuple[float, float]
    label: tuple[float, float]
    place: tuple[float, float]
    gap: float
    wording: str


PAPERS = [
    Paper("A4", (210, 297), (99.06, 38.1), (4.67, 15.15), 2.54, N_("99.1 × 38.1 mm")),
    Paper("Letter", (215.9, 279.4), (101.6, 33.867), (3.969, 21.167), 4.763, N_("4 × 1⅓ inches")),
]


@dataclass(frozen=True)
class Label:
    """The text of a label. student: "" unless students share the Pi, since the page does not ask for an account."""

    pi: str
    model: str
    url: str
    student: str
    password: str
    name: str = ""  # of the pupil

    @property
    def code(self) -> str:
        """The QR code of the page's URL, as a data URI, with the required margin of four modules."""
        return str(segno.make_qr(self.url, error="m").svg_data_uri(border=4, omitsize=True))


def labels_of(pis: list[dict[str, Any]], names: Mapping[Seat, str]) -> tuple[list[Label], list[str]]:
    """Return the labels, and a sentence for each student who has no password yet and gets no label."""
    labels, lacking = [], []
    for pi in pis:
        for student in pi["students"]:
            path = Path(student["password_file"])
            if password := pi["password"] or (path.read_text(encoding="utf-8").strip() if path.exists() else ""):
                shared = student["name"] if len(pi["students"]) > 1 else ""
                name = names.get((pi["name"], student["name"]), "")
                labels.append(Label(pi["name"], pi["model"], student["url"], shared, password, name))
            else:
                sentence = _(
                    "No label for {student} on {pi}: it has no password yet. Run `make site`, then `make labels` again."
                )
                lacking.append(sentence.format(student=student["name"], pi=pi["name"]))
    return labels, lacking


def main(folder: Path, desk: Path) -> None:
    """Read the Pis from stdin, and write the sheets. SystemExit: there are no labels; the message says why."""
    path = desk / "memory.sqlite"
    names = Database(path).names() if path.exists() else {}
    labels, lacking = labels_of(json.load(sys.stdin), names)
    if not labels:
        sys.exit("\n".join(lacking) or _("There is no Pi in the inventory, so there are no labels."))
    folder.mkdir(parents=True, exist_ok=True)
    sheets = [labels[first : first + A_SHEET] for first in range(0, len(labels), A_SHEET)]
    for paper in PAPERS:
        path = folder / f"labels-{paper.name}.html"
        write_text(path, render("labels", {"paper": paper, "size": _(paper.wording), "sheets": sheets}), mode=0o600)
        many = ngettext("{count} label", "{count} labels", len(labels)).format(count=len(labels))
        some = ngettext("{count} sheet", "{count} sheets", len(sheets)).format(count=len(sheets))
        place = paper.name if desks_summary() else path  # the desk's pages name no path
        print(_("{path}: {labels} on {sheets}").format(path=place, labels=many, sheets=some))
    print(_("Print them from a browser, at 100 % and without margins."), *lacking, sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
