import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.support.browser import open_browser
from tests.support.jupyter_server import Server, run_server
from tests.support.student import give_to_student

# A title that would run a script if it were not escaped.
HOSTILE = "<img src=x onerror=document.title=1>"
FIRST, SECOND, THIRD = "part2_mnist_data_set.ipynb", "part2_neural_network.ipynb", "a_third.ipynb"


def notebook(title: str, *code: str, **mynn: Any) -> str:
    """Return a notebook's text, with these cells of code."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["No heading.\n", "\n", f"# {title}\n", "Text"]},
    ]
    new: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells += [{**new, "id": f"b{number}", "source": text} for number, text in enumerate(code or ["print('hello')"])]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel} | ({"mynn": mynn} if mynn else {})
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="package")
def pristine() -> Iterator[Path]:
    """The untouched lessons, whose order is not that of their names; one has no metadata, and one is damaged."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for one account only
        folder = Path(name)
        folder.chmod(0o755)
        learn = "How a computer sees a picture"
        (folder / FIRST).write_text(notebook("Part 2: *ten* thousand", lesson=1, minutes=10, learn=learn))
        (folder / THIRD).write_text(notebook(f"Part 2: {HOSTILE}", "check(fours, 4)", "check(sevens, 7)", lesson=2))
        (folder / SECOND).write_text(notebook("Part 2: a network from nothing"))
        (folder / "part9_damaged.ipynb").write_text("{")
        yield folder


@pytest.fixture(scope="package")
def server(venv: Path, pristine: Path) -> Iterator[Server]:
    """A server whose student has all lessons but one."""
    subprocess.run([venv / "bin/python", "-m", "mynn_server.scripts"], check=True)
    with run_server(venv, lessons_pristine=pristine, message_file=pristine / "message") as running:
        for name in (FIRST, SECOND, "part9_damaged.ipynb"):
            write(running, name, (pristine / name).read_text())
        yield running


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[BrowserContext]:
    """A browser without Internet access."""
    with open_browser(offline=True) as context:
        yield context


def write(server: Server, name: str, text: str) -> Path:
    """Write a file into the student's folder."""
    path = server.home / "notebooks" / name
    path.write_text(text, encoding="utf-8")
    give_to_student(path)
    return path
