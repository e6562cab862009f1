"""The desk's tab Class, `make message` and `make off`."""

import re
from pathlib import Path

from playwright.sync_api import expect

from mynn import tasks
from tests.support.browser import MINUTES, READING, copied_lessons, open_browser, signed_in, signed_in_server, url_of
from tests.support.classroom import Classroom, root
from tests.support.desk import open_desk

FOLLOW = 10 * MINUTES  # milliseconds, at most, until the page shows what happens on a Pi


def test_the_teacher_sees_what_is_open_and_what_has_died(classroom: Classroom, tmp_path: Path) -> None:
    server = signed_in_server(classroom)
    with open_desk(classroom.inventory, tmp_path) as (url, _), open_browser() as browser:
        page = browser.pages[0]
        page.goto(url)
        card = page.locator("article")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)
        expect(card.locator(".memory")).to_contain_text(re.compile(r"\d+ MB free"))
        session = server.open_notebook("part2_neural_network.ipynb")
        lesson = card.locator(".lesson")
        expect(lesson).to_have_text(re.compile(r"Lesson 2\s*··\s*other_total\s*[01] min"), timeout=FOLLOW)
        expect(lesson).to_have_attribute("title", "Lesson 2: a network from nothing, other_total")
        answered = tasks.Record(tasks={"other_total": tasks.Answer(True, "7")}).text()
        file = {"type": "file", "format": "text", "content": answered}
        server.ask("PUT", f"/api/contents/{tasks.FILE}", json=file).raise_for_status()
        expect(lesson).to_have_text(re.compile(r"Lesson 2\s*✔·\s*weights\s*[01] min"), timeout=FOLLOW)
        server.delete(f"/api/contents/{tasks.FILE}")
        root(classroom, "pkill -KILL -u student -f ipykernel_launcher || pkill -KILL -u student -f kernel_parent")
        # Linux counts those that it kills for want of memory in all containers of a computer together.
        expect(card).to_contain_text(re.compile("It (stopped unexpectedly|ran out of memory)"), timeout=FOLLOW)
        server.delete(f"/api/sessions/{session['id']}")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)
        root(classroom, "systemctl stop jupyter")
        expect(card).to_contain_text("No notebook server yet", timeout=FOLLOW)
        root(classroom, "systemctl start jupyter")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)


def test_a_message_is_shown_and_off_lets_a_page_save(classroom: Classroom, tmp_path: Path) -> None:
    """By the desk. What is being written in a browser is there when the Pi is on again."""
    with copied_lessons(classroom, [READING]) as folder:
        place = f"/home/student/notebooks/{folder}/{READING}"
        try:
            with open_desk(classroom.inventory, tmp_path) as (url, _), open_browser() as browser:
                page, desk = signed_in(browser, classroom), browser.new_page()
                desk.goto(url)
                desk.get_by_label("Message to the class").fill("Five more minutes")
                desk.get_by_role("button", name="Show").click()
                expect(desk.get_by_role("status")).to_contain_text("Shown on 1 of 1 Pis")
                expect(page.get_by_text("Five more minutes")).to_be_visible()
                page.goto(f"{url_of(classroom)}/notebooks/{folder}/{READING}")
                expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
                page.locator(".jp-CodeCell .cm-content").first.click()
                page.keyboard.type("# mine")
                desk.get_by_role("button", name="Save all and switch off").click()
                desk.get_by_role("dialog").get_by_role("button", name="Save all").click()
                expect(desk.get_by_role("status")).to_contain_text("pi-01: off", timeout=3 * MINUTES)
                expect(desk.locator("article")).to_contain_text("Switched off", timeout=FOLLOW)
            assert classroom.fleet.status("pi-01") == "stopped"
        finally:
            classroom.fleet.start("pi-01")
        assert "# mine" in root(classroom, f"cat {place}")
