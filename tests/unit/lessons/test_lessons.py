# mypy: untyped-calls-exclude=nbformat
# (nbformat says that it is typed, and a few of its functions are not.)
"""Each lesson runs to its end, fits a Pi Zero, checks its exercises, computes what it claims, and is shown."""

import base64
import io
import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Page

from mynn import drawings, read_csv, tasks
from mynn.distort import rotated
from mynn.outline import CHECKED, outline
from mynn.translation import LANGUAGES, VARIABLE
from mynn_control import languages
from mynn_control.languages import texts_of
from tests.support.lesson_claims import CLAIMS, DRAWN, MEMORY_MIB, PEAK, Claims
from tests.support.look import assert_is_shown
from tests.support.programs import ROOT

LESSONS = ROOT / "notebooks"
PICTURES = LESSONS / "my_own_images"
LESSON_PATHS = sorted(LESSONS.glob("*.ipynb"))
MOST_WORDS = 900  # that a pupil reads before the last thing to do: a lesson has 45 minutes; what is more is behind More
TASK = re.compile(r"^(check\(|wall\.show\()", re.M)
TO_DO = re.compile(rf"{TASK.pattern}|= guess(_curve)?\(", re.M)
MOST_CODE = 40  # lines that a pupil sees in a lesson, besides checks; what only draws or prepares is folded
DRAWING = "part3_neural_network_mnist_and_own_data_2"  # the lesson that runs without drawings, too
FOLDED = {"jupyter": {"source_hidden": True}}
# Appended to a lesson: prints what it is asked for as JSON.
PROBE = """
import json
import numpy as np
print(json.dumps([[float(eval(figure)) for figure in {figures}], [eval("f" + repr(text)) for text in {printed}]]))
"""


def code_cell(source: str, name: str) -> Any:
    return nbformat.v4.new_code_cell(source, id=name)


def with_answers(cells: list[Any], claims: Claims) -> list[Any]:
    """Insert copies of each task's cell after it, with a right answer and with another one; add the probe."""
    result = []
    for cell in cells:
        result.append(cell)
        for task in claims.exercises.keys() & CHECKED.findall(cell.source):
            right = claims.exercises[task]
            wrong = '"other"' if right.startswith('"') else f"__import__('numpy').subtract({right}, 10)"
            for name, answer in (("right", right), ("wrong", wrong)):
                result.append(code_cell(cell.source.replace("= ...", f"= {answer}", 1), f"{task}-{name}"))
    probe = PEAK + PROBE.format(figures=[*claims.figures, f"{claims.score} or 0"], printed=claims.printed)
    return [*result, code_cell(probe, "probe")]


def tasks_in(name: str) -> tuple[str, ...]:
    return outline(LESSONS)[name].tasks


def run(name: str, claims: Claims, mnist: Path, folder: Path) -> Any:
    """Run a lesson in a folder; show its result on the wall if there are drawings. Return the notebook."""
    shutil.copytree(PICTURES, folder / PICTURES.name)
    notebook = nbformat.read(LESSONS / f"{name}.ipynb", as_version=4)
    if (folder / drawings.NAME).exists():
        for cell in notebook.cells:
            cell.source = cell.source.replace('wall.show(name=""', 'wall.show(name="Ada"')
    notebook.cells = with_answers(notebook.cells, claims)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "MNIST_DIR": str(mnist)})
    return notebook


def text_of(outputs: list[Any]) -> str:
    """Return the text that a cell printed."""
    return "".join(output.text for output in outputs if output.output_type == "stream")


def assert_is_whole(name: str, claims: Claims, notebook: Any, folder: Path) -> None:
    """Assert that a lesson that has run computed what it claims, and saved its score."""
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    text = {cell: text_of(those) for cell, those in outputs.items()}
    peak, found = text["probe"].splitlines()
    figures, printed = json.loads(found)
    bands = zip(claims.figures.items(), figures, strict=False)
    assert [(claim, figure) for (claim, (least, most)), figure in bands if not least <= figure <= most] == []
    assert [words for words in printed if words not in "".join(text.values())] == []
    assert float(peak) < MEMORY_MIB
    assert "".join(text.values()).count("Not yet: write your answer in place of the dots") == len(tasks_in(name))
    for exercise in claims.exercises:
        assert re.fullmatch(r"Right\. .{20,}\n", text[f"{exercise}-right"]), exercise
        assert re.fullmatch(r"Not yet: .{20,}\n", text[f"{exercise}-wrong"]), exercise
    data = [(cell, output.data) for cell, those in outputs.items() for output in those if "data" in output]
    for cell, shown in data:
        assert "image/png" not in shown, f"{cell} shows a plot without its description"
        for alt, png in re.findall(r'<img alt="(.*?)" src="data:image/png;base64,(.*?)"', shown.get("text/html", "")):
            picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(png)))
            assert picture.std() > 0.03 and len(alt) > 10, f"{cell} shows an empty picture, or does not say what it is"
    assert sum("Well done" in shown.get("text/markdown", "") for _cell, shown in data) == 1
    assert ("On the wall: Ada, " in text["wall-code"]) == (folder / drawings.NAME).exists()
    saved = tasks.parse((folder / tasks.FILE).read_bytes())
    assert saved and [*saved.lessons] == [name]
    assert saved.tasks == {task: tasks.Answer(True, answer) for task, answer in claims.exercises.items()}
    score = saved.lessons[name].score
    assert (score is None) == (claims.score == "None") and abs((score or 0) - figures[-1]) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_a_lesson_computes_what_it_claims_and_a_teacher_sees_it(
    name: str, mnist: Path, networks: Path, browser_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its translations differ from it in strings and comments only, each string in one way (test_languages.py).

    So what the English one has shown is, at the desk, looked at below the texts of each language.
    """
    if name != DRAWING:
        drawings.keep(7, np.full(784, 255, np.uint8), tmp_path / drawings.NAME)
    notebook = run(name, CLAIMS[name], mnist, tmp_path)
    assert_is_whole(name, CLAIMS[name], notebook, tmp_path)
    for code in LANGUAGES:
        monkeypatch.setenv(VARIABLE, code)
        assert_is_shown(translated(name, notebook, code), browser_page)


def translated(name: str, notebook: Any, code: str) -> dict[str, Any]:
    """Return a notebook that has run with the texts and programs of a language."""
    known = texts_of(languages.read(code, "lessons")) if code != "en" else {}
    there = json.loads(languages.lesson(LESSONS / f"{name}.ipynb", known))
    other = {cell["id"]: cell["source"] for cell in there["cells"]}
    cells = [{**cell, "source": other.get(cell["id"], cell["source"])} for cell in notebook["cells"]]
    return {"cells": cells}


@pytest.mark.slow
def test_a_network_learns_a_persons_handwriting(mnist: Path, networks: Path, tmp_path: Path) -> None:
    """The lesson as above, which runs without drawings, now with ten of each digit."""
    digits = read_csv(mnist / "mnist_test.csv", limit=1000)
    ten = np.concatenate([np.flatnonzero(digits.labels == label)[:10] for label in range(10)])
    leaning = rotated(digits[ten], 40)
    for label, pixels in zip(leaning.labels, leaning.pixels, strict=True):
        drawings.keep(int(label), pixels, tmp_path / drawings.NAME)
    assert_is_whole(DRAWING, DRAWN, run(DRAWING, DRAWN, mnist, tmp_path), tmp_path)


@pytest.mark.parametrize("path", LESSON_PATHS, ids=lambda path: path.stem)
def test_a_lesson_is_stored_without_outputs_and_says_what_it_teaches(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python", "file_extension": ".py"}  # or it is saved as .txt
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids) and all(name.replace("-", "").isalpha() for name in ids), "ids must be words"
    for cell in notebook.cells:
        assert cell.metadata in ({}, FOLDED) and not cell.get("outputs") and cell.get("execution_count") is None
        assert not cell.metadata or not re.search(r"= \.\.\.|^wall\.show", cell.source, re.M), "a pupil writes here"
    text, code = (
        "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == kind) for kind in ("markdown", "code")
    )
    shown = [
        re.split(r"^check\(", cell.source, flags=re.M)[0]
        for cell in notebook.cells
        if cell.cell_type == "code" and not cell.metadata
    ]
    assert sum(bool(line.strip()) for source in shown for line in source.splitlines()) <= MOST_CODE
    mynn = notebook.metadata.mynn
    assert set(mynn) == {"lesson", "minutes", "learn"}
    assert isinstance(mynn.minutes, int) and 1 <= mynn.minutes <= 45 and 10 <= len(mynn.learn) <= 70
    assert text.startswith(f"# Lesson {mynn.lesson}: ")
    assert len(re.findall(r"= guess(?:_curve)?\(", code)) >= 2 and tasks_in(path.stem)
    for summary in re.findall(r"<details>(.*?)</details>", text, re.S):
        assert "</summary>\n\n" in summary, "Markdown inside <details> needs a blank line before it"


@pytest.mark.parametrize("path", LESSON_PATHS, ids=lambda path: path.stem)
def test_a_lesson_is_short_and_has_three_things_to_do_one_of_them_for_the_wall(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    more = [cell.source for cell in cells].index("## More")
    to_do = [number for number, cell in enumerate(cells[:more]) if TO_DO.search(cell.source)]
    texts = [cell.source for cell in cells[: max(to_do)] if cell.cell_type == "markdown"]
    assert len(" ".join(texts).split()) <= MOST_WORDS
    tasks = [task for cell in cells[:more] for task in TASK.findall(cell.source)]
    assert len(tasks) >= 3 and tasks.count("wall.show(") == 1
    assert not any(TASK.search(cell.source) for cell in cells[more:]), "what must be done is before More"
    assert cells[more - 1].source.startswith("finished("), "a lesson ends where More begins"


def test_lessons_are_numbered_in_the_order_of_their_links_and_all_have_claims() -> None:
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in LESSON_PATHS}
    lessons = outline(LESSONS)
    assert [lesson.lesson for lesson in lessons.values()] == list(range(1, len(lessons) + 1))
    for name, following in pairwise(lessons):
        text = "\n".join(cell.source for cell in notebooks[name].cells)
        assert f"**Next:** [{lessons[following].title}]({following}.ipynb)" in text, name
    assert notebooks.keys() == CLAIMS.keys()
    names = [task for name in lessons for task in tasks_in(name)]
    assert len(set(names)) == len(names) == sum(len(claims.exercises) for claims in CLAIMS.values())
