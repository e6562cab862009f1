"""The catalogs of locale/: what is taken from lessons and pages, and what a translation puts back."""

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mynn.translation import LANGUAGES
from mynn_control import languages, lesson_messages, page_messages
from mynn_control.translation_faults import faults
from tests.support.programs import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted((ROOT / "mynn_server/page").glob("*.html")) + sorted((ROOT / "mynn_server/page/try").glob("*.html"))
TRANSLATED = [code for code in LANGUAGES if code != "en"]


def said(notebook: dict[str, Any]) -> list[str]:
    """Return what a lesson says."""
    file = io.BytesIO(json.dumps(notebook).encode())
    return [text for _, _, text, _ in lesson_messages.messages(file, None, None)]


class Bones(ast.NodeTransformer):
    """Leaves of Python code what no translation may change."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("" if isinstance(node.value, str) else node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant(str(sorted(ast.dump(part) for part in node.values if isinstance(part, ast.FormattedValue))))


def bones(lesson: dict[str, Any]) -> list[str]:
    """Return what no translation may change of a lesson's code."""
    cells = ["".join(cell["source"]) for cell in lesson["cells"] if cell["cell_type"] == "code"]
    return [ast.dump(Bones().visit(ast.parse(re.sub("^( *)%", r"\1#", cell, flags=re.M)))) for cell in cells]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_all_that_a_lesson_says_can_be_translated_and_nothing_else_changes(path: Path) -> None:
    """Its code stays as it is, but for strings and comments."""
    lesson = json.loads(path.read_bytes())
    assert lesson_messages.translated(lesson, lambda text, _: text) == lesson
    other = lesson_messages.translated(lesson, lambda text, _: f"Ä {text} ß")
    assert said(other) == [f"Ä {text} ß" for text in said(lesson)]
    catalogs = [languages.read(code, "lessons") for code in TRANSLATED]
    in_others = [json.loads(languages.lesson(path, languages.texts_of(one))) for one in catalogs]
    assert [bones(one) for one in (other, *in_others)] == [bones(lesson)] * (1 + len(TRANSLATED))
    lines = [
        line for one in in_others for cell in one["cells"] if cell["cell_type"] == "markdown" for line in cell["source"]
    ]
    assert [line for line in lines if line.startswith("|") and re.search(r"\d\.\d", line)] == []  # but a comma


@given(st.text().filter(lambda text: "\r" not in text and "\N{NULL}" not in text))
def test_any_text_can_stand_in_code(text: str) -> None:
    text = text.encode(errors="ignore").decode()
    plain = lesson_messages.in_code('print("There are digits", 5)', lambda *_: text)
    [call] = ast.parse(plain).body
    assert ast.literal_eval(call.value.args[0]) == text  # type: ignore[attr-defined]
    escaped = text.replace("{", "{{").replace("}", "}}")
    placed = lesson_messages.in_code('print(f"{2 + 3:3} digits are there")', lambda *_: f"{{2 + 3:3}}{escaped}")
    shown: list[str] = []
    exec(placed, {"print": shown.append})
    assert shown == ["  5" + text]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_all_that_a_page_says_can_be_translated_and_nothing_else_changes(path: Path) -> None:
    page = path.read_text()
    other = page_messages.translated(page, lambda text: f"Ä {text} ß")
    texts = [
        [text for _, _, text, _ in page_messages.messages(io.BytesIO(one.encode()), 0, 0)] for one in (page, other)
    ]
    assert texts[1] == [f"Ä {text} ß" for text in texts[0]]
    assert other.replace("Ä ", "").replace(" ß", "").split() == page_messages.translated(page, str).split()


@pytest.mark.parametrize(
    ("source", "translation", "fault"),
    [
        ("{count} of {all:,} digits", "{count} der {alle:,} Ziffern", "placeholder {all:,} is missing"),
        ("Press `Run`, then [go on](a.ipynb).", "Drücke `Run`, dann [weiter](b.ipynb).", "link (a.ipynb) is missing"),
        ("It is $a^2$, or 60,000.", "Es ist $a^2$ oder 6 000.", "number 60000 is missing"),
        ("A <b>node</b>", "Ein Knoten", "tag <b> is missing"),
    ],
)
def test_a_translation_that_loses_something_is_found(source: str, translation: str, fault: str) -> None:
    assert fault in faults(source, translation)


def test_a_translation_writes_numbers_as_its_language_does() -> None:
    assert faults("60,000 digits, 0.99 of them: 97.3 %", "60\u202f000 Ziffern, davon 0,99: 97,3 %") == []
