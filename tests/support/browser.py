"""What a student does in a browser: drives Debian's Chromium, and its Firefox, with Playwright."""

import io
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import BrowserContext, FloatRect, Locator, Page, ViewportSize, expect, sync_playwright

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import BaseClassroom
from tests.support.programs import ROOT

CHROMIUM, FIREFOX = Path("/usr/bin/chromium"), Path("/usr/bin/firefox-esr")
ARGUMENTS = [
    "--no-sandbox",  # needed to run as root; it opens our own pages only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READING = "part2_neural_network_mnist_data.ipynb"
TURNING = "part3_mnist_data_set_with_rotations.ipynb"
MINUTES = 60_000  # milliseconds, for Playwright
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SMALL_SCREENS: list[ViewportSize] = [{"width": 390, "height": 844}, {"width": 820, "height": 1180}]
# Firefox reaches this computer only: anything else goes to a proxy that is not there.
PROXY: dict[str, str | int] = {"type": 1, "http": "127.0.0.1", "http_port": 9, "ssl": "127.0.0.1", "ssl_port": 9}
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


def url_of(classroom: BaseClassroom) -> str:
    """Return the URL of the notebook server."""
    return f"http://{classroom.address}:8888"


@contextmanager
def open_browser(
    patience: float = 10 * MINUTES, *, viewport: ViewportSize = DESKTOP, offline: bool = False, **screen: Any
) -> Iterator[BrowserContext]:
    """Open a browser with a new profile.

    ``patience`` is its default timeout in milliseconds. ``offline``: it reaches this computer only. ``screen``: more of
    Playwright's options, such as ``has_touch``.
    """
    arguments = [*ARGUMENTS, OFFLINE] if offline else ARGUMENTS
    with tempfile.TemporaryDirectory(prefix="mynn-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=arguments, viewport=viewport, **screen
        )
        context.set_default_timeout(patience)
        expect.set_options(timeout=patience)
        yield context
        context.close()


@contextmanager
def open_firefox(patience: float = 10 * MINUTES) -> Iterator[BrowserContext]:
    """Open Firefox with a new profile, offline. It has no touch screen. Without a Firefox, skip the test."""
    if not FIREFOX.exists():
        pytest.skip(f"there is no browser {FIREFOX}: `make browser` installs it")
    with sync_playwright() as playwright:
        browser = playwright.firefox.launch(
            channel="moz-firefox",  # as Mozilla makes it, and not as Playwright does
            executable_path=FIREFOX,
            firefox_user_prefs={f"network.proxy.{name}": value for name, value in PROXY.items()},
        )
        context = browser.new_context(viewport=DESKTOP)
        context.set_default_timeout(patience)
        expect.set_options(timeout=patience)
        yield context
        browser.close()


def import_modules(page: Page, *names: str) -> None:
    """Open an empty page that has what these modules of mynn export, as `ours`."""
    address = "http://mynn.test/"  # nobody is asked: a module has an address, which others import it by
    page.route(f"{address}*", lambda route: route.fulfill(body="", content_type="text/html"))
    page.route(f"{address}*.js", lambda route: route.fulfill(path=ROOT / "mynn" / route.request.url.rpartition("/")[2]))
    page.goto(address)
    for name in names:
        page.evaluate(f"async () => window.ours = {{...window.ours, ...await import('/{name}')}}")


def signed_in_server(classroom: BaseClassroom) -> NotebookServer:
    """Return the notebook server, signed in."""
    server = NotebookServer(url_of(classroom))
    assert server.sign_in(classroom.password), "The password was refused."
    return server


@contextmanager
def copied_lesson(classroom: BaseClassroom) -> Iterator[str]:
    """Copy the lesson into a new folder, so that the student's own is not changed, and remove it afterwards."""
    server = signed_in_server(classroom)
    name = f"browser-{uuid.uuid4().hex[:8]}"
    server.ask("PUT", f"/api/contents/{name}", json={"type": "directory"}).raise_for_status()
    try:
        server.ask("POST", f"/api/contents/{name}", json={"copy_from": READING}).raise_for_status()
        yield name
    finally:
        for session in server.get("/api/sessions"):
            if session["path"].startswith(f"{name}/"):
                server.delete(f"/api/sessions/{session['id']}")
        classroom.ssh(f"sudo rm -r /home/student/notebooks/{name}")


def sign_in(page: Page, url: str, password: str) -> None:
    """Submit the login form."""
    page.goto(url)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()


def signed_in(browser: BrowserContext, classroom: BaseClassroom) -> Page:
    """Sign in, and return the page."""
    page = browser.pages[0]
    sign_in(page, url_of(classroom), classroom.password)
    expect(page).to_have_url(re.compile(r"/start/\??$"))
    return page


# A target's size is in WCAG 2.2 AA; axe-core leaves it out if it is not asked.
RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# Half-faded text has too little contrast.
AT_REST = "document.getAnimations().forEach(one => isFinite(one.effect.getComputedTiming().endTime) && one.finish())"


def assert_accessible(page: Page, *parts: str) -> None:
    """Assert that axe-core finds nothing on a page, or in these parts of it, in light and dark colours."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(AT_REST)
        found = Axe().run(page, context=list(parts) or None, options=RULES).response["violations"]
        assert not found, [(one["help"], [node["html"] for node in one["nodes"]]) for one in found]


# For Page.wait_for_function: whether nothing has moved for fifteen of the screen's pictures.
RESTS = """() => {
  const places = [...document.querySelectorAll("*")].map((one) => Object.values(one.getBoundingClientRect().toJSON()));
  window.still = window.places === String(places) ? window.still + 1 : 0;
  window.places = window.still < 15 ? String(places) : "";
  return !window.places;
}"""

SHIFTS = """window.shift = 0;
const add = (one) => (window.shift += one.hadRecentInput ? 0 : one.value);
new PerformanceObserver((list) => list.getEntries().forEach(add)).observe({ type: "layout-shift", buffered: true });"""


def layout_shift(page: Page, shown: str) -> float:
    """Load a page again, on a phone and a tablet, until something is shown; return how much moved on the way.

    It is what Chromium calls cumulative layout shift. Above 0.1, people notice it.
    """
    page.add_init_script(SHIFTS)
    shifts = []
    for screen in SMALL_SCREENS:
        page.set_viewport_size(screen)
        page.reload()
        expect(page.locator(shown).first).to_be_visible()
        page.wait_for_function(RESTS)
        shifts.append(float(page.evaluate("window.shift")))
    return max(shifts)


# The addresses of what a page has loaded from a server or found unchanged, and not from the cache; and all its bytes.
MOVED = """() => {
  const all = performance.getEntries().filter((one) => one.transferSize);
  return [all.map((one) => one.name), all.reduce((sum, one) => sum + one.transferSize, 0)];
}"""


def decoded(code: Locator) -> str:
    """Return what a camera reads in a QR code."""
    [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(code.screenshot())))
    return str(found.text)


def box_of(element: Locator) -> FloatRect:
    """Scroll to an element, and return where it is in the window."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    assert box
    return box


def touch(element: Locator, strokes: Iterable[Sequence[tuple[float, float]]]) -> None:
    """Draw strokes on an element with a quick finger. The points go from 0 to 1 across the element."""
    box = box_of(element)
    session = element.page.context.new_cdp_session(element.page)
    for stroke in strokes:
        for index, (x, y) in enumerate([*stroke, stroke[-1]]):
            kind = "touchStart" if index == 0 else "touchEnd" if index == len(stroke) else "touchMove"
            point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            points = [] if kind == "touchEnd" else [point]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.detach()


def run_until(page: Page, ask: Callable[[], None], done: Locator, patience: float = 10 * MINUTES) -> None:
    """Ask the page to run cells, and wait for the result.

    If its kernel is not connected yet, the page may forget the request. Then no cell has a star, and we ask again.
    """
    deadline = time.monotonic() + patience / 1000
    star = page.locator(".jp-InputPrompt", has_text="[*]")
    while True:
        if not star.count():
            ask()
        try:
            return expect(done).to_be_visible(timeout=15_000)
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def take_screenshot(page: Page, name: str, shown: Locator | None = None) -> None:
    """Save a screenshot for the README, scrolled to an element if given."""
    if shown:
        shown.evaluate("element => element.scrollIntoView({block: 'center'})")
    page.wait_for_function(RESTS)
    page.screenshot(path=ROOT / "dist/screenshots" / f"{name}.png")


def learn_to_read(page: Page, classroom: BaseClassroom, folder: str, picture: str) -> None:
    """Run all cells of the lesson, on the full MNIST, and check that nine in ten digits are recognised."""
    page.goto(f"{url_of(classroom)}/notebooks/{folder}/{READING}")
    cells = page.locator(".jp-CodeCell")
    expect(cells.first).to_be_visible()
    error = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    run_until(
        page,
        page.get_by_role("button", name="Run all").click,
        page.locator(".jp-OutputArea-output", has_text="Well done").or_(error).first,
        10 * MINUTES,
    )
    assert error.count() == 0, error.first.inner_text()
    # A cell that has run shows a number, a waiting one a star.
    for prompt in cells.locator(".jp-InputPrompt:not(.jp-Placeholder-prompt)").all():  # of cells that are not folded
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
    result = cells.locator(".jp-OutputArea-output", has_text="of 10000 digits recognised")
    take_screenshot(page, picture, result)
    accuracy = re.search(r"([0-9.]+)% of 10000 digits recognised", result.inner_text())
    assert accuracy and float(accuracy[1]) > 90, result.inner_text()
    pictures = cells.locator("img[src^='data:image/png']").evaluate_all("all => all.map((one) => one.src)")
    assert len(set(pictures)) >= 5
