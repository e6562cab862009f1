"""A student's language: the class's, until the student chooses another one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn import translation
from mynn.translation import VARIABLE
from mynn_server.language import CHOICE, choose, recall
from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.browser import open_browser, sign_in
from tests.support.jupyter_server import PASSWORD, Server
from tests.unit.mynn_server.conftest import FIRST, notebook


@pytest.fixture
def student(server: Server) -> Iterator[NotebookServer]:
    """A student, whose language is English again afterwards."""
    student = server.student()
    yield student
    student.ask("POST", "/start/language", json={"language": "en"})


def test_a_student_chooses_the_language_of_lessons_and_programs(
    server: Server, student: NotebookServer, pristine: Path
) -> None:
    """One lesson is there in German. In French there are none here, so they are English."""
    (pristine / "de").mkdir()
    (pristine / "de" / FIRST).write_text(notebook("Lektion 1: Ziffern", lesson=1))
    folder = server.home / "notebooks"
    assert student.ask("POST", "/start/language", json={"language": "fr"}).status_code == 204
    status = student.get("/start/status")
    assert (status["language"], status["languages"]["fr"]) == ("fr", "Français")
    assert status["lessons"][0]["name"] == FIRST
    assert student.ask("POST", "/start/language", json={"language": "de"}).status_code == 204
    status = student.get("/start/status")
    assert [(lesson["name"], lesson["title"], lesson["there"]) for lesson in status["lessons"]] == [
        (f"de/{FIRST}", "Lektion 1: Ziffern", False)
    ]
    assert student.ask("POST", "/start/lesson", json={"name": f"de/{FIRST}"}).status_code == 204
    files = [file["name"] for file in student.get("/start/status")["files"]]
    assert not {"de", FIRST} & {*files}, "lessons are no files of the student's own, whatever their language"
    session = student.open_notebook(f"de/{FIRST}")
    kernel = Kernel(session["kernel"]["id"], student.connect(session["kernel"]["id"]))
    said = kernel.run("import os; print(os.getcwd(), os.environ['MYNN_LANGUAGE'])")
    assert said.text.split() == [str(folder), "de"], "every lesson finds the student's files"
    student.delete(f"/api/sessions/{session['id']}")
    for unknown in ("xx", "../de", "", None, 3):
        assert student.ask("POST", "/start/language", json={"language": unknown}).status_code == 400


@pytest.mark.parametrize(("code", "cancel"), [("de", "Abbrechen"), ("fr", "Annuler"), ("es", "Cancelar"), ("en", None)])
def test_jupyters_own_pages_speak_the_students_language(student: NotebookServer, code: str, cancel: str | None) -> None:
    """But for words that Jupyter's language packs lack."""
    student.ask("POST", "/start/language", json={"language": code})
    page = student.ask("GET", "/tree").text
    asked = json.loads(page.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0])
    words = student.get(f"{asked['translationsApiUrl']}/default")["data"]
    assert (words["jupyterlab"]["Cancel"] == [cancel]) if cancel else not words


def test_the_menus_of_all_files_are_german(server: Server, student: NotebookServer, chromium: None) -> None:
    student.ask("POST", "/start/language", json={"language": "de"})
    with open_browser(offline=True) as browser:
        sign_in(browser.pages[0], server.url, PASSWORD)
        browser.pages[0].goto(f"{server.url}/tree")
        expect(browser.pages[0].get_by_text("Zuletzt geändert")).to_be_visible()


def test_a_choice_is_kept_and_nothing_else_is_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fr")
    choose(tmp_path, "es")
    for written, language in ((None, "es"), (b"de\n", "de"), (b"xx", "fr"), (b"\xff", "fr"), (b"d" * 100, "fr")):
        monkeypatch.setenv(VARIABLE, "fr")
        if written:
            (tmp_path / CHOICE).write_bytes(written)
        recall(tmp_path)
        assert translation.language() == language
    (tmp_path / CHOICE).unlink()
    os.mkfifo(tmp_path / CHOICE)
    recall(tmp_path)
    assert translation.language() == "fr"
