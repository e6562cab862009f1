"""Nothing is lost when a page is closed, and nothing locks it: in a browser, with the role jupyter's settings."""

import functools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.provisioned.notebook_server import Kernel, NotebookServer
from tests.support.browser import run_until, sign_in
from tests.support.classroom import until
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.unit.mynn_server.conftest import notebook, write

pytestmark = pytest.mark.slow
# It goes on once the file is there.
TRAINING = """import os, time
for epoch in range(12):
    print('epoch', epoch)
    while epoch == 5 and not os.path.exists('kept.go'):
        time.sleep(0.1)"""


@pytest.fixture(scope="module")
def browser(browser: BrowserContext, server: Server) -> BrowserContext:
    sign_in(browser.pages[0], server.url, PASSWORD)
    expect(browser.pages[0]).to_have_url(re.compile(r"/start/\??$"))
    return browser


@pytest.fixture
def path(server: Server, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A notebook with the code that a test asks for; afterwards, its program is ended."""
    text = notebook("A lesson").replace("print('hello')", json.dumps(request.param)[1:-1])
    path = write(server, "kept.ipynb", text)
    yield path
    end_all(server.student())
    for left in path.parent.glob("kept*"):
        left.unlink()


def end_all(student: NotebookServer) -> None:
    for session in student.get("/api/sessions"):
        student.delete(f"/api/sessions/{session['id']}")


def open_page(browser: BrowserContext, server: Server) -> Page:
    page = browser.new_page()
    page.goto(f"{server.url}/notebooks/kept.ipynb")
    expect(page.locator(".jp-CodeCell")).to_be_visible()
    return page


def run(page: Page) -> None:
    cell = page.locator(".jp-CodeCell .cm-content")
    run_until(page, lambda: cell.press("Control+Enter"), page.locator(".jp-OutputArea-output").first)


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
    page = open_page(browser, server)
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


@pytest.mark.parametrize("path", ["print('mine')"], indirect=True)
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


@pytest.mark.parametrize("path", ["print('mine')"], indirect=True)
def test_two_pages_of_one_notebook_overwrite_nothing(browser: BrowserContext, server: Server, path: Path) -> None:
    """The second to save is told so, and goes on in a file of its own."""
    pages = [open_page(browser, server) for _ in "12"]
    for page in pages:  # or its first key to save may be missed
        expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    for page, text in zip(pages * 2, ("# one", "# two", "# three", "# four"), strict=True):
        page.locator(".jp-CodeCell .cm-content").press("Control+End")
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


@pytest.mark.parametrize("path", ["print('mine')"], indirect=True)
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
