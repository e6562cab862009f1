"""What a pupil types is not lost: at a reload, in a closed tab, signed out, or when the Pi is gone for a while."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.support.browser import assert_accessible, open_browser, open_firefox, sign_in
from tests.support.classroom import until
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.pupil import PHONE, TABLET
from tests.unit.mynn_server.conftest import notebook, write

pytestmark = pytest.mark.slow
NAME = "kept.ipynb"
# Saves as a page is left, and not before: nothing waits as long as the pause after a key.
PATIENT = "{ const plain = setTimeout; window.setTimeout = (act, after) => plain(act, after === 3000 ? 1e8 : after); }"


@pytest.fixture(scope="module", params=[open_browser, open_firefox], ids=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, chromium: None, server: Server) -> Iterator[BrowserContext]:
    """A browser that is signed in."""
    with request.param(60_000) as context:
        sign_in(context.new_page(), server.url, PASSWORD)
        yield context


@pytest.fixture
def path(server: Server) -> Iterator[Path]:
    """A notebook, ended afterwards."""
    path = write(server, NAME, notebook("Kept", "print('hello')"))
    yield path
    client = server.student()
    for session in client.get("/api/sessions"):
        client.delete(f"/api/sessions/{session['id']}")
    for one in path.parent.glob("kept*"):
        one.unlink()


def opened(browser: BrowserContext, server: Server, script: str = "") -> Page:
    """Open the notebook on a tablet."""
    page = browser.new_page()
    page.set_viewport_size(TABLET)
    page.add_init_script(script)
    page.on("dialog", lambda question: question.accept())
    page.goto(f"{server.url}/notebooks/{NAME}")
    expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    return page


def cell_of(page: Page) -> Locator:
    return page.locator(".jp-CodeCell .cm-content").first


def write_cell(page: Page, text: str) -> None:
    cell_of(page).fill(text)
    expect(cell_of(page)).to_have_text(text)


def test_what_was_typed_is_saved_some_seconds_later(browser: BrowserContext, server: Server, path: Path) -> None:
    page = opened(browser, server)
    write_cell(page, "# mine")
    until(lambda: "# mine" in path.read_text())
    page.close()


def test_what_was_typed_last_is_there_after_a_reload_and_in_a_closed_tab(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """With the outputs that were saved before."""
    page = opened(browser, server, PATIENT)
    page.get_by_role("button", name="Run all").click()
    expect(page.get_by_text("hello", exact=True)).to_be_visible()
    page.keyboard.press("Control+s")
    until(lambda: '"text": [' in path.read_text() and "hello\\n" in path.read_text())
    write_cell(page, "# reloaded")
    page.reload()
    expect(cell_of(page)).to_have_text("# reloaded")
    expect(page.get_by_text("hello", exact=True)).to_be_visible()
    write_cell(page, "# closed")
    with page.expect_event("close"):  # Jupyter may ask first, which is accepted
        page.close(run_before_unload=True)
    until(lambda: "# closed" in path.read_text())
    assert [one.name for one in path.parent.glob("kept*")] == [NAME]


def test_what_the_pi_did_not_get_is_sent_by_the_next_page(browser: BrowserContext, server: Server, path: Path) -> None:
    """Beside what another page has saved meanwhile."""
    for other in (False, True):
        page = opened(browser, server, PATIENT)
        write_cell(page, f"# kept, {other}")
        browser.set_offline(True)
        page.goto("about:blank")
        page.close()
        browser.set_offline(False)
        if other:
            path.write_text(notebook("Kept", "# of another page"))
        page = opened(browser, server)
        if other:
            expect(page.locator(".mynn-told")).to_contain_text(
                "What you typed last, in this browser, is saved as “kept ("
            )
            assert sorted("# kept, True" in one.read_text() for one in path.parent.glob("kept*")) == [False, True]
        else:
            expect(cell_of(page)).to_have_text("# kept, False")
        page.close()


def test_a_pupil_who_is_signed_out_signs_in_on_the_spot(browser: BrowserContext, server: Server, path: Path) -> None:
    page = opened(browser, server)
    browser.clear_cookies()
    write_cell(page, "# signed out")
    line = page.locator("form.mynn-told")
    expect(line).to_contain_text("You are not signed in any more.")
    for screen in (PHONE, TABLET):
        page.set_viewport_size(screen)
        expect(line.get_by_role("button")).to_be_in_viewport(ratio=1)
        assert_accessible(page, ".mynn-bar", "form.mynn-told")
    for password, says in (("mooncake8", "That is not this Pi’s password"), (PASSWORD, "")):
        line.get_by_label("The Pi’s password").fill(password)
        line.get_by_role("button", name="Sign in").click()
        expect(line).to_contain_text(says) if says else expect(line).to_have_count(0)
    until(lambda: "# signed out" in path.read_text())
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    page.close()


def test_the_bar_says_that_the_pi_does_not_answer_and_goes_on_when_it_is_back(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """Without a dialog. If the Pi was switched off meanwhile, the lesson has another program."""
    page = opened(browser, server)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        expect(page.locator("form.mynn-told")).to_contain_text("The Pi does not answer")
        expect(page.locator(".mynn-state")).to_have_text("The Pi does not answer")
        write_cell(page, "print('from' + ' away')")
        page.get_by_role("button", name="Run all").click()
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    expect(page.get_by_text("from away", exact=True)).to_be_visible()
    until(lambda: "' away'" in path.read_text())
    browser.set_offline(True)
    expect(page.locator(".mynn-bar[data-state=silent]")).to_be_visible()
    for session in server.student().get("/api/sessions"):
        server.student().delete(f"/api/sessions/{session['id']}")
    browser.set_offline(False)
    expect(page.locator(".mynn-told")).to_contain_text("The Pi was switched off meanwhile")
    expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    write_cell(page, "print('again' + ' here')")
    page.get_by_role("button", name="Run all").click()
    expect(page.get_by_text("again here", exact=True)).to_be_visible()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    page.close()
