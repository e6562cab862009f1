"""Sheets of labels to print, one label for each Pi and student, on A4 and on Letter.

labels.py FOLDER < PIS.json

PIS.json is a list of objects: `name`, `model` (such as Pi 4; empty if it is not known), `students` (as the filter
classroom_students returns them), `password` (empty: it is in the student's password file). The labels have the size of
those on shops' sheets of fourteen (99.1 by 38.1 mm on A4; 4 by 1⅓ inches on Letter); they can also be printed on paper
and cut.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from reportlab.graphics import renderPDF
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.units import inch, mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from ansible_collections.mynn.pi.plugins.module_utils.files import replacing

COLUMNS, ROWS = 2, 7
SOFT, INK, LINE = 0.40, 0.10, 0.75  # greys: 0 is black
PLAIN, BOLD, FIXED = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold"  # they cover most alphabets


@dataclass(frozen=True)
class Sheet:
    """A sheet of paper: its size, a label's size, and the first label's distance from the left and the top."""

    name: str
    size: tuple[float, float]
    label: tuple[float, float]
    left: float
    top: float
    pitch: float  # from one label's left side to the next one's


SHEETS = [
    Sheet("A4", A4, (99.06 * mm, 38.1 * mm), 4.67 * mm, 15.15 * mm, 101.6 * mm),
    Sheet("Letter", LETTER, (4 * inch, 4 / 3 * inch), 0.15625 * inch, 5 / 6 * inch, 4.1875 * inch),
]


@dataclass(frozen=True)
class Label:
    """The text of one label."""

    pi: str
    model: str
    url: str
    student: str
    password: str


def labels_of(pis: list[dict[str, Any]]) -> tuple[list[Label], list[str]]:
    """Return the labels, and a sentence for each that is left out because it has no password yet."""
    labels, lacking = [], []
    for pi in pis:
        for student in pi["students"]:
            path = student["password_file"]
            if password := pi["password"] or password_in(Path(path)):
                labels.append(Label(pi["name"], pi["model"], student["url"], student["name"], password))
            else:
                lacking.append(
                    f"No label for {student['name']} on {pi['name']}: {path} holds no password yet. "
                    "Run `make site`, then `make labels` again."
                )
    return labels, lacking


def password_in(path: Path) -> str:
    """Return the password in a file, or nothing if there is no file."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def draw(labels: list[Label], sheet: Sheet, path: Path) -> int:
    """Write the sheets as one PDF. Returns their number."""
    per_page = COLUMNS * ROWS
    pages = -(-len(labels) // per_page)
    width, height = sheet.label
    with replacing(path, mode=0o600) as file:
        canvas = Canvas(file, pagesize=sheet.size, pageCompression=1)
        canvas.setTitle("The classroom's labels")
        for page in range(pages):
            _heading(canvas, sheet, page + 1, pages)
            for number, label in enumerate(labels[page * per_page : (page + 1) * per_page]):
                row, column = divmod(number, COLUMNS)
                x = sheet.left + column * sheet.pitch
                y = sheet.size[1] - sheet.top - (row + 1) * height
                canvas.saveState()
                canvas.translate(x, y)
                _label(canvas, label, width, height)
                canvas.restoreState()
            canvas.showPage()
        canvas.save()
    return pages


def _heading(canvas: Canvas, sheet: Sheet, page: int, pages: int) -> None:
    canvas.setFillGray(SOFT)
    canvas.setFont(PLAIN, 7)
    inches = sheet.name == "Letter"
    size = "4 × 1⅓ inches" if inches else "99.1 × 38.1 mm"
    y = sheet.size[1] - sheet.top + 3 * mm
    canvas.drawString(12 * mm, y, f"Print at 100 % (“actual size”), on paper or on sheets of 14 labels of {size}.")
    canvas.drawRightString(sheet.size[0] - 12 * mm, y, f"Passwords are on this sheet: keep it safe. {page} of {pages}")


def _label(canvas: Canvas, label: Label, width: float, height: float) -> None:
    """Draw one label, its lower left corner being the origin."""
    canvas.setStrokeGray(LINE)
    canvas.setLineWidth(0.4)
    canvas.rect(0, 0, width, height)
    # Leave room for an imprecise printer or scissors.
    edge = 3 * mm
    side = height - 2 * edge
    _code(canvas, label.url, edge, edge, side)
    x = edge + side + 2 * mm
    room = width - edge - x
    model = pdfmetrics.stringWidth(label.model, PLAIN, 9)
    canvas.setFillGray(SOFT)
    canvas.setFont(PLAIN, 9)
    canvas.drawRightString(x + room, 0.77 * height, label.model)
    _text(canvas, BOLD, 15, INK, label.pi, x, 0.77 * height, room - model - (2 * mm if model else 0))
    _text(canvas, PLAIN, 9, INK, label.url, x, 0.62 * height, room)
    names = 17 * mm
    for name, font, size, value, y in [
        ("account", PLAIN, 9, label.student, 0.42 * height),
        ("password", FIXED, 14, label.password, 0.2 * height),
    ]:
        _text(canvas, PLAIN, 7.5, SOFT, name, x, y, names)
        _text(canvas, font, size, INK, value, x + names, y, room - names)


def _code(canvas: Canvas, text: str, x: float, y: float, side: float) -> None:
    """Draw a QR code with the quiet zone of four modules around it."""
    code = QrCodeWidget(text, barLevel="M", barBorder=4, barWidth=side, barHeight=side)
    drawing = Drawing(side, side)
    drawing.add(code)
    renderPDF.draw(drawing, canvas, x, y)


def _text(canvas: Canvas, font: str, size: float, grey: float, text: str, x: float, y: float, room: float) -> None:
    """Write a line, smaller where it would not fit."""
    fits = min(size, size * room / max(pdfmetrics.stringWidth(text, font, size), 1))
    canvas.setFillGray(grey)
    canvas.setFont(font, fits)
    canvas.drawString(x, y, text)


def main(folder: Path) -> None:
    """Read the Pis, and write the sheets. SystemExit: there is no label, with the reason."""
    labels, lacking = labels_of(json.load(sys.stdin))
    if not labels:
        sys.exit("\n".join(lacking) or "There is no Pi in the inventory, so there are no labels.")
    for font in (PLAIN, BOLD, FIXED):
        pdfmetrics.registerFont(TTFont(font, Path(matplotlib.get_data_path(), f"fonts/ttf/{font}.ttf")))
    folder.mkdir(parents=True, exist_ok=True)
    for sheet in SHEETS:
        path = folder / f"labels-{sheet.name}.pdf"
        pages = draw(labels, sheet, path)
        print(f"{path}: {_many(len(labels), 'label')} on {_many(pages, 'sheet')}")
    print(*lacking, sep="\n")


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
