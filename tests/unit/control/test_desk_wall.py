"""The desk's tab Wall, and the projector's page: what students show, until the teacher takes it off."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from mynn import Examples, NeuralNetwork, read_csv
from mynn.wall import Shown, _pictures, _text
from mynn_control.desk.wall import Card, parts_of
from mynn_control.render import render
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, served
from tests.support.programs import ROOT


def digits(count: int = 10, seed: int = 1) -> Examples:
    """Return pictures of noise, labelled from the highest label to 0."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8)[::-1].copy()
    return Examples(labels, random.integers(0, 256, (count, 784), dtype=np.uint8))


def text(name: str, **more: Any) -> str:
    """Return the text of a student's file for the wall."""
    return _text(Shown(name, score=0.953, **more))


def page_of(*cards: Card, taken_off: str = "") -> str:
    """Return the teacher's page with these cards."""
    return render("wall", parts_of(cards) | {"tab": "wall", "taken_off": [taken_off], "answering": 1, "pis": 1})


def test_names_are_escaped_and_pictures_drawn_anew() -> None:
    """Whatever names the check on reading might let through one day."""
    shown = Shown("<script>alert(1)</script>", 0.9, digits().pixels, digits())
    page = page_of(Card('"><b>/x', shown), taken_off='"><b>/y')
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert '"><b>' not in page
    mosaic, first, *_ = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
        for picture in re.findall(r"data:image/png;base64,([^\"]+)", page)
    )
    assert (255 - first.ravel() == digits().pixels[0]).all()  # dark on white
    assert (mosaic[:28, :28] == 255 - digits().pixels[-1].reshape(28, 28)).all()  # the zeros first


def test_the_best_score_is_of_the_most_digits_and_each_says_of_how_many() -> None:
    shown = [Shown("Ada", 0.9, tested=10_000), Shown("Bo", 0.9, tested=10), Shown("Cleo", 1.0, tested=10)]
    page = page_of(*(Card(one.name, one) for one in shown))
    [best] = re.findall(r'<p class="best">(.*?)</p>', page, re.S)
    assert "90.0" in best and "Ada" in best and "Bo" not in best and "Cleo" not in best
    assert page.count("of 10,000") == 1 and page.count("of 10<") == 2


def show(desk: ServedDesk, pi: str, *shown: str) -> None:
    """Give a Pi's answer: what its students ada and bo show, in this order."""
    desk.answer(pi, {name: (None, text) for name, text in zip(["ada", "bo"], shown, strict=False)})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServedDesk]:
    with served(tmp_path) as desk:
        yield desk


def names(desk: ServedDesk) -> list[str]:
    """Return the names on the cards, which are those on the projector."""
    wall, full = (re.findall(r"<h2><bdi>(.*?)</bdi>", desk.ask(path).text) for path in ("/wall", "/wall/full"))
    assert wall == full
    return wall


def test_an_unreadable_card_is_left_out_and_the_others_are_shown(desk: ServedDesk) -> None:
    assert names(desk) == []
    for unreadable in ("[" * 30_000, "{}"):
        show(desk, "pi-01", unreadable, text("Bo"))
        assert names(desk) == ["Bo"]


def test_a_student_who_was_taken_off_stays_off(desk: ServedDesk) -> None:
    """Whatever the student shows next, under any name, and after a restart, until the teacher puts it back."""
    test_set = desk.folder / "test_set/class_digits.csv"
    show(desk, "pi-01", text("Ada", digits=digits(3)), text("Bo", digits=digits(4, seed=2)))
    read = read_csv(test_set)
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(read.pixels[-1], digits(4, seed=2).pixels[0])
    assert desk.ask("/wall/take-off", "place=pi-01/eve").status_code == 409
    assert desk.ask("/wall/take-off", "place=pi-01/ada").status_code == 200
    assert names(desk) == ["Bo"]
    assert len(read_csv(test_set)) == 4
    show(desk, "pi-01", text("Somebody else", digits=digits()), text("Bo"))
    assert names(desk) == ["Bo"]
    assert not test_set.exists()
    with served(desk.folder) as again:
        show(again, "pi-01", text("Somebody else", digits=digits()), text("Bo"))
        assert names(again) == ["Bo"]
        assert again.ask("/wall/put-back", "place=pi-01/ada").status_code == 200
        assert names(again) == ["Bo", "Somebody else"]
        assert again.ask("/wall/put-back", "place=pi-01/ada").status_code == 409


@pytest.mark.slow
def test_the_page_updates_itself_and_one_click_takes_a_card_off(tmp_path: Path, browser_page: Page) -> None:
    page, projector = browser_page, browser_page.context.new_page()
    with served(tmp_path) as desk:
        page.goto(f"{desk.url}/wall")
        projector.goto(f"{desk.url}/wall/full")
        expect(page.locator("h1")).to_have_text("The wall is empty")
        show(desk, "pi-01", text("Ada", backquery=digits().pixels, digits=digits()), text("Bo"))
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator(".mosaic img")).to_have_count(1)
        page.locator("article", has_text="Ada").click()
        expect(page.locator("article.large bdi")).to_have_text("Ada")
        show(desk, "pi-02", text("Zoe"))
        expect(page.locator("article")).to_have_count(3)
        expect(page.locator("article.large bdi")).to_have_text("Ada")
        page.keyboard.press("Escape")
        assert_accessible(page)
        assert_accessible(projector)
        expect(projector.locator("button")).to_have_count(0)
        page.get_by_role("button", name="Take Ada off the wall").hover()
        page.mouse.down()
        with page.expect_response("**/wall"):  # a change while the button is pressed takes nothing from the hand
            show(desk, "pi-02", text("Zoë"))
        page.mouse.up()
        for one in (page, projector):
            expect(one.locator("article")).to_have_count(2)
            expect(one.locator(".mosaic")).to_have_count(0)
        expect(projector.get_by_text("pi-01/ada")).to_have_count(0)
        page.get_by_role("button", name="Put pi-01/ada back on the wall").click()
        for one in (page, projector):
            expect(one.locator("article bdi")).to_have_text(["Ada", "Bo", "Zoë"])
    for one in (page, projector):
        expect(one.get_by_text("The desk has ended. This is what it last showed.")).to_be_visible()
    projector.close()


NAMES = """
Ada Anne-Marie Bo Dina Élodie Emil Emmy Finn Grace Hugo Ivy José Juno Kwame Lena Leyla Lou Max Mia Nia Noah Olena Oscar
Pim Sofía Tariq Theo Yuki Zoë Ömer
"""


@pytest.mark.parametrize("count", [0, 3, pytest.param(30, marks=pytest.mark.slow)])
def test_all_cards_fit_on_a_projectors_screen(mnist: Path, count: int, browser_page: Page, desk: ServedDesk) -> None:
    """With everything that a card can show. The picture of thirty is for the manual."""
    examples = read_csv(mnist / "mnist_test.csv", 1000)
    network = NeuralNetwork(784, 60, 10, 0.1, seed=1)
    network.fit(examples, epochs=3)
    random = np.random.default_rng(7)
    for number, name in enumerate(NAMES.split()[:count]):
        one_of_each = np.array([random.choice(np.flatnonzero(examples.labels == label)) for label in range(10)])
        score = round(random.uniform(0.9, 0.975), 3)
        shown = _text(Shown(name, score, _pictures(network), examples[one_of_each]))
        desk.answer(f"pi-{number}", {"student": (None, shown)}, place=number)
    for width, height in ((1280, 720), (3840, 2160), (1920, 1080)):
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.goto(f"{desk.url}/wall/full")
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert browser_page.evaluate(size) == [width, height]
    if count == 30:
        browser_page.screenshot(path=ROOT / "dist/screenshots/wall.png")
