"""The lessons."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.provisioned.pi import Answers, Pi

LOOK = """
import json, os, pathlib, pwd, sys
import nbformat
def look(name):
    path = pathlib.Path(name)
    if not path.exists():
        return "is missing"
    if not os.access(path, os.R_OK | os.W_OK):
        return "cannot be read and saved by the student"
    if path.owner() != sys.argv[1]:
        return "belongs to " + path.owner()
    try:
        nbformat.validate(nbformat.read(path, 4))
    except Exception as error:
        return f"is no valid notebook ({type(error).__name__})"
print(json.dumps({name: look(name) for name in sys.argv[2:]}))
"""


def lessons(pi: Pi) -> list[Path]:
    """The lessons as this computer has them."""
    return sorted(Path(pi.settings.lessons).glob("*.ipynb"))


@pytest.fixture(scope="module")
def answers(pi: Pi) -> Answers:
    names = " ".join(shlex.quote(lesson.name) for lesson in lessons(pi))
    folder, pristine = shlex.quote(pi.settings.folder), shlex.quote(pi.settings.pristine)
    look = f"{pi.settings.venv}/bin/python -c {shlex.quote(LOOK)} {shlex.quote(pi.settings.student)} {names}"
    return pi.ask(
        {
            "lessons": pi.as_student(f"cd {folder} && {look}"),
            "pristine": pi.as_student(f"cd {pristine} && sha256sum {names}"),
        }
    )


def test_lessons_are_there(pi: Pi, answers: Answers) -> None:
    """Every lesson is in the student's folder, belongs to the student, and opens."""
    assert lessons(pi), f"There is no lesson in {pi.settings.lessons} on this computer."
    assert answers["lessons"].status == 0, f"The student's folder cannot be read: {answers['lessons'].text}"
    found: dict[str, Any] = json.loads(answers["lessons"].lines[-1])
    wrong = [f"{name} {what}" for name, what in found.items() if what]
    assert not wrong, f"In the student's folder, {'; '.join(wrong)}."


def test_untouched_copies_are_there(pi: Pi, answers: Answers) -> None:
    """An untouched copy of every lesson is there, to start over from."""
    found = answers["pristine"].sums
    wrong = [
        lesson.name
        for lesson in lessons(pi)
        if found.get(lesson.name) != hashlib.sha256(lesson.read_bytes()).hexdigest()
    ]
    assert not wrong, f"In {pi.settings.pristine}, missing or not as on this computer: {', '.join(wrong)}."
