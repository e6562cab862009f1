"""The start page and Jupyter's pages in a browser, on a server with the role jupyter's settings."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, ViewportSize, expect

from mynn import tasks
from mynn_server.talk import FROM_TEACHER, TO_TEACHER
from tests.support.browser import DESKTOP, MOVED, assert_accessible, layout_shift, run_until, sign_in
from tests.support.classroom import until
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.pupil import PHONE, TABLET
from tests.unit.mynn_server.conftest import FIRST, HOSTILE, SECOND, THIRD, notebook, write

# What a busy Pi answers when a page asks for a program comes late.
LATE = """{
  const plain = fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (answer.url.includes("/api/sessions")) await new Promise((resume) => setTimeout(resume, 1000));
    return answer;
  };
}"""
# Lets a page look for a message three times a second, instead of each half minute.
HASTY = "{ const plain = setTimeout; window.setTimeout = (act, after) => plain(act, after === 30_000 ? 300 : after); }"
LOOK = "document.dispatchEvent(new Event('visibilitychange'))"  # as when the start page comes to the front
ZOOMED: ViewportSize = {"width": 640, "height": 400}  # a desktop's screen at 200 %


@pytest.fixture(scope="module")
def failures(browser: BrowserContext) -> list[str]:
    """The error answers so far, and the violations of the Content Security Policy."""
    found: list[str] = []
    browser.on(
        "response", lambda answer: found.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
    )
    browser.on("console", lambda line: found.append(line.text) if "Content Security Policy" in line.text else None)
    return found


@pytest.fixture(scope="module")
def page(browser: BrowserContext, failures: list[str], server: Server) -> Page:
    page = browser.pages[0]
    # "It is still working. End it?": on a busy computer the server now and then misses that a kernel is idle.
    page.on("dialog", lambda question: question.accept())
    page.goto(server.url)
    assert_accessible(page)
    expect(page.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("mooncake8")
    page.get_by_label("Show the password").check()
    expect(page.locator("input[name=password]")).to_have_attribute("type", "text")
    expect(page.locator("#pi")).to_have_text(socket.gethostname())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text(f"the password of {socket.gethostname()}: it is on")
    assert_accessible(page)
    sign_in(page, server.url, PASSWORD)
    expect(page).to_have_url(re.compile(r"/start/\??$"))
    failures.clear()
    return page


@pytest.fixture(autouse=True)
def untouched(server: Server, pristine: Path) -> None:
    """Put the lessons back: a page saves when it is left, and so what one test wrote would run in the next."""
    for name in (FIRST, SECOND):
        write(server, name, (pristine / name).read_text())


@contextmanager
def opened(page: Page, browser: BrowserContext, title: str, screen: ViewportSize = DESKTOP) -> Iterator[Page]:
    """Open a lesson by its card; yield its page when its kernel is idle. Afterwards, end it by its card."""
    with browser.expect_page() as tab:
        page.get_by_role("link", name=f"Start: {title}").click()
    tab.value.set_viewport_size(screen)
    try:
        expect(tab.value.locator(".mynn-bar[data-state=idle]")).to_be_visible()
        yield tab.value
    finally:  # or it would still run in the next test
        page.bring_to_front()
        end = page.locator(".lesson", has_text=title).get_by_role("button", name="End")
        end.click()
        expect(end).to_have_count(0)
        tab.value.close()


def test_cards_are_shown_in_order_and_one_click_puts_a_lesson_back(
    page: Page, failures: list[str], server: Server
) -> None:
    """With the titles as plain text, whatever they contain, and a picture each."""
    titles = page.locator(".lesson h3")
    expect(titles).to_have_text(["Ten thousand", HOSTILE, "A network from nothing", "Part9 damaged"])
    expect(page.locator(".lesson").first).to_contain_text("10 minutes on a Pi Zero")
    expect(page.locator(".lesson.next h3")).to_have_text("Ten thousand")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(picture => picture.naturalWidth).length") == 4
    assert_accessible(page)
    for screen in (PHONE, ZOOMED):
        page.set_viewport_size(screen)
        assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
    page.set_viewport_size(DESKTOP)
    assert failures == []
    missing = page.locator(".lesson").nth(1)
    expect(page.locator("#pi")).to_have_text(socket.gethostname())
    missing.get_by_role("button", name="Put it back").click()
    expect(missing.get_by_role("link", name="Start")).to_be_visible()
    path = write(server, THIRD, "mine")
    page.reload()
    with page.expect_event("dialog") as question:
        missing.get_by_role("button", name="Begin afresh").click()
    assert "Your own stays" in question.value.message
    expect(page.get_by_role("link", name=re.compile(r"a_third \(20.*\)\.ipynb"))).to_be_visible()
    expect(missing.get_by_role("button", name="Begin afresh")).to_have_count(0)
    [own] = path.parent.glob("a_third (*).ipynb")
    assert own.read_text() == "mine" and "Part 2" in path.read_text()
    own.unlink()
    path.unlink()


@pytest.mark.usefixtures("page")
def test_nothing_moves_while_the_page_appears(browser: BrowserContext, server: Server, pristine: Path) -> None:
    """With a message from the teacher, too."""
    message = pristine / "message"
    message.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    start = browser.new_page()
    start.goto(server.url)
    assert layout_shift(start, ".lesson") < 0.1
    start.close()
    message.unlink()


def test_a_first_visit_to_a_lesson_is_small_and_the_next_one_smaller(page: Page, browser: BrowserContext) -> None:
    """Thirty may share the class's Wi-Fi. If this fails with a new Notebook: see PIECES in mynn_server/scripts.py."""
    browser.new_cdp_session(page).send("Network.clearBrowserCache")
    for most, bytes_at_most in ((75, 2_600_000), (60, 400_000)):
        with opened(page, browser, "Ten thousand") as lesson:
            loaded, size = lesson.evaluate(MOVED)
        assert len(loaded) <= most, loaded
        assert size <= bytes_at_most


def test_a_card_says_how_many_of_its_tasks_are_right(page: Page, server: Server) -> None:
    end = tasks.Finished("2026-11-27T10:00:00", 0.81, tested=23)
    right, wrong = tasks.Answer(True, "4"), tasks.Answer(False, "3")
    for seven, words in (
        (wrong, "1 of 2 tasks, 1 not right yet, 81.0 % of 23 digits recognised"),
        (right, "✓ Done, 81.0 % of 23 digits recognised"),
    ):
        record = tasks.Record({Path(THIRD).stem: end}, {"fours": right, "sevens": seven})
        path = write(server, tasks.FILE, record.text())
        page.reload()
        expect(page.locator(".lesson").nth(1)).to_contain_text(words)
        path.unlink()
    page.reload()


@pytest.mark.slow
def test_the_bar_has_what_pupils_need_and_brings_jupyters_own_back(page: Page, browser: BrowserContext) -> None:
    """On every screen, also at 200 %. The switch is remembered, and Jupyter's menu has no entry for JupyterLab."""
    with opened(page, browser, "Ten thousand") as lesson:
        controls = lesson.locator(".mynn-control")
        expect(lesson.locator(".mynn-title")).to_have_text("Part 2: ten thousand")
        for screen in (PHONE, TABLET, ZOOMED, DESKTOP):
            lesson.set_viewport_size(screen)
            expect(controls).to_have_count(9)
            for control in controls.all():
                expect(control).to_be_in_viewport(ratio=1)
                box = control.bounding_box()
                assert box and min(box["width"], box["height"]) >= 44, control.inner_text()
        for gone in ("Python 3", "Not Trusted", "Trusted", "Last Checkpoint", FIRST.removesuffix(".ipynb")):
            expect(lesson.get_by_text(gone).filter(visible=True)).to_have_count(0)
        run = lesson.get_by_role("button", name="Run all")
        prompt = lesson.locator(".jp-CodeCell .jp-InputPrompt").first
        run.click()
        expect(prompt).to_have_text("[1]:")
        lesson.get_by_role("button", name="Start again").click()
        lesson.locator(".jp-Dialog").get_by_role("button", name="Start again").click()
        expect(prompt).to_have_text("[ ]:")
        run.click()
        expect(prompt).to_have_text("[1]:")  # and not [2]: it is another program
        # A number is there as soon as a cell is begun. What follows would stop this run, and not the next one.
        expect(lesson.get_by_text("hello", exact=True)).to_have_count(1)
        expect(lesson.locator(".mynn-bar[data-state=idle]")).to_be_visible()
        lesson.locator(".jp-CodeCell .cm-content").first.fill("print('begun')\nwhile True: pass")
        run.click()
        expect(lesson.get_by_text("begun", exact=True)).to_be_visible()  # what is pressed before that may be missed
        expect(lesson.locator(".mynn-state")).to_have_text("Working …")
        lesson.get_by_role("button", name="Stop").click()
        expect(lesson.get_by_text("You stopped this cell.")).to_be_visible()
        view = lesson.get_by_role("menuitem", name="View", exact=True)
        expect(view).to_be_hidden()
        lesson.get_by_role("button", name="Jupyter’s own bar").click()
        expect(view).to_be_visible()
        short = json.dumps({"memory": {"free": 12, "total": 427}, "running": []})
        lesson.route("**/start/status", lambda route: route.fulfill(body=short))
        lesson.reload()
        expect(lesson.get_by_text("12 MB free")).to_be_visible()
        view.click()
        expect(lesson.locator(".lm-Menu")).to_be_visible()
        expect(lesson.locator(".lm-Menu [data-command='application:open-lab']")).to_have_count(0)
        lesson.keyboard.press("Escape")
        lesson.get_by_role("button", name="Jupyter’s own bar").click()
        with browser.expect_page() as help_page:
            lesson.get_by_role("link", name="Help").click()
        assert_accessible(help_page.value)
        help_page.value.close()


@pytest.mark.slow
def test_the_bar_has_its_room_when_its_style_comes_late(page: Page, browser: BrowserContext) -> None:
    """As it does from a slow Pi. Jupyter measures its bars before that, and the lesson would cover this one."""

    def late(route: Route) -> None:
        route.request.frame.wait_for_selector(".mynn-bar[data-state=idle]", state="attached")
        route.continue_()

    def has_room() -> bool:
        bar, panel = (lesson.locator(place).bounding_box() for place in (".mynn-bar", "#main-panel"))
        return bool(bar and panel and panel["y"] == bar["height"])

    browser.route("**/bar.css*", late)
    with opened(page, browser, "Ten thousand", PHONE) as lesson:  # where it has two rows
        until(has_room)
        for control in lesson.locator(".mynn-control").all():
            control.click(trial=True)
    browser.unroute("**/bar.css*")


@pytest.mark.slow
def test_a_lesson_is_opened_and_ended_and_links_back(page: Page, browser: BrowserContext, failures: list[str]) -> None:
    before = len(failures)
    with opened(page, browser, "Ten thousand") as lesson:
        pages = len(browser.pages)
        lesson.get_by_role("link", name="Lessons").click()
        page.bring_to_front()
        card = page.locator(".lesson").first
        # The server runs as the student, so it may read the memory of the student's kernels, if root runs this.
        expect(card).to_contain_text("Running" if os.geteuid() else re.compile(r"Running, takes \d+ MB"))
        lesson.evaluate("window.focus = () => (document.body.dataset.mark = 'in front')")
        card.get_by_role("link", name="Continue").click()
        expect(lesson.locator("body")).to_have_attribute("data-mark", "in front")
        page.evaluate("fetch('status')")  # what would be loaded was asked for before
        assert len(browser.pages) == pages, "The start page or the lesson was opened a second time."
        assert lesson.evaluate("document.body.dataset.mark") == "in front", "An open lesson was loaded again."
    assert failures[before:] == []


@pytest.mark.slow
def test_a_lesson_says_that_its_kernel_stopped(page: Page, browser: BrowserContext, server: Server) -> None:
    with opened(page, browser, "Ten thousand") as lesson:
        # If the kernel dies before the page has heard of it, the page may not say so.
        cell, output = lesson.locator(".jp-CodeCell .cm-content").first, lesson.locator(".jp-OutputArea-output").first
        run_until(lesson, lambda: cell.press("Shift+Enter"), output)
        subprocess.run(["pkill", "-KILL", "--parent", str(server.process.pid)], check=True)
        expect(lesson.locator(".jp-Dialog-body")).to_contain_text("This lesson’s program stopped unexpectedly")
        expect(lesson.locator(".jp-Dialog-header")).to_have_text("Stopped")
        lesson.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
        page.bring_to_front()
        expect(page.locator(".lesson .died")).to_contain_text("This lesson’s program stopped unexpectedly")
    expect(page.locator(".lesson .died")).to_have_count(0)


@pytest.mark.slow
def test_the_teachers_message_is_shown(page: Page, browser: BrowserContext, pristine: Path) -> None:
    message = pristine / "message"
    with opened(page, browser, "A network from nothing") as lesson:
        lesson.add_init_script(HASTY)
        lesson.reload()
        message.write_text(json.dumps({"text": "Five more <b>minutes</b>", "minutes": 45}))
        expect(lesson.locator("#mynn-message")).to_have_text("Five more <b>minutes</b>")
        lesson.locator("#mynn-message").click()
        expect(lesson.locator("#mynn-message")).to_be_hidden()
        page.bring_to_front()
        page.evaluate(LOOK)
        expect(page.locator("#message-when")).to_have_text(re.compile("^Your teacher, "))
        message.unlink()
        page.evaluate(LOOK)
        expect(page.locator("#message")).to_be_hidden()


@pytest.mark.slow
def test_a_pupil_asks_for_help_and_reads_what_the_teacher_says(
    page: Page, browser: BrowserContext, server: Server
) -> None:
    """The line is left at the task that it is about. What is missing, damaged or hostile in the files does no harm."""
    asked = server.home / "notebooks" / TO_TEACHER

    def tell(place: int = 0, helped: int = 0, **more: object) -> None:
        line = {"number": 1, "text": HOSTILE, "lesson": "part2_neural_network", "task": "fours"}
        write(server, FROM_TEACHER, json.dumps({"lines": [line | more], "place": place, "helped": helped}))

    write(server, SECOND, notebook("Part 2: a network from nothing", "1", "check(fours, 4)"))
    write(server, FROM_TEACHER, '{"lines": {"number": [')
    page.reload()
    with opened(page, browser, "A network from nothing", TABLET) as lesson:
        button = lesson.locator(".mynn-hand")
        button.click()
        expect(button).to_have_text("Your teacher will see it")
        tell(place=2, task="")
        expect(button).to_have_text("You are number 2")
        expect(lesson.locator(".mynn-told")).to_have_text(f"Your teacher: {HOSTILE}")
        tell(place=2)
        call = json.loads(asked.read_text())
        assert (call["path"], call["asked"] > 1_700_000_000) == (SECOND, True)
        lesson.locator(".mynn-told").click()
        expect(lesson.locator(".mynn-told")).to_have_count(0)
        lesson.reload()
        expect(button).to_have_text("You are number 2")
        tell(number=2, helped=call["asked"])
        expect(button).to_have_attribute("aria-pressed", "false")
        lesson.locator(".mynn-told").click()
        expect(lesson.locator(".jp-CodeCell").nth(1).locator(".mynn-note")).to_contain_text(HOSTILE)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "false")
    assert json.loads(asked.read_text()) == {"read": 2, "path": "", "asked": 0}
    tell(number=3)
    page.bring_to_front()
    page.evaluate(LOOK)
    expect(page.locator("#told strong")).to_have_text(HOSTILE)
    page.get_by_role("button", name="Read").click()
    expect(page.locator("#told p")).to_have_count(0)


def test_files_are_uploaded_and_never_overwritten(page: Page, server: Server, tmp_path: Path) -> None:
    name, second = "<b>&\" 'photo'#1.png", "<b>&\" 'photo'#1 (2).png"
    write(server, name, "the first")
    (tmp_path / name).write_bytes(bytes(range(256)))
    page.locator("#upload").set_input_files(tmp_path / name)
    expect(page.locator("#result")).to_contain_text(f"is here, as {second}.")
    expect(page.locator("#files a", has_text=second)).to_be_visible()
    assert (server.home / "notebooks" / name).read_text() == "the first"
    assert (server.home / "notebooks" / second).read_bytes() == bytes(range(256))
    (tmp_path / "IMG_1.HEIC").touch()
    page.locator("#upload").set_input_files(tmp_path / "IMG_1.HEIC")
    expect(page.locator("#result")).to_contain_text("IMG_1.HEIC is here, but lessons cannot read a HEIC photo.")


@pytest.mark.slow
def test_the_page_asks_again_if_the_pi_does_not_answer(page: Page) -> None:
    page.route("**/start/status", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.locator("#trouble")).to_contain_text("The Pi does not answer.")
    expect(page.locator(".lesson").first).to_be_visible()
    expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.slow
def test_a_notebook_of_another_program_asks_for_none(page: Page, browser: BrowserContext, server: Server) -> None:
    write(server, "other.ipynb", notebook("Other").replace('"python3"', '"julia-1.9"'))
    other = browser.new_page()
    other.goto(f"{server.url}/notebooks/other.ipynb")
    expect(other.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    expect(other.locator(".jp-Dialog")).to_have_count(0)
    other.close()
    page.bring_to_front()
    page.get_by_role("button", name="End").click()
    expect(page.get_by_role("button", name="End")).to_have_count(0)
    (server.home / "notebooks/other.ipynb").unlink()


@pytest.mark.slow
def test_a_cell_that_is_run_at_once_runs_once_in_one_program(
    page: Page, browser: BrowserContext, server: Server
) -> None:
    """By the keyboard too. Jupyter would start a second program, and what the first shows would be lost."""
    write(server, "early.ipynb", notebook("Early", "print('here')"))
    early = browser.new_page()
    early.add_init_script(LATE)
    early.goto(f"{server.url}/notebooks/early.ipynb")
    for _ in range(2):
        early.locator(".jp-CodeCell .cm-content").click()
        early.keyboard.press("Control+Enter")
    expect(early.locator(".jp-OutputArea-output")).to_have_text("here")
    expect(early.locator(".jp-CodeCell .jp-InputPrompt")).to_have_text("[1]:")
    sessions = server.student().get("/api/sessions")
    assert [one["path"] for one in sessions if one["path"] == "early.ipynb"] == ["early.ipynb"]
    assert len(server.student().get("/api/kernels")) == len(sessions)
    early.close()
    for one in sessions:
        server.student().delete(f"/api/sessions/{one['id']}")
    (server.home / "notebooks/early.ipynb").unlink()


@pytest.mark.slow
def test_in_a_new_notebook_an_error_is_explained_and_its_traceback_is_folded(
    page: Page, browser: BrowserContext
) -> None:
    with browser.expect_page() as opened:
        page.get_by_role("button", name="New notebook").click()
    expect(opened.value.locator(".jp-CodeCell")).to_be_visible()
    expect(opened.value).to_have_url(re.compile("/notebooks/Untitled.ipynb"))
    cell, said = opened.value.locator(".jp-CodeCell .cm-content").first, opened.value.get_by_text("divided by 0.")

    def ask() -> None:
        cell.fill("1 / 0")  # each time: while the page still arranges its focus, what is typed can be lost
        cell.press("Control+Enter")

    run_until(opened.value, ask, said)
    report = opened.value.locator("details:not([open])", has_text="Traceback (most recent call last)")
    expect(report).to_have_count(1)
    assert "---->" not in str(report.text_content()), "The report has its context, which takes long on a Pi Zero."
    opened.value.close()
    expect(page.get_by_role("link", name="Untitled.ipynb")).to_be_visible()
    page.get_by_role("button", name="End").click()
    expect(page.get_by_role("button", name="End")).to_have_count(0)


def test_after_the_session_ends_the_page_asks_for_the_password(page: Page) -> None:
    page.context.clear_cookies()
    page.get_by_role("button", name="New notebook").click()
    expect(page.locator("input[name=password]")).to_be_visible()
