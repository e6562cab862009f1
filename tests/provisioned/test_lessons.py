"""The lessons and their pictures."""

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.lessons import lessons_in
from tests.provisioned.pi import Pi, Results

LOOK = """
import json, os, pathlib, pwd, sys
import nbformat
from PIL import Image
def look(name):
    path = pathlib.Path(name)
    if not path.exists():
        return "is missing"
    if not os.access(path, os.R_OK | os.W_OK):
        return "cannot be read and saved by the student"
    if path.owner() != sys.argv[1]:
        return "belongs to " + path.owner()
    try:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        else:
            nbformat.validate(nbformat.read(path, 4))
    except Exception as error:
        return f"cannot be opened ({type(error).__name__})"
print(json.dumps({name: look(name) for name in sys.argv[2:]}))
"""
# Print the type, owner and mode of the home and of the student's folder.
STAT = "stat --format '%F %U %a' /home/{student} {folder}"


def lessons(pi: Pi) -> dict[str, bytes]:
    """Return this computer's lessons and pictures by name: `a.ipynb`, `a_folder/b.png`."""
    return lessons_in(Path(pi.settings.lessons))


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    names = " ".join(map(shlex.quote, lessons(pi)))
    look = f"{pi.settings.venv}/bin/python -c {shlex.quote(LOOK)}"
    commands = {" pristine": pi.as_student(f"cd {shlex.quote(pi.settings.pristine)} && sha256sum {names}")}
    for student in pi.settings.students:
        folder = pi.settings.students[student]["folder"]
        commands[f" home of {student}"] = STAT.format(student=student, folder=folder)
        commands[student] = pi.as_student(
            f"cd {folder} && {look} {student} {names} && ls mnist_dataset/ >/dev/null", student
        )
    return pi.run(commands)


def test_lessons_are_complete(pi: Pi, results: Results) -> None:
    """Every lesson and picture is in the student's folder, belongs to the student, and opens; so are the digits."""
    assert lessons(pi), f"There is no lesson in {pi.settings.lessons} on this computer."
    for student in pi.settings.students:
        result = results[student]
        assert result.text.startswith("{"), f"The folder of {student} cannot be read: {result.text}"
        state: dict[str, Any] = json.loads(result.lines[0])
        wrong = [f"{name} {what}" for name, what in state.items() if what]
        assert not wrong, f"In the folder of {student}, {'; '.join(wrong)}."
        assert result.status == 0, f"In the folder of {student}, mnist_dataset is missing, where the book has it."


def test_folders_are_the_students(pi: Pi, results: Results) -> None:
    """Each student's home and folder are the student's own, and not links; the home is closed to others."""
    for student in pi.settings.students:
        result = results[f" home of {student}"]
        right = rf"directory {student} \d?7\d0\ndirectory {student} \d?7\d\d"
        assert re.fullmatch(right, result.text), (
            f"The home of {student}, or the folder in it, is a link, does not belong to {student}, is closed to"
            f" {student} or open to others: run site.yml, which repairs it without deleting anything. ({result.text})"
        )


def test_untouched_copies_are_complete(pi: Pi, results: Results) -> None:
    """There is an untouched copy of every lesson and picture, to start again from."""
    sums = results[" pristine"].sums
    wrong = [name for name, content in lessons(pi).items() if sums.get(name) != hashlib.sha256(content).hexdigest()]
    assert not wrong, f"In {pi.settings.pristine}, missing or different from this computer's: {', '.join(wrong)}."
