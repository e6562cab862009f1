"""A pupil in a browser: opens lessons by their cards, runs them cell by cell, guesses, answers and draws."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import BrowserContext, Locator, Page, ViewportSize, expect

from tests.support.browser import DESKTOP, MINUTES, box_of, run_until, touch

LESSONS = Path(__file__).resolve().parents[2] / "notebooks"
PHONE: ViewportSize = {"width": 390, "height": 844}
Strokes = list[list[tuple[float, float]]]
# Digits as a finger draws them: strokes through points, x to the right and y down, 0 to 1 across the square.
DIGITS: dict[int, Strokes] = {
    1: [[(0.52, 0.15), (0.5, 0.5), (0.48, 0.85)]],
    7: [[(0.25, 0.2), (0.72, 0.2), (0.6, 0.5), (0.48, 0.85)]],
    4: [[(0.35, 0.12), (0.22, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.56, 0.88)]],
}
CURVE: Strokes = [[(0.14, 0.75), (0.4, 0.4), (0.95, 0.1)]]


@dataclass
class Lesson:
    """A lesson that is open in a tab.

    `changes`    what the pupil writes in place of a line, by how that line begins
    `on_a_phone` whether all is done with a finger, on a screen as narrow as a phone's
    """

    name: str
    page: Page
    changes: Mapping[str, str]
    on_a_phone: bool

    def play(self) -> None:
        """Run every cell, as the lesson asks for it, and look at what it says."""
        notebook = json.loads((LESSONS / f"{self.name}.ipynb").read_text(encoding="utf-8"))
        sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        cells = self.page.locator(".jp-CodeCell")
        expect(cells).to_have_count(len(sources))
        for cell, source in zip(cells.all(), sources, strict=True):
            self._play(cell, source)
        expect(self.end).to_be_visible()

    @property
    def end(self) -> Locator:
        """Return what the lesson says at its end. Jupyter adds an empty cell after it."""
        return self.page.locator(
            ".jp-OutputArea-output", has_text="Well done: you have reached the end of this lesson."
        )

    def _play(self, cell: Locator, source: str) -> None:
        output = cell.locator(".jp-OutputArea")
        for begin, line in self.changes.items():
            if f"\n{begin}" in f"\n{source}":
                if f"{begin} = ..." in source:
                    self._run(cell)
                    expect(output).to_contain_text("Not yet: ")
                self._write(cell, begin, line)
        self._run(cell)
        assert cell.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0, output.inner_text()
        if "check(" in source and "import check" not in source:
            expect(output).to_have_text("Right.")
        self._guess(cell, source)
        results = source.count(".beside(")
        expect(output.locator("img[src^='data:image/svg']")).to_have_count(results)
        assert output.inner_text().count("You guessed") == results
        if ".plot(axes)" in source:
            expect(output.locator("img[src^='data:image/png']")).to_have_count(1)
            expect(output).not_to_contain_text("You have not drawn a guess.")
        if cell.locator(".mynn-pad").count():
            self._keep(cell)

    def _run(self, cell: Locator) -> None:
        """Run a cell: by Shift and Enter, or with the button above the lesson."""

        def ask() -> None:
            cell.scroll_into_view_if_needed()
            if self.on_a_phone:
                cell.locator(".jp-InputPrompt").tap()
                self.page.get_by_role("button", name=re.compile("^Run this cell")).tap()
            else:
                cell.locator(".cm-content").click()
                self.page.keyboard.press("Shift+Enter")

        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        has_run = prompt.filter(has_text=re.compile(r"\[\d+\]:")).filter(has_not_text=before)
        run_until(self.page, ask, has_run, 3 * MINUTES)

    def _write(self, cell: Locator, begin: str, line: str) -> None:
        """Write another line in place of the one that begins like this."""
        place = cell.locator(".cm-line", has_text=begin).first
        place.scroll_into_view_if_needed()
        self._press(place)
        for key in ("Home", "Shift+End"):
            self.page.keyboard.press(key)
        self.page.keyboard.insert_text(line)
        expect(place).to_have_text(line)

    def _guess(self, cell: Locator, source: str) -> None:
        """Enter a number into each field, and draw each curve."""
        fields = cell.locator(".mynn-guess")
        expect(fields).to_have_count(len(re.findall(r"= guess(_curve)?\(", source)))
        for one in fields.all():
            square = one.locator(".mynn-guess-square")
            if square.count():
                self._draw(square, CURVE)
                expect(one).to_contain_text("Now run the next cell.")
                continue
            one.locator(".mynn-guess-entry").fill("1")
            self._press(one.get_by_role("button", name="Guess"))
            expect(one).to_contain_text(re.compile("Your guess: 1( %)?. Now run the next cell."))

    def _keep(self, cell: Locator) -> None:
        """Draw digits on the pad, and keep each with its label."""
        for number, (digit, strokes) in enumerate(DIGITS.items(), 1):
            self._draw(cell.locator(".mynn-pad-paper"), strokes)
            expect(cell.locator(".mynn-pad-says")).to_have_text(f"This is a {digit}.")
            self._press(cell.get_by_title(f"Keep this drawing as a {digit}"))
            expect(cell.locator(".mynn-pad-kept")).to_contain_text(f"Kept as a {digit}. {number} drawing")

    def _press(self, place: Locator) -> None:
        if self.on_a_phone:
            place.tap()
        else:
            place.click()

    def _draw(self, square: Locator, strokes: Strokes) -> None:
        before = box_of(square)
        if self.on_a_phone:
            touch(square, strokes)
        else:
            drag(square, strokes)
        assert square.bounding_box() == before, "The page has scrolled."


def drag(square: Locator, strokes: Strokes) -> None:
    """Draw with the mouse."""
    mouse, box = square.page.mouse, box_of(square)
    for first, *others in strokes:
        mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        mouse.down()
        for x, y in others:
            mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        mouse.up()


class StartPage:
    """The start page, in a tab that stays open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.browser: BrowserContext = page.context

    def card(self, name: str) -> Locator:
        """Return a lesson's card."""
        link = self.page.locator(f"a[href$='/{name}.ipynb']")
        return self.page.locator(".lesson").filter(has=link)

    def open(self, name: str, changes: Mapping[str, str], *, on_a_phone: bool = False) -> Lesson:
        """Open a lesson by its card."""
        self.page.bring_to_front()
        self.page.set_viewport_size(PHONE if on_a_phone else DESKTOP)
        link = self.card(name).locator("a.open")
        tab = self._opened(link.tap if on_a_phone else link.click)
        tab.set_viewport_size(PHONE if on_a_phone else DESKTOP)
        return Lesson(name, tab, changes, on_a_phone)

    def go_on(self, lesson: Lesson, name: str, changes: Mapping[str, str], *, on_a_phone: bool = False) -> Lesson:
        """Open the next lesson by the link at the end of this one."""
        link = lesson.end.locator(f"a[href*='{name}.ipynb']")
        tab = self._opened(link.tap if lesson.on_a_phone else link.click)
        tab.set_viewport_size(PHONE if on_a_phone else DESKTOP)
        return Lesson(name, tab, changes, on_a_phone)

    def _opened(self, act: Callable[[], None]) -> Page:
        with self.browser.expect_page() as opened:
            act()
        page = opened.value
        select = page.locator(".jp-Dialog").get_by_role("button", name="Select Kernel")
        page.add_locator_handler(select, lambda: select.click())
        return page

    def end(self, lesson: Lesson) -> None:
        """Save a lesson that is done, close its tab, and end its program on the start page."""
        with lesson.page.expect_response(lambda answer: answer.request.method == "PUT" and lesson.name in answer.url):
            lesson.page.keyboard.press("Control+s")
        lesson.page.close()
        self.page.bring_to_front()
        card = self.card(lesson.name)
        expect(card.locator(".done")).to_contain_text("✓ Done")
        card.get_by_role("button", name="End").click()
        expect(card.get_by_role("button", name="End")).to_have_count(0)
        expect(card.locator("a.open")).to_have_text("Open again")
