"""Nothing is lost if a page is closed or signed out, or its Pi off: in a browser, with the role jupyter's settings."""

import functools
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, WebSocketRoute, expect

from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.browser import assert_accessible, open_browser, open_firefox, run_until, sign_in
from tests.support.classroom import until
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.pupil import PHONE, TABLET
from tests.unit.mynn_server.conftest import notebook, write

pytestmark = pytest.mark.slow
# It goes on once the file is there.
TRAINING = """import os, time
for epoch in range(12):
    print('epoch', epoch)
    while epoch == 5 and not os.path.exists('kept.go'):
        time.sleep(0.1)"""
# Saves as a page is left, and not before: nothing waits as long as the pause before a save.
PATIENT = "{ const plain = setTimeout; window.setTimeout = (act, after) => plain(act, after === 3000 ? 1e8 : after); }"
# Its last request does not reach the Pi. (Some get there although Chromium is offline.)
NEVER_SENT = (
    "{ const plain = fetch; window.fetch = (to, how) => (how?.keepalive ? Promise.reject() : plain(to, how)); }"
)
OFFLINE = functools.partial(open_browser, offline=True)
BOTH = pytest.mark.parametrize("browser", [OFFLINE, open_firefox], ids=["chromium", "firefox"], indirect=True)


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest, chromium: None, server: Server) -> Iterator[BrowserContext]:
    """Chromium, or what a test asks for, signed in."""
    with getattr(request, "param", OFFLINE)() as context:
        page = context.new_page()
        sign_in(page, server.url, PASSWORD)
        expect(page).to_have_url(re.compile(r"/start/\??$"))
        yield context


@pytest.fixture
def path(server: Server, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A notebook with the code that a test asks for; afterwards, its program is ended."""
    text = notebook("A lesson").replace("print('hello')", json.dumps(getattr(request, "param", "print('mine')"))[1:-1])
    path = write(server, "kept.ipynb", text)
    yield path
    end_all(server.student())
    for left in path.parent.glob("kept*"):
        left.unlink()


def end_all(student: NotebookServer) -> None:
    for session in student.get("/api/sessions"):
        student.delete(f"/api/sessions/{session['id']}")


def open_page(browser: BrowserContext, server: Server, script: str = "", state: str = "[data-state=idle]") -> Page:
    page = browser.new_page()
    page.add_init_script(script)
    page.on("dialog", lambda question: question.accept())
    page.goto(f"{server.url}/notebooks/kept.ipynb")
    expect(page.locator(f".mynn-bar{state}")).to_be_visible()
    return page


def cell_of(page: Page) -> Locator:
    return page.locator(".jp-CodeCell .cm-content")


def retype(page: Page, text: str) -> None:
    def has_it() -> bool:
        cell_of(page).fill(text)  # each time: as a page arranges its focus, Firefox forgets that all is selected
        return cell_of(page).inner_text() == text

    until(has_it)


def run(page: Page) -> None:
    run_until(page, lambda: cell_of(page).press("Control+Enter"), page.locator(".jp-OutputArea-output").first)


def printed(path: Path) -> str:
    return "".join("".join(output.get("text", "")) for output in json.loads(path.read_text())["cells"][1]["outputs"])


def missed(student: NotebookServer, kernel: str) -> list[Any]:
    """Return what the server keeps for pages: the runs of a kernel's cells."""
    return list(student.get(f"/start/missed?kernel={kernel}&since=0")["runs"])


def have_ended(student: NotebookServer, kernel: str) -> bool:
    runs = missed(student, kernel)
    return bool(runs) and not any(run["running"] for run in runs)


def is_saved(path: Path, text: str) -> bool:
    return any(text in kept.read_text() for kept in path.parent.glob("kept*.ipynb"))


@pytest.mark.parametrize("path", [TRAINING], indirect=True)
def test_a_page_that_was_closed_shows_all_that_its_cell_has_printed(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """And saves it. If no page is opened before its program ends, the server has written it into the file."""
    whole, go = "".join(f"epoch {number}\n" for number in range(12)), path.with_suffix(".go")
    page = open_page(browser, server)
    run(page)
    page.close()
    page = open_page(browser, server, state="")
    expect(page.locator(".jp-OutputArea-output")).to_contain_text("epoch 5")
    expect(page.locator(".jp-InputPrompt").last).to_have_text("[*]:")
    go.touch()
    expect(page.locator(".jp-InputPrompt").last).to_have_text("[1]:")
    expect(page.locator(".jp-OutputArea-output")).to_have_text(whole)
    until(lambda: printed(path) == whole)
    go.unlink()
    run(page)
    expect(page.locator(".jp-OutputArea-output")).not_to_contain_text("epoch 6")
    page.close()
    go.touch()
    student = server.student()
    kernel = student.get("/api/kernels")[0]["id"]  # whose state is not its cell's: it is idle after each message
    until(lambda: have_ended(student, kernel))
    end_all(student)
    assert missed(student, kernel) == [], "A page that still asks does not learn that nothing is left to ask."
    assert printed(path) == whole and json.loads(path.read_text())["cells"][1]["execution_count"] == 2


def test_a_server_that_ends_writes_what_no_page_has_saved(venv: Path) -> None:
    """As when the Pi is switched off. A page that is open saves that itself, or there would be two versions."""
    with run_server(venv) as server:
        student, kernels = server.student(), []
        paths = [write(server, name, notebook("A lesson")) for name in ("open.ipynb", "closed.ipynb")]
        for path in paths:
            identity = student.open_notebook(path.name)["kernel"]["id"]
            kernels.append(Kernel(identity, student.connect(identity)))
            assert kernels[-1].run("print('hello')", cell="b0").text == "hello\n"
            until(functools.partial(have_ended, student, identity))  # so the server has heard it, too
        kernels[1].socket.close()
        server.process.terminate()
        assert server.process.wait(60) == 0
        assert [printed(path) for path in paths] == ["", "hello\n"]


def test_what_a_pupil_starts_again_does_not_come_back(browser: BrowserContext, server: Server, path: Path) -> None:
    """It did when the page asked what it had missed: the next run seemed to be over before it had begun."""
    page = open_page(browser, server)
    run(page)
    page.get_by_role("button", name="Start again").click()
    with page.expect_response("**/start/missed?*"):
        page.locator(".jp-Dialog").get_by_role("button", name="Start again").click()
    page.wait_for_event("response", lambda answer: "/start/missed?" in answer.url)  # the one before is shown by now
    expect(page.locator(".jp-InputPrompt").last).to_have_text("[ ]:")
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    page.close()


@pytest.mark.parametrize("path", ["while True: print('hallo')"], indirect=True)
def test_a_cell_that_prints_without_end_can_be_stopped(browser: BrowserContext, server: Server, path: Path) -> None:
    page = open_page(browser, server)
    run(page)
    expect(page.locator(".jp-OutputArea")).to_contain_text("characters are left out here.")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".jp-InputPrompt").last).to_have_text("[1]:")
    metrics = page.context.new_cdp_session(page).send("Runtime.getHeapUsage")
    assert metrics["usedSize"] < 200 << 20
    page.keyboard.press("Control+s")
    until(lambda: "KeyboardInterrupt" in path.read_text())
    assert path.stat().st_size < 1_000_000
    page.close()


def test_two_pages_of_one_notebook_overwrite_nothing(browser: BrowserContext, server: Server, path: Path) -> None:
    """The second to save is told so, and goes on in a file of its own."""
    pages = [open_page(browser, server) for _ in "12"]
    for page, text in zip(pages * 2, ("# one", "# two", "# three", "# four"), strict=True):
        cell_of(page).press("Control+End")
        page.keyboard.type(text)
        page.keyboard.press("Control+s")
        until(functools.partial(is_saved, path, text))
    expect(pages[1].locator(".mynn-told")).to_have_text(re.compile("^Another page has changed “kept.ipynb”"))
    expect(pages[0].locator(".mynn-told")).to_have_count(0)
    [other] = path.parent.glob("kept (from another page, *).ipynb")
    for kept, texts, others in ((path, ("# one", "# three"), "# two"), (other, ("# two", "# four"), "# one")):
        assert all(text in kept.read_text() for text in texts) and others not in kept.read_text()
    for page in pages:
        page.close()


def test_a_page_that_was_asleep_when_its_program_died_says_so(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """A tablet closes the connection of a page in the background, so Jupyter's page hears of nothing."""
    is_asleep, connections = [False], list[WebSocketRoute]()

    def connect(route: WebSocketRoute) -> None:
        connections.append(route)
        if not is_asleep[0]:  # or it leads nowhere
            route.connect_to_server()

    browser.route_web_socket(re.compile("/channels"), connect)
    page = open_page(browser, server)
    run(page)
    is_asleep[0] = True
    before = len(connections)
    connections[-1].close()
    until(lambda: page.evaluate("true") and len(connections) > before)
    subprocess.run(["pkill", "-KILL", "--parent", str(server.process.pid)], check=True)
    until(lambda: server.student().get("/start/status")["running"][0]["died"])
    is_asleep[0] = False
    connections[-1].close()
    expect(page.locator(".mynn-told")).to_have_text(re.compile("This lesson’s program stopped unexpectedly"))
    page.close()


@BOTH
def test_what_was_typed_last_is_there_after_a_reload_and_in_a_closed_tab(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """With the outputs that were saved before."""
    page = open_page(browser, server, PATIENT)
    run(page)
    page.keyboard.press("Control+s")
    until(lambda: printed(path) == "mine\n")
    retype(page, "# reloaded")
    page.reload()
    expect(cell_of(page)).to_have_text("# reloaded")
    expect(page.get_by_text("mine", exact=True)).to_be_visible()
    retype(page, "# closed")
    with page.expect_event("close"):  # Jupyter may ask first, which is accepted
        page.close(run_before_unload=True)
    until(lambda: "# closed" in path.read_text())
    page = open_page(browser, server)
    expect(cell_of(page)).to_have_text("# closed")
    assert [one.name for one in path.parent.glob("kept*")] == [path.name]
    page.close()


@BOTH
def test_what_the_pi_did_not_get_is_sent_by_the_next_page(browser: BrowserContext, server: Server, path: Path) -> None:
    """Beside what another page has saved meanwhile."""
    for other in (False, True):
        page = open_page(browser, server, PATIENT + NEVER_SENT)
        retype(page, f"# kept, {other}")
        page.goto("about:blank")
        page.close()
        if other:
            path.write_text(notebook("Kept", "# of another page"))
        page = open_page(browser, server)
        expect(cell_of(page)).to_have_text("# of another page" if other else "# kept, False")
        expect(page.locator(".mynn-told")).to_have_count(int(other))
        assert is_saved(path, f"# kept, {other}") and len([*path.parent.glob("kept*")]) == 1 + other
        page.close()


@BOTH
def test_a_pupil_who_is_signed_out_signs_in_on_the_spot(browser: BrowserContext, server: Server, path: Path) -> None:
    page, other = open_page(browser, server), browser.new_page()
    other.goto(f"{server.url}/logout")
    expect(other.locator("input[name=password]")).to_be_visible()
    other.close()
    retype(page, "# signed out")
    line = page.locator("form.mynn-told")
    expect(line).to_contain_text("You are not signed in any more.")
    for screen in (PHONE, TABLET):
        page.set_viewport_size(screen)
        expect(line.get_by_role("button")).to_be_in_viewport(ratio=1)
        assert_accessible(page, ".mynn-bar", "form.mynn-told")
    for password, says in (("mooncake8", "That is not the password of"), (PASSWORD, "")):
        line.get_by_label("The Pi’s password").fill(password)
        line.get_by_role("button", name="Sign in").click()
        expect(line).to_contain_text(says) if says else expect(line).to_have_count(0)
    until(lambda: "# signed out" in path.read_text())
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    page.close()


@BOTH
def test_the_bar_says_that_the_pi_does_not_answer_and_goes_on_when_it_is_back(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """Without a dialog. If the Pi was switched off meanwhile, the lesson's program has ended."""
    page = open_page(browser, server)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        expect(page.locator(".mynn-told")).to_contain_text("The Pi does not answer")
        retype(page, "print('from' + ' away')")
        page.get_by_role("button", name="Run all").click()
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    expect(page.get_by_text("from away", exact=True)).to_be_visible()
    until(lambda: printed(path) == "from away\n")
    browser.set_offline(True)
    expect(page.locator(".mynn-bar[data-state=silent]")).to_be_visible()
    end_all(server.student())
    browser.set_offline(False)
    run_another(page, server)
    page.close()


def run_another(page: Page, server: Server) -> None:
    """Run a cell in a page that says that its lesson's program has ended."""
    expect(page.locator(".mynn-told")).to_contain_text("This lesson’s program has ended")
    expect(page.locator(".mynn-bar")).to_contain_text("Stopped")
    assert server.student().get("/api/sessions") == [], "Nobody has asked for another program."
    retype(page, "print('again' + ' here')")
    run(page)
    expect(page.get_by_text("again here", exact=True)).to_be_visible()
    expect(page.locator(".jp-Dialog")).to_have_count(0)


def test_an_open_page_says_that_its_unused_program_was_ended(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    page = open_page(browser, server)
    run(page)
    end_all(server.student())
    run_another(page, server)
    page.close()


def test_what_is_run_while_the_pi_is_away_waits_for_a_new_connection(
    browser: BrowserContext, server: Server, path: Path
) -> None:
    """As if the Wi-Fi were gone: the page's connection looks open, and leads nowhere."""
    connections, lost = list[WebSocketRoute](), list[WebSocketRoute]()

    def connect(route: WebSocketRoute) -> None:
        there = route.connect_to_server()
        route.on_message(lambda message: None if route in lost else there.send(message))
        connections.append(route)

    browser.route_web_socket(re.compile("/channels"), connect)
    page = open_page(browser, server)
    lost += connections
    browser.set_offline(True)
    expect(page.locator(".mynn-bar[data-state=silent]")).to_be_visible()
    page.get_by_role("button", name="Run all").click()
    browser.set_offline(False)
    expect(page.get_by_text("mine", exact=True)).to_be_visible()
    page.close()
