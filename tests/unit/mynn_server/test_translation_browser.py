"""Everything that pupils read in a browser is translated, and fits: in a language between marks, a third longer."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from mynn import tasks
from mynn_control import languages
from tests.support.browser import RESTS, run_until, sign_in
from tests.support.jupyter_server import PASSWORD, Server, pi_venv, run_server
from tests.support.programs import ROOT
from tests.support.pupil import DIGITS, drag
from tests.support.translation import pseudo
from tests.support.try_page import fewer_digits
from tests.unit.mynn_server.conftest import notebook, write

WIDTHS = (360, 768, 1280)
LESSON = "part2_neural_network.ipynb"
CELLS = [
    """\
from mynn import NeuralNetwork
from mynn.lesson import guess, guess_curve
from mynn.widget import Pad
number = guess("⟦How many?⟧", 0, 10_000, "%")
curve = guess_curve("⟦How does it go on?⟧", range(1, 7), (0, 1), xlabel="⟦epochs⟧", ylabel="⟦recognised⟧")
Pad(NeuralNetwork(784, 20, 10, 0.1))
""",
    "print('this is folded')",
]
NAMES = "#pi, #files a, #language"  # of the Pi, its files at the start, and languages; all others are marked

# Returns what is read outside of the marks, in the order of the page.
UNTRANSLATED = """([root, names]) => {
  const found = [];
  let depth = 0; // in marks
  const isWord = (text) => /\\p{L}{2}/u.test(text);
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      for (const part of node.data.split(/([⟦⟧])/)) {
        if ("⟦⟧".includes(part)) depth += { "⟦": 1, "⟧": -1 }[part] ?? 0;
        else if (!depth && isWord(part)) found.push(part.trim());
      }
    }
    if (node.nodeType !== Node.ELEMENT_NODE || node.matches(`script, style, noscript, ${names}`)) return;
    if (node.checkVisibility && !node.checkVisibility() && node.tagName !== "OPTION") return;
    for (const name of ["alt", "aria-label", "title", "placeholder"]) {
      const text = node.getAttribute(name) ?? "";
      if (isWord(text) && !text.includes("⟦")) found.push(`${name}: ${text}`);
    }
    for (const place of ["::before", "::after"]) {
      const text = getComputedStyle(node, place).content;
      if (isWord(text) && text.startsWith('"') && !text.includes("⟦")) found.push(`${place}: ${text}`);
    }
    node.childNodes.forEach(walk);
  };
  if (root === "html" && !document.title.startsWith("⟦")) found.push(`title: ${document.title}`);
  document.querySelectorAll(root === "html" ? "body" : root).forEach(walk);
  return found;
}"""
SAY = "(words) => document.querySelectorAll('.mynn-buttons span').forEach((one, at) => (one.textContent = words[at]))"
# Returns the texts that leave the screen, or what they stand in.
CUT_OFF = """(root) => {
  const UNSHOWN = "script, style, noscript, option, .unseen, .mynn-title";
  const found = [];
  const isBeside = (inner, outer) => inner.left >= outer.left - 2 && inner.right <= outer.right + 2;
  const isIn = (inner, outer) =>
    isBeside(inner, outer) && inner.top >= outer.top - 2 && inner.bottom <= outer.bottom + 2;
  const screen = { left: 0, right: innerWidth, top: -Infinity, bottom: Infinity };
  for (const place of document.querySelectorAll(root)) {
    const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { currentNode: text } = texts;
      const parent = text.parentElement;
      if (!text.data.trim() || !parent.checkVisibility() || parent.closest(UNSHOWN)) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      const outer = [];
      for (let one = parent; one && one !== document.body; one = one.parentElement) {
        const { overflowX, overflowY } = getComputedStyle(one);
        if ([overflowX, overflowY].some((way) => ["auto", "scroll"].includes(way))) break; // it can be reached there
        const isBox = one.matches("button, .button, svg") || [overflowX, overflowY].includes("hidden");
        if (isBox) outer.push(one.getBoundingClientRect());
        if (one.parentElement === document.body) outer.push(screen);
      }
      for (const rectangle of range.getClientRects()) {
        if (!outer.every((box) => isIn(rectangle, box))) found.push(text.data.trim());
      }
    }
  }
  return [...new Set(found)];
}"""


@pytest.fixture(scope="module")
def translated() -> Iterator[Path]:
    """A virtual environment in which no language is where German would be."""
    with pi_venv() as venv:
        add_words(venv)
        yield venv


def add_words(venv: Path) -> None:
    [packages] = venv.glob("lib/python*/site-packages")
    words = languages.texts_of(pseudo("browser"))
    made = {f"mynn_server/page/de/{name}": content for name, content in languages.pages("de", words).items()}
    made["mynn/catalogs/de.js"] = languages.script("de", words)
    made["mynn/catalogs/de.mo"] = languages.compiled(pseudo("mynn"))
    for name, content in made.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(content)


@pytest.fixture(scope="module")
def server(translated: Path, networks: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for one account only
        folder = Path(name)
        (folder / "try").mkdir()
        (folder / "few").mkdir()
        for path in fewer_digits(networks, folder / "few").values():
            shutil.copy(path, folder / "try")
        text = json.loads(notebook("⟦A network⟧", *CELLS, lesson=1, minutes=10, learn="⟦What it is⟧"))
        text["cells"][2]["metadata"] = {"jupyter": {"source_hidden": True}}
        (folder / LESSON).write_text(json.dumps(text))
        (folder / "message").write_text(json.dumps({"text": "⟦Five more minutes⟧", "minutes": 45}))
        for one in (folder, folder / "try"):
            one.chmod(0o755)
        environment = {"MYNN_LANGUAGE": "de", "NETWORKS_DIR": name}
        pristine: dict[str, Any] = {"lessons_pristine": folder, "message_file": folder / "message"}
        with run_server(translated, environment=environment, **pristine) as running:
            write(running, LESSON, (folder / LESSON).read_text() + "\n")  # changed: it can be begun afresh
            record = tasks.Record({Path(LESSON).stem: tasks.Finished("2026-11-27T10:00:00", 0.938)})
            write(running, tasks.FILE, record.text())
            write(running, "⟦mine.csv⟧", "7")
            yield running


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    browser.clear_cookies()  # an earlier test may have signed in
    page = browser.new_page()
    failures: list[str] = []
    ours = re.compile("/start/|/try/|blob:")  # and not Jupyter's own
    page.on("pageerror", lambda error: failures.append(str(error)) if ours.search(error.stack or "") else None)
    yield page
    page.close()
    assert failures == []


def assert_translated_and_whole(page: Page, name: str, root: str = "html") -> None:
    """Look at a page, or at parts of it, at three widths."""
    assert page.evaluate(UNTRANSLATED, [root, NAMES]) == []
    cut_off, wide = {}, list[int]()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("width => innerWidth === width", arg=width)
        page.wait_for_function(RESTS)
        if root == "html":
            page.screenshot(path=ROOT / f"dist/screenshots/words-{name}-{width}.png", full_page=True)
        else:
            for number, part in enumerate(page.locator(root).all()):
                part.screenshot(path=ROOT / f"dist/screenshots/words-{name}-{number}-{width}.png")
        cut_off[width] = page.evaluate(CUT_OFF, "body" if root == "html" else root)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(width)
    assert (cut_off, wide) == ({width: [] for width in WIDTHS}, [])


@pytest.mark.slow
def test_the_page_for_signing_in_and_the_page_try(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/login")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("input[name=password]").fill("mooncake8")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert_translated_and_whole(page, "login")
    page.goto(f"{server.url}/try/")
    expect(page.locator(".node")).to_have_count(50)
    assert_translated_and_whole(page, "try")
    page.get_by_label("⟦Guess first").fill("80")
    page.locator("button[value=step]").click()
    expect(page.locator("#moment-title")).to_have_text(re.compile("⟦Digit 1 is a 5: it said"))
    expect(page.locator("#numbers td").first).to_have_text(re.compile(r"^\d,\d\d$"))
    drag(page.locator(".mynn-pad-paper"), DIGITS[4])
    page.locator("#labels button").nth(4).click()
    expect(page.locator("#labelled")).to_contain_text("⟦1 drawing to keep.")
    drag(page.locator(".mynn-pad-paper"), DIGITS[4])
    page.locator(".node").first.click()
    page.locator("#on").click()
    expect(page.locator("#damage-words")).to_contain_text("⟦1 of 50 nodes is off.")
    page.locator("#keep-it").click()
    expect(page.locator("#sign-in")).to_be_visible()
    assert_translated_and_whole(page, "try-used")
    page.locator("#bars button").first.click()
    assert page.evaluate(UNTRANSLATED, ["#inside", NAMES]) == []


@pytest.mark.slow
def test_classes_of_ones_own(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try/own.html")
    for name in ("⟦one⟧", "⟦four⟧"):
        page.locator("#name").fill(name)
        page.keyboard.press("Enter")
    for digit, place in ((1, 0), (4, 1)):
        drag(page.locator(".mynn-pad-paper"), DIGITS[digit])
        page.locator("#bars button").nth(place).click()
    assert_translated_and_whole(page, "own")
    page.locator("#train").click()
    expect(page.locator("#test")).to_be_checked()
    drag(page.locator(".mynn-pad-paper"), DIGITS[4])
    page.locator("#bars button").first.click()
    expect(page.locator("#score")).to_contain_text("⟦It has learnt from 2 drawings")
    assert_translated_and_whole(page, "own-tested")


@pytest.mark.slow
def test_a_lesson(page: Page, server: Server) -> None:
    sign_in(page, server.url, PASSWORD)
    expect(page.locator(".lesson")).to_be_visible()
    page.goto(f"{server.url}/notebooks/{LESSON}")
    cell, pad = page.locator(".jp-CodeCell .cm-content").first, page.locator(".mynn-pad-says")
    expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()

    def ask() -> None:
        cell.click()
        page.keyboard.press("Control+Enter")

    run_until(page, ask, pad)
    drag(page.locator(".mynn-pad-paper"), DIGITS[4])
    page.locator(".mynn-guess-entry").fill("60 000")
    page.keyboard.press("Enter")
    expect(page.locator(".mynn-guess-says")).to_have_text(re.compile("⟦Please enter a number from 0 to 10\u202f000."))
    page.locator(".mynn-guess-entry").fill("1,500")
    page.keyboard.press("Enter")
    expect(page.locator(".mynn-guess-says")).to_contain_text("⟦Which of them do you mean?")
    page.get_by_role("button", name="1500").click()
    expect(page.locator(".mynn-guess-says")).to_contain_text("⟦Your guess: 1500 %.")
    page.locator(".mynn-guess-entry").fill("93.8")
    page.keyboard.press("Enter")
    expect(page.locator(".mynn-guess-says")).to_contain_text("⟦Your guess: 93,8 %. Now run the next cell.")
    expect(page.locator(".mynn-guess-entry")).to_have_value("93,8")
    parts = ".mynn-bar, .mynn-guess, .mynn-pad, #mynn-message, .jp-InputPlaceholder .jp-Placeholder-contentContainer"
    assert_translated_and_whole(page, "lesson", parts)
    page.set_viewport_size({"width": 360, "height": 800})
    for code in languages.TRANSLATED:  # their words are longer than those of the pseudo-language
        words = languages.texts_of(languages.read(code, "browser"))
        page.evaluate(SAY, [words[text] for text in ("Run", "Run from here", "Run all", "Stop", "Start again")])
        assert page.evaluate(CUT_OFF, ".mynn-bar") == [], code
    page.screenshot(path=ROOT / "dist/screenshots/words-lesson.png")
    page.locator(".mynn-buttons button").last.click()
    expect(page.locator(".jp-Dialog")).to_be_visible()
    assert page.evaluate(UNTRANSLATED, [".jp-Dialog", NAMES]) == []
    page.keyboard.press("Escape")


def test_the_start_page_and_help(page: Page, server: Server) -> None:
    server.student().open_notebook(LESSON)
    sign_in(page, server.url, PASSWORD)
    expect(page.locator(".runs")).to_be_visible()
    expect(page.locator(".done")).to_contain_text("⟦93,8 % recognised")
    assert_translated_and_whole(page, "start")
    page.goto(f"{server.url}/start/help.html")
    assert_translated_and_whole(page, "help")


def test_a_change_of_language_is_there_at_once_and_no_path_leads_elsewhere(server: Server) -> None:
    student, pages = server.student(), ("/login", "/start/", "/start/catalog.js", "/try/", "/try/catalog.js")
    tags = []
    for code in ("en", "de"):
        assert student.ask("POST", "/start/language", json={"language": code}).status_code == 204
        for path in pages:
            answer = (server.client() if path == "/login" else student).ask("GET", path)
            assert answer.status_code == 200 and ("⟦".encode() in answer.content) == (code == "de"), path
        tags.append(student.ask("GET", "/try/").headers["Etag"])
    assert tags[0] != tags[1]
    for path in ("/start/de/index.html", "/start/de.js", "/try/de/index.html", "/try/de%2Findex.html", "/try/live.py"):
        assert student.ask("GET", path).status_code == 404, path
