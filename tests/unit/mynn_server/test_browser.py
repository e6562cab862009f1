"""The start page and Jupyter's pages in a browser, on a server with the role jupyter's settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Response, Route, expect

from tests.support.browser import DESKTOP, open_browser, run_until, sign_in
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.pupil import PHONE
from tests.unit.mynn_server.conftest import FIRST, HOSTILE, SECOND, THIRD, wait_until, write

PATIENCE = 180_000  # milliseconds


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[BrowserContext]:
    """A browser without Internet access."""
    with open_browser(PATIENCE, offline=True) as context:
        yield context


@pytest.fixture(scope="module")
def failures(browser: BrowserContext) -> list[str]:
    """The error answers so far, and the violations of the Content Security Policy."""
    found: list[str] = []

    def note(answer: Response) -> None:
        if answer.status >= 400:
            found.append(f"{answer.status} {answer.url}")

    browser.on("response", note)
    policy = "Content Security Policy"
    browser.on("console", lambda line: found.append(line.text) if policy in line.text else None)
    return found


@pytest.fixture(scope="module")
def page(browser: BrowserContext, failures: list[str], server: Server) -> Page:
    page = browser.pages[0]
    sign_in(page, server.url, PASSWORD)
    expect(page).to_have_url(re.compile(r"/start/\??$"))
    return page


def open_lesson(page: Page, browser: BrowserContext, title: str) -> Page:
    """Open a lesson by its card; return its page when its kernel is idle."""
    with browser.expect_page() as opened:
        page.get_by_role("link", name=f"Start: {title}").click()
    expect(opened.value.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    return opened.value


def end_lesson(page: Page, title: str) -> None:
    """End a lesson that has nothing to do: Playwright answers no if the page asks whether it should end."""
    card = page.locator(".lesson", has_text=title)
    card.get_by_role("button", name="End").click()
    expect(card.get_by_role("button", name="End")).to_have_count(0)


def claim_busy(route: Route) -> None:
    """Answer that each program works, as it did a moment ago."""
    status = route.fetch().json()
    route.fulfill(json=status | {"running": [program | {"busy": True} for program in status["running"]]})


def test_cards_are_shown_in_order(page: Page, failures: list[str]) -> None:
    """With the titles as plain text, whatever they contain, and a picture each."""
    titles = page.locator(".lesson h3")
    expect(titles).to_have_text(["Ten thousand", HOSTILE, "A network from nothing", "Part9 damaged"])
    expect(page.locator(".lesson").first).to_contain_text("10 minutes on this Pi")
    expect(page.locator(".lesson.next h3")).to_have_text("Ten thousand")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(picture => picture.naturalWidth).length") == 4
    assert failures == []


@pytest.mark.slow
def test_a_lesson_is_opened_and_ended_and_links_back(page: Page, browser: BrowserContext, failures: list[str]) -> None:
    """Its page has no button that opens JupyterLab."""
    before = len(failures)
    lesson = open_lesson(page, browser, "Ten thousand")
    try:
        expect(lesson.get_by_text("MB free")).to_be_visible()
        expect(lesson.get_by_role("button", name="JupyterLab")).to_have_count(0)
        expect(lesson.locator("#jp-NotebookLogo")).to_have_count(0)
        for menu in ("File", "View", "Help"):
            lesson.get_by_role("menuitem", name=menu, exact=True).click()
            expect(lesson.locator(".lm-Menu")).to_be_visible()
            expect(lesson.locator(".lm-Menu [data-command='application:open-lab']")).to_have_count(0)
            lesson.keyboard.press("Escape")
        lesson.set_viewport_size(PHONE)
        expect(lesson.locator("#mynn-small-home")).to_be_in_viewport()
        lesson.set_viewport_size(DESKTOP)
        pages = len(browser.pages)
        lesson.locator("#mynn-home").click()
        page.wait_for_timeout(500)
        assert len(browser.pages) == pages, "The link back opened a second start page."
        page.bring_to_front()
        card = page.locator(".lesson").first
        expect(card).to_contain_text("Running")
        lesson.evaluate("document.body.dataset.mark = 'still here'")
        card.get_by_role("link", name="Continue").click()
        page.wait_for_timeout(500)
        assert len(browser.pages) == pages, "An open lesson was opened a second time."
        assert lesson.evaluate("document.body.dataset.mark") == "still here", "An open lesson was loaded again."
        page.bring_to_front()
        page.route("**/start/status", claim_busy, times=1)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(card).to_contain_text("Working")
        end_lesson(page, "Ten thousand")
        assert failures[before:] == []
    finally:
        lesson.close()


@pytest.mark.slow
def test_a_lesson_says_that_its_kernel_stopped(page: Page, browser: BrowserContext, server: Server) -> None:
    lesson = open_lesson(page, browser, "Ten thousand")
    try:
        # If the kernel dies before the page has heard of it, the page may not say so.
        cell, output = lesson.locator(".jp-CodeCell .cm-content").first, lesson.locator(".jp-OutputArea-output").first
        run_until(lesson, lambda: cell.press("Shift+Enter"), output, PATIENCE)
        subprocess.run(["pkill", "-KILL", "--parent", str(server.process.pid)], check=True)
        expect(lesson.locator(".jp-Dialog-body")).to_contain_text("This lesson’s program stopped unexpectedly")
        lesson.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
        page.bring_to_front()
        died = page.locator(".lesson .died")
        expect(died).to_contain_text("This lesson’s program stopped unexpectedly")
        end_lesson(page, "Ten thousand")
        expect(died).to_have_count(0)
    finally:
        lesson.close()


@pytest.mark.slow
def test_the_teachers_message_is_shown_and_saves_an_open_lesson(
    page: Page, browser: BrowserContext, server: Server, pristine: Path
) -> None:
    """The Pi may be switched off next. The lesson is also saved when the student changes to another tab."""
    message, path = pristine / "message", server.home / "notebooks" / SECOND
    lesson = open_lesson(page, browser, "A network from nothing")
    try:
        cell = lesson.locator(".jp-CodeCell .cm-content").first
        cell.click()
        lesson.keyboard.type("# mine")
        message.write_text(json.dumps({"text": "Five more <b>minutes</b>", "minutes": 45}))
        os.utime(message, (time.time() - 200,) * 2)
        expect(lesson.locator("#mynn-message")).to_have_text("Five more <b>minutes</b>")
        wait_until(lambda: "# mine" in path.read_text())
        lesson.locator("#mynn-message").click()
        expect(lesson.locator("#mynn-message")).to_be_hidden()
        cell.click()
        lesson.keyboard.type("# ours")
        lesson.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        wait_until(lambda: "# ours" in path.read_text())
        page.bring_to_front()
        expect(page.locator("#message-when")).to_have_text("Your teacher, 3 min ago")
        message.unlink()
        expect(page.locator("#message")).to_be_hidden()
        end_lesson(page, "A network from nothing")
    finally:
        message.unlink(missing_ok=True)
        lesson.close()


def test_one_click_puts_a_missing_lesson_back(page: Page, server: Server) -> None:
    card = page.locator(".lesson").nth(1)
    card.get_by_role("button", name="Put it back").click()
    expect(card.get_by_role("link", name="Start")).to_be_visible()
    (server.home / "notebooks" / THIRD).unlink()


def test_files_are_uploaded_and_never_overwritten(page: Page, server: Server, tmp_path: Path) -> None:
    """Nor does an answer that comes late hide an upload: a Pi is slow."""
    held: list[Route] = []
    page.route("**/start/status", lambda route: route.continue_() if held else held.append(route))
    name = "<b>&\" 'photo'#1.png"
    write(server, name, "the first")
    with page.expect_request("**/start/status"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    late = page.request.get(f"{server.url}/start/status")
    (tmp_path / name).write_bytes(bytes(range(256)))
    page.locator("#upload").set_input_files(tmp_path / name)
    expect(page.locator("#result")).to_contain_text("is here, as <b>&\" 'photo'#1 (2).png.")
    wait_until(lambda: bool(held))
    held[0].fulfill(response=late)
    second = name.replace(".png", " (2).png")
    expect(page.locator("#files a", has_text=second)).to_be_visible()
    expect(page.locator("#files a", has_text=FIRST)).to_have_count(0)
    assert (server.home / "notebooks" / name).read_text() == "the first"
    assert (server.home / "notebooks" / second).read_bytes() == bytes(range(256))
    page.unroute("**/start/status")


def test_the_page_asks_again_if_the_pi_does_not_answer(page: Page) -> None:
    page.route("**/start/status", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.locator("#trouble")).to_contain_text("The Pi does not answer.")
    expect(page.locator(".lesson").first).to_be_visible(timeout=60_000)
    expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.slow
def test_a_new_notebook_can_be_opened(page: Page, browser: BrowserContext) -> None:
    with browser.expect_page() as opened:
        page.get_by_role("button", name="New notebook").click()
    expect(opened.value.locator(".jp-CodeCell")).to_be_visible()
    expect(opened.value).to_have_url(re.compile("/notebooks/Untitled.ipynb"))
    opened.value.close()
    expect(page.get_by_role("link", name="Untitled.ipynb")).to_be_visible()


def test_after_the_session_ends_the_page_asks_for_the_password(page: Page) -> None:
    page.context.clear_cookies()
    page.get_by_role("button", name="New notebook").click()
    expect(page.locator("input[name=password]")).to_be_visible()
