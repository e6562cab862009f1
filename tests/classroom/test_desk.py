"""A class from the desk, in a real browser: from setting up to the end of a lesson, with a Pi that dies in between."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.support.browser import MINUTES, READING, open_browser, sign_in, signed_in, url_of
from tests.support.classroom import Classroom, as_student, on, root, until, with_inventory
from tests.support.desk import SHOW, Teacher, open_desk
from tests.support.pupil import FIRST, StartPage

TITLE = "Lesson 1: ten thousand digits"
PUPILS = {"pi-01": "Ada", "pi-02": "Bo", "pi-03": "Cleo"}
FOLLOW = 10 * MINUTES  # milliseconds, at most, until a change is seen


@pytest.fixture
def school(three: Classroom, tmp_path: Path) -> Iterator[Classroom]:
    """Return three Pis whose work is collected into the test's own folder; they are as at first afterwards."""
    (tmp_path / "handout/sheets").mkdir(parents=True)
    (tmp_path / "handout/sheets/read me.txt").write_text("What is a network?")
    work = dict.fromkeys(PUPILS, f"student_work_collections={tmp_path}/dist/work")
    yield with_inventory(three, tmp_path, settings=work)
    three.fleet.start(*PUPILS)


def test_a_class_from_the_desk(school: Classroom, tmp_path: Path) -> None:
    """Everything is done by the desk's buttons and by what a pupil types into the first lesson."""
    desk = tmp_path / "dist/desk"
    with open_desk(school.inventory, desk) as (url, _), open_browser(FOLLOW) as browser:
        teacher = Teacher(browser.new_page())
        teacher.page.goto(url)
        expect(teacher.page.get_by_text("3 of 3 Pis answer")).to_be_visible()
        prepare(teacher, school)
        hold_lesson(teacher, school, browser)
        help_pupils(teacher, school, browser)
        lose_a_pi(teacher, school)
        show_wall(teacher, school)
        end_class(teacher, school)
        switch_off(teacher, school)


def prepare(teacher: Teacher, school: Classroom) -> None:
    """Set up, verify, name the pupils, label, hand out."""
    teacher.go_to("Pis")
    teacher.press("Set up")
    teacher.press("Verify")
    expect(teacher.page.get_by_role("heading", level=1)).to_have_text("The Pis: 3 of 3 ready")
    teacher.page.get_by_role("link", name="Names of the pupils").click()
    for pi, name in PUPILS.items():
        teacher.page.get_by_label(pi).fill(name)
    teacher.page.get_by_role("button", name="Save the names").click()
    expect(teacher.page.get_by_text("The names are saved.")).to_be_visible()
    teacher.go_to("Pis")
    teacher.press("Labels")
    with teacher.page.expect_popup() as sheet:
        teacher.page.get_by_role("link", name="A4").click()
    for pi, name in PUPILS.items():
        for printed in (name, school.password_of(pi)):
            expect(sheet.value.locator("body")).to_contain_text(printed)
    sheet.value.close()
    teacher.go_to("Work")
    teacher.press("Hand out")


def hold_lesson(teacher: Teacher, school: Classroom, browser: BrowserContext) -> None:
    """A pupil does the first lesson; the teacher sees it, and what was typed."""
    start = signed_in(browser, school)
    expect(start.get_by_text("read me.txt")).to_be_visible()
    lesson = StartPage(start).open(FIRST, "keys")
    teacher.go_to("Class")
    expect(teacher.at("pi-01")).to_contain_text("Ada")
    here = teacher.at("pi-01").locator(".lesson")
    expect(here).to_have_attribute("title", f"{TITLE}, fours")
    lesson.play()
    teacher.go_to("Tasks")
    teacher.page.get_by_role("button", name=re.compile(f"^Ada, pi-01, {TITLE}")).click()
    expect(teacher.page.locator("[popover]:popover-open dd").first).to_contain_text("counts")
    teacher.go_to("Class")
    expect(here).to_contain_text("Lesson 1 ✔")


def help_pupils(teacher: Teacher, school: Classroom, browser: BrowserContext) -> None:
    """Two more ask for help, and get a line: one has closed the tab meanwhile, and the other's Pi was off."""
    pages = {}
    for pi in ("pi-02", "pi-03"):
        pages[pi] = page = browser.new_page()
        pupil = on(school, pi)
        sign_in(page, url_of(pupil), pupil.password)
        expect(page).to_have_url(re.compile("/start/"))
        page.goto(f"{url_of(pupil)}/notebooks/{FIRST}.ipynb")
        expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
        page.locator(".mynn-hand").click()
        expect(page.locator(".mynn-hand")).to_have_text(f"You are number {len(pages)}")
    bo, cleo = pages.values()
    bo.close()
    cleo.bring_to_front()
    cleo.locator(".jp-CodeCell .cm-content").first.click()
    cleo.keyboard.type("# mine")
    school.fleet.container("pi-03").kill()
    expect(cleo.locator(".mynn-state")).to_have_text("The Pi does not answer")
    teacher.go_to("Class")
    expect(teacher.page.locator("article.calls h2 bdi")).to_have_text(["Bo", "Cleo"])
    for name in ("Bo", "Cleo"):
        teacher.page.get_by_label(f"Tick {name}").check()
    teacher.page.get_by_label("To those ticked").fill("Count again")
    teacher.page.get_by_role("button", name="Send").click()
    expect(teacher.page.get_by_text("(not read yet)")).to_have_count(2)
    school.fleet.start("pi-03")
    cleo.bring_to_front()
    cleo.get_by_text("Your teacher, about fours: Count again").click()
    expect(cleo.locator(".mynn-note")).to_be_visible()
    expect(cleo.locator(".mynn-bar[data-state=dead]")).to_be_visible()
    bo = browser.new_page()
    bo.goto(f"{url_of(on(school, 'pi-02'))}/start/")
    expect(bo.locator("#told strong")).to_have_text("Count again")
    bo.get_by_role("button", name="Read").click()
    teacher.go_to("Class")
    expect(teacher.page.get_by_text("(read)")).to_have_count(2)
    teacher.at("pi-02").get_by_role("button", name="Helped").click()
    expect(teacher.page.locator("article.calls h2 bdi")).to_have_text(["Cleo"])
    cleo.bring_to_front()
    expect(cleo.locator(".mynn-hand")).to_have_text("You are number 1")
    cleo.get_by_role("button", name="Run all").click()
    expect(cleo.locator(".jp-CodeCell .jp-InputPrompt").first).to_have_text("[1]:")
    path = f"/home/student/notebooks/{FIRST}.ipynb"
    until(lambda: "# mine" in root(on(school, "pi-03"), f"cat {path}"))
    for page in (bo, cleo):
        page.close()
    teacher.go_to("Class")
    teacher.at("pi-03").get_by_role("link", name="Lesson 1").click()
    expect(teacher.page.frame_locator("iframe").get_by_text("# mine")).to_be_visible()


def lose_a_pi(teacher: Teacher, school: Classroom) -> None:
    """A Pi dies."""
    school.fleet.container("pi-03").kill()
    teacher.go_to("Class")
    expect(teacher.at("pi-03")).to_contain_text("Does not answer")


def show_wall(teacher: Teacher, school: Classroom) -> None:
    """Pupils are on the wall, and off it."""
    for pi in ("pi-01", "pi-02"):
        as_student(on(school, pi), SHOW.format(name=PUPILS[pi]))
    teacher.go_to("Wall")
    expect(teacher.page.locator("article h2")).to_have_text([re.compile(r"Ada\s*95\.3"), re.compile("Bo")])
    teacher.page.get_by_role("button", name="Take Bo off the wall").click()
    expect(teacher.page.locator("article")).to_have_count(1)


def end_class(teacher: Teacher, school: Classroom) -> None:
    """Announce the end, collect and reset. The Pi that died is named, and comes back."""
    teacher.go_to("Class")
    teacher.page.get_by_label("Message to the class").fill("Five more minutes")
    assert "Shown on 2 of 3 Pis" in teacher.press("Show", ends="Not finished on all Pis.")
    [start, _, lesson] = teacher.page.context.pages
    for page in (start, lesson):
        expect(page.get_by_text("Five more minutes")).to_be_visible()
    teacher.go_to("Work")
    assert "pi-03" in teacher.press("Collect", ends="Not finished on all Pis.")
    school.fleet.start("pi-03")
    teacher.press("Collect")
    teacher.go_to("Work")
    assert "read me.txt" in teacher.press("Look at what it would change")
    teacher.press("Reset", "Reset")
    assert "read me.txt" not in as_student(school, "print(os.listdir())")


def switch_off(teacher: Teacher, school: Classroom) -> None:
    """What is being written in a browser is there when the Pi is on again."""
    [pupil, *_] = teacher.page.context.pages
    pupil.goto(f"{url_of(school)}/notebooks/{READING}")
    expect(pupil.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    pupil.locator(".jp-CodeCell .cm-content").first.click()
    pupil.keyboard.type("# mine")
    teacher.go_to("Class")
    expect(teacher.page.get_by_text("3 of 3 Pis answer")).to_be_visible()
    report = teacher.press("Save all and switch off", "Save all and switch off")
    assert all(f"{pi}: off" in report for pi in PUPILS)
    expect(teacher.page.get_by_text("Switched off")).to_have_count(3)
    # A Pi is off for the desk when nothing answers any more, and its light goes dark a moment later.
    until(lambda: {pi.status() for pi in school.fleet.members} == {"stopped"})
    school.fleet.start("pi-01")
    assert "# mine" in root(school, f"cat /home/student/notebooks/{READING}")
