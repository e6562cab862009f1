"""A pupil's own classes in a browser, on a real server: by touch and by keys alone, signed in only to keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from mynn_server import own_classes
from tests.support.browser import assert_accessible, open_browser, touch
from tests.support.jupyter_server import PASSWORD, Server
from tests.support.pupil import SCREENS, Strokes, focus, keys_of, press
from tests.support.try_page import keep_and_sign_in

SMILE, LETTER = "😀", "L"


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[BrowserContext]:
    with open_browser(offline=True, has_touch=True) as context:
        yield context


@pytest.fixture
def page(browser: BrowserContext, server: Server) -> Iterator[Page]:
    """The page. An error in it, a breach of its policy, or a request to anybody else fails the test."""
    browser.clear_cookies()
    page, lines, requests = browser.new_page(), list[str](), list[str]()
    page.on("console", lambda line: lines.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: lines.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}/try/own.html")
    yield page
    for one in browser.pages[1:]:
        one.close()
    assert [line for line in lines if not re.search("status of 40[03]", line)] == []
    assert [url for url in requests if not url.startswith(server.url)] == []


def strokes(name: str, number: int) -> Strokes:
    """Return a drawing, each time another one."""
    far, down = 0.6 + 0.06 * (number % 3), 0.7 + 0.06 * (number // 3)
    if name == LETTER:
        return [[(0.3, 0.1), (0.3, down), (far, down)]]
    return [[(0.3, 0.2), (0.3, 0.25)], [(far, 0.2), (far, 0.25)], [(0.2, 0.6), (0.4, down + 0.1), (far, 0.6)]]


def draw(page: Page, name: str, number: int, way: str, label: str = "") -> None:
    """Draw something, and press its class."""
    paper = page.locator(".mynn-pad-paper")
    if way == "keys":
        focus(paper, way)
        for key in keys_of(strokes(name, number)):
            page.keyboard.press(key)
    else:
        touch(paper, strokes(name, number))
    said = page.locator("#says")
    expect(said).to_have_text(re.compile("Name another|Draw something, then|This is|I am not sure"))
    press(page.locator(".bar", has_text=label or name), way)
    expect(said).to_have_text(re.compile("Draw the next one"))
    expect(paper.locator("polyline")).to_have_count(0)


@pytest.mark.parametrize("way", ["tablet", pytest.param("keys", marks=pytest.mark.slow)])
def test_classes_are_named_drawn_learnt_tested_and_kept(page: Page, server: Server, way: str) -> None:
    page.set_viewport_size(SCREENS[way])
    file, count = server.home / "notebooks" / own_classes.NAME, 2 if way == "keys" else 4
    file.unlink(missing_ok=True)
    says, score = page.locator("#says"), page.locator("#score")
    expect(says).to_have_text("Name your first class.")
    assert_accessible(page)
    for name in (SMILE, LETTER, "a,b"):
        focus(page.get_by_label("Letters, smileys"), way)
        page.keyboard.insert_text(name)
        press(page.get_by_role("button", name="Add a class"), way)
    expect(says).to_have_text(
        "A name has 1 to 20 characters, no comma or quotation mark, and does not begin with = + - or @."
    )
    for number in range(count):
        for name in (SMILE, LETTER):
            draw(page, name, number, way)
    thumbs = page.get_by_role("group", name=LETTER, exact=True).get_by_role("button")
    press(thumbs.first, way)
    expect(thumbs).to_have_count(count - 1)
    press(page.get_by_role("button", name="Take that back"), way)
    expect(thumbs).to_have_count(count)
    assert_accessible(page)

    press(page.get_by_role("button", name="Train"), way)
    expect(says).to_have_text("Now test it: draw something, then press what it is.")
    expect(page.locator(".mynn-pad-paper")).to_be_focused()
    draw(page, LETTER, 5, way)
    draw(page, LETTER, 4, way, label=SMILE)  # it was none
    expect(score).to_have_text(f"It has learnt from {2 * count} drawings. It recognises 1 of 2 new ones: 50%.")
    assert page.locator("#table").inner_text().split() == [SMILE, LETTER, SMILE, "1", LETTER, "1"]
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[way]["width"]
    press(page.get_by_role("button", name="Take that back"), way)
    press(page.get_by_role("button", name="Learn from the tested"), way)
    expect(page.locator("#rounds")).to_have_text(re.compile(f"from {2 * count} drawings. It recognises 1 of 1 new"))
    expect(page.locator("#result")).to_have_text(f"It has learnt from {2 * count + 1} drawings.")

    keep_and_sign_in(page, way)
    expect(page.locator("#kept")).to_have_text(f"Kept in my_signs.csv, which has {2 * count + 1} drawings now.")
    expect(page.locator("#unkept")).to_be_empty()
    assert list(own_classes.read(file).values()).count(SMILE.encode()) == count


def photo(name: str, number: int, path: Path) -> Path:
    """Write a photo of a ring or a pencil, or of nothing, on a table that is lit from one side."""
    random = np.random.default_rng(number)
    down, across = np.mgrid[-1:1:300j, -1:1:400j]
    taken = np.array([170, 130, 90]) * (1 + 0.2 * across + 0.1 * down)[..., np.newaxis]
    x, y = across * 4 / 3 + random.uniform(-0.15, 0.15), down + random.uniform(-0.15, 0.15)
    if name == "ring":
        taken[abs(np.hypot(x, y) - 0.45) < 0.12] = [200, 200, 205]
    if name == "pencil":
        taken[(abs(x - 0.3 * y) < 0.07) & (abs(y) < 0.6)] = [30, 60, 140]
    Image.fromarray((taken + random.normal(0, 5, taken.shape)).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.slow
def test_things_on_a_table_are_photographed_and_told_apart(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size(SCREENS["phone"])
    says, framed = page.locator("#says"), page.locator("#photo canvas")

    def take(name: str, *numbers: int, button: str = "Choose pictures") -> None:
        """Choose photos, and put each into a class."""
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name=button).tap()
        chosen.value.set_files([photo(name, number, tmp_path / f"{name}{number}.webp") for number in numbers])
        for _number in numbers if name else ():
            expect(framed).to_be_visible()
            page.locator(".bar", has_text=name).tap()
        expect(framed).to_be_hidden()

    for name in ("ring", "pencil"):
        page.get_by_label("Letters, smileys").fill(name)
        page.get_by_role("button", name="Add a class").tap()
        take(name, 0, 1, 2)
        expect(page.get_by_role("group", name=name, exact=True).get_by_role("button")).to_have_count(3)
    take("", 0, button="Take a photo")
    expect(says).to_have_text("I cannot see a thing here. Put it on an even table, with table all around it.")
    page.get_by_role("button", name="Train").tap()
    expect(says).to_have_text(re.compile("Now test it"))
    for name in ("ring", "pencil"):
        take(name, 7, 8)
    expect(page.locator("#score")).to_have_text(re.compile("recognises 4 of 4 new ones"))
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"]["width"]


@pytest.mark.slow
def test_a_second_tablet_goes_on_with_what_is_kept(page: Page, browser: BrowserContext, server: Server) -> None:
    file = server.home / "notebooks" / own_classes.NAME
    file.unlink(missing_ok=True)
    page.goto(f"{server.url}/login?next=%2Ftry%2Fown.html")
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("own.html"))
    tablets = [page, browser.new_page()]
    tablets[1].goto(page.url)  # nothing is kept yet
    for name, tablet in zip((SMILE, LETTER), tablets, strict=True):
        tablet.bring_to_front()
        tablet.get_by_label("Letters, smileys").fill(name)
        tablet.keyboard.press("Enter")
        draw(tablet, name, 1, "tablet")
        tablet.get_by_role("button", name="Keep on the Pi").click()
        expect(tablet.locator("#kept")).to_have_text(re.compile("Kept in"))
    expect(tablets[1].locator(".class h3")).to_have_text([f"{LETTER}: 1", f"{SMILE}: 1"])
    page.locator(".thumb").first.click()
    page.reload()
    expect(page.locator(".class h3")).to_have_text([f"{LETTER}: 1"])
    page.get_by_role("button", name="Keep on the Pi").click()
    expect(page.locator("#kept")).to_have_text("Kept in my_signs.csv, which has 1 drawing now.")
    assert list(own_classes.read(file).values()) == [LETTER.encode()]
    file.write_text("a poem")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("this file contains something other than drawings")
