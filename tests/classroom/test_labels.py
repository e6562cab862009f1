"""With a label, a student can sign in; tests/unit/control/test_labels.py looks at the sheets."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import open_browser
from tests.support.classroom import ROOT, Classroom, recap


def words(page: Page, kind: str) -> str:
    """Return a text of the only label."""
    return page.locator(f".{kind}").inner_text()


def test_a_student_can_sign_in_with_a_label(classroom: Classroom) -> None:
    done = classroom.playbook("labels")
    assert done.returncode == 0
    assert recap(done.stdout)[classroom.host].changed == 0
    with open_browser() as browser:
        page = browser.pages[0]
        page.goto(f"file://{ROOT}/dist/labels/labels-A4.html")
        url, password = words(page, "url"), words(page, "password")
    assert NotebookServer(url).sign_in(password)
    assert password not in done.stdout
