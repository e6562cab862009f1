"""A pupil in a browser: opens lessons by their cards, runs them cell by cell, guesses, answers, draws and shows."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, FloatRect, Locator, Page, ViewportSize, expect

from tests.support.browser import DESKTOP, MINUTES, RESTS, assert_accessible, box_of, run_until, touch
from tests.support.lesson_claims import CLAIMS
from tests.support.programs import ROOT

LESSONS = ROOT / "notebooks"
PHONE: ViewportSize = {"width": 390, "height": 844}
TABLET: ViewportSize = {"width": 820, "height": 1180}
# The ways to play a lesson: by taps alone on phone and tablet, by keys alone elsewhere. The mouse is for other pages.
SCREENS = {"keys": DESKTOP, "phone": PHONE, "tablet": TABLET, "mouse": TABLET}
Strokes = list[list[tuple[float, float]]]
# Digits as a hand draws them: strokes through points, x to the right and y down, 0 to 1 across the square.
DIGITS: dict[int, Strokes] = {
    1: [[(0.52, 0.15), (0.5, 0.5), (0.48, 0.85)]],
    7: [[(0.25, 0.2), (0.72, 0.2), (0.6, 0.5), (0.48, 0.85)]],
    4: [[(0.35, 0.12), (0.22, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.56, 0.88)]],
}
CURVE: Strokes = [[(0.14, 0.75), (0.4, 0.4), (0.95, 0.1)]]
ERROR = "[data-mime-type='application/vnd.jupyter.error']"

NAME = "Ada"  # on the wall
FIRST, SECOND = "part2_mnist_data_set", "part2_neural_network"
TRAINING = "part2_neural_network_mnist_data"
PAD = "part3_neural_network_mnist_and_own_data_2"
# What the pupil writes in place of a line, by how that line begins, besides the right answers to the exercises.
WRITTEN: Mapping[str, Mapping[str, str]] = {
    TRAINING: {"by_hand = ": "1_000", "wall.show(": f'name="{NAME}", score=accuracy, of=testing)'},
    PAD: {"wall.show(": f'name="{NAME}", digits=mine[-10:])'},
}


@dataclass
class Lesson:
    """A lesson that is open in a tab, and played in one of the ways of SCREENS."""

    name: str
    page: Page
    way: str

    def play(self) -> None:
        """Run every cell, as the lesson asks for it, and look at what it says."""
        notebook = json.loads((LESSONS / f"{self.name}.ipynb").read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        places = self.page.locator(".jp-CodeCell")
        expect(places).to_have_count(len(code))
        expect(self.page.locator(".jp-Cell.jp-mod-active")).to_be_focused()
        for place, cell in zip(places.all(), code, strict=True):
            self._play(place, "".join(cell["source"]))
        expect(self.end).to_be_visible()
        self._assert_no_error()
        if self.name in (SECOND, PAD):  # which have fields for a number and a curve, and the pad
            assert_accessible(self.page, ".mynn-bar", ".mynn-guess", *[".mynn-pad"] * (self.name == PAD))
        if self.way != "keys":
            scroller = self.page.locator(".jp-WindowedPanel-outer")
            assert scroller.evaluate("one => one.scrollWidth <= one.clientWidth"), (
                "The lesson is wider than the screen."
            )
            for drawing in self.page.locator(".jp-RenderedMarkdown pre").all():
                expect(drawing).to_have_css("white-space", "pre")  # or its lines would be broken

    @property
    def end(self) -> Locator:
        """Return what the lesson says at its end. Jupyter adds an empty cell after it."""
        return self.page.locator(
            ".jp-OutputArea-output", has_text="Well done: you have reached the end of this lesson."
        )

    def output(self, said: str) -> Locator:
        """Return the output that has these words."""
        return self.page.locator(".jp-OutputArea-output", has_text=said)

    def _play(self, cell: Locator, source: str) -> None:
        output = cell.locator(".jp-OutputArea")
        written = dict(WRITTEN.get(self.name, {}))
        written |= {f"{task} = ": answer for task, answer in CLAIMS[self.name].exercises.items()}
        folded = cell.locator(".jp-InputPlaceholder .jp-Placeholder-content")
        if folded.count():  # and with it the cell's number
            press(folded, self.way)
        for begin, answer in written.items():
            if f"\n{begin}" in f"\n{source}":
                self._write(cell, begin, f"{begin}{answer}")
        self._run(cell)
        self._assert_no_error()
        if "\ncheck(" in source:
            expect(output).to_contain_text("Right. ")
        self._guess(cell, source)
        results = source.count(".beside(")
        if results:
            expect(output).to_contain_text(re.compile(r"You guessed .+?(, and so it is!|\. It is .+?\.)"))
            expect(output).not_to_contain_text("(You have not guessed.)")
        shown = output.locator("img[src^='data:image/svg']:not(.mynn-entered img)")
        expect(shown).to_have_count(results + source.count("Watch("))
        if ".plot(axes)" in source:
            expect(output.locator("img[src^='data:image/png']")).to_have_count(1)
            expect(output).not_to_contain_text("(You have not drawn a guess.)")
        expect(output.locator("img:not([alt])")).to_have_count(0)
        if "\nPlane()" in source:
            press(output.get_by_role("button", name="Train"), self.way)
            expect(output).to_contain_text("12 of 12 points are on their own side.")
        if "pad = Pad(" in source:
            self.keep_digits()

    def _assert_no_error(self) -> None:
        """Assert that no cell has stopped with an error. The page shows the last one's a moment after its number."""
        errors = self.page.locator(ERROR)
        assert errors.count() == 0, errors.first.inner_text()

    def _run(self, cell: Locator) -> None:
        """Run a cell: by Shift and Enter, or with the button above the lesson."""

        def ask() -> None:
            cell.scroll_into_view_if_needed()
            if self.way == "keys":
                self._go_to(cell)
                self.page.keyboard.press("Shift+Enter")
            else:
                cell.locator(".jp-InputPrompt").tap()
                self.page.get_by_role("button", name="Run", exact=True).tap()

        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        has_run = prompt.filter(has_text=re.compile(r"\[\d+\]:")).filter(has_not_text=before)
        run_until(self.page, ask, has_run, 3 * MINUTES)

    def _write(self, cell: Locator, begin: str, line: str) -> None:
        """Write another line in place of the one that begins like this."""
        place = cell.locator(".cm-line", has_text=begin).first
        place.scroll_into_view_if_needed()
        if self.way == "keys":
            self._go_to(cell)
            above = place.evaluate("line => [...line.parentElement.children].indexOf(line)")
            for key in ["Enter", "Control+Home", *["ArrowDown"] * above]:
                self.page.keyboard.press(key)
        else:
            place.tap()
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
            says = one.locator(".mynn-guess-says")
            asked = re.compile(r"A number from (\S+) to .+?, then Enter\.")
            lowest = asked.match(says.inner_text())
            assert lowest, says.inner_text()
            focus(one.locator(".mynn-guess-entry"), self.way)
            self.page.keyboard.insert_text(lowest[1])
            press(one.get_by_role("button", name="Guess"), self.way)
            entered = rf"^Your guess: {lowest[1]}(\s\S+)*\. Now run the next cell\.$"
            expect(says).to_have_text(re.compile(entered))

    def keep_digits(self) -> None:
        """Draw digits on the pad, and keep each with its label."""
        pad = self.page.locator(".mynn-pad")
        for digit, strokes in DIGITS.items():
            self._draw(pad.locator(".mynn-pad-paper"), strokes)
            expect(pad.locator(".mynn-pad-says")).to_have_text(f"This is a {digit}.")
            button = pad.get_by_title(f"Keep this drawing as a {digit}")
            kept = int(button.locator("small").inner_text() or 0)
            press(button, self.way)
            expect(pad.locator(".mynn-pad-kept")).to_contain_text(re.compile(rf"Kept as .*{digit}\."))
            expect(button.locator("small")).to_have_text(str(kept + 1))

    def _go_to(self, cell: Locator) -> None:
        """Leave what has the focus, and make a cell the active one."""
        self.page.keyboard.press("Escape")
        steer(cell, ".jp-Cell.jp-mod-active", "ArrowDown", "ArrowUp")

    def _draw(self, square: Locator, strokes: Strokes) -> None:
        """Draw with a finger."""
        before = box_at_rest(square)
        touch(square, strokes)
        after = square.bounding_box()
        assert after == before, f"The page has scrolled: the square was at {before}, and is at {after}."


def steer(place: Locator, start: str, forward: str, back: str) -> None:
    """Press the key that leads forward or back, until the element with this selector is the one that is wanted."""
    for _ in range(200):
        key = place.evaluate(
            "(place, [start, ...keys]) => { const at = document.querySelector(start) ?? document.body;"
            "return at === place ? '' : keys[at.compareDocumentPosition(place) & 4 ? 0 : 1] }",
            [start, forward, back],
        )
        if not key:
            return
        place.page.keyboard.press(key)
    raise AssertionError(f"No keys lead to {place}.")


def focus(place: Locator, way: str) -> None:
    """Give the focus to an element: with a finger, the mouse, or the Tab key."""
    if way == "keys":
        steer(place, ":focus", "Tab", "Shift+Tab")
    elif way == "mouse":
        place.click()
    else:
        place.tap()


def press(place: Locator, way: str) -> None:
    """Press a button, or follow a link."""
    focus(place, way)
    if way == "keys":
        place.page.keyboard.press("Enter")


def keys_of(strokes: Strokes) -> Iterator[str]:
    """Yield the keys that draw strokes on the pad, in stairs: its pen goes 20 of 560 at a time, no nearer than 48."""
    for stroke in strokes:
        yield from ["ArrowLeft", "ArrowUp"] * 28  # into the corner
        at = [0, 0]
        for number, point in enumerate(stroke):
            for axis, names in enumerate((("ArrowLeft", "ArrowRight"), ("ArrowUp", "ArrowDown"))):
                way = round((point[axis] * 560 - 48) / 20) - at[axis]
                yield from [names[way > 0]] * abs(way)
                at[axis] += way
            if number == 0:
                yield " "
        yield " "


def box_at_rest(element: Locator) -> FloatRect:
    """Scroll to an element, and return where it is once the page no longer moves it.

    The page scrolls to the cell after one that has run. After a change of the window's size it measures each cell only
    when that comes into view, so that what was scrolled to can be out of view again.
    """
    for _ in range(100):
        before = box_of(element)
        element.page.wait_for_function(RESTS)
        if box_of(element) == before:
            return before
    raise AssertionError("The page does not come to rest.")


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

    def open(self, name: str, way: str) -> Lesson:
        """Open a lesson by its card."""
        self.page.bring_to_front()
        self.page.set_viewport_size(SCREENS[way])
        return self._opened(self.card(name).locator("a.open"), name, way, way)

    def go_on(self, lesson: Lesson, name: str, way: str) -> Lesson:
        """Open the next lesson by the link at the end of this one, and end this one's program."""
        opened = self._opened(lesson.end.locator(f"a[href*='{name}.ipynb']"), name, lesson.way, way)
        self.end(lesson)
        opened.page.bring_to_front()
        return opened

    def _opened(self, link: Locator, name: str, before: str, way: str) -> Lesson:
        with self.browser.expect_page() as opened:
            press(link, before)
        opened.value.set_viewport_size(SCREENS[way])
        expect(opened.value.locator(".mynn-bar[data-state=idle]")).to_be_visible()
        return Lesson(name, opened.value, way)

    def end(self, lesson: Lesson) -> None:
        """Save a lesson that is done, close its tab, and end its program on the start page."""
        with lesson.page.expect_response(lambda answer: answer.request.method == "PUT" and lesson.name in answer.url):
            lesson.page.keyboard.press("Control+s")
        lesson.page.close()
        self.page.bring_to_front()
        card = self.card(lesson.name)
        expect(card.locator(".done")).to_contain_text("✓ Done")
        end = card.get_by_role("button", name="End")
        press(end, lesson.way)
        expect(end).to_have_count(0)
        expect(card.locator("a.open")).to_have_text("Open again")
