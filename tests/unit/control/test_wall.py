"""The wall's page: what students show, until the teacher takes it off."""

import base64
import io
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import Page, expect

from mynn import Examples, NeuralNetwork, read_csv
from mynn.wall import Shown, _pictures, _text
from mynn_control.live_page import Server
from mynn_control.wall import Card, Wall
from mynn_control.wall import page as page_of
from tests.support.browser import assert_accessible
from tests.support.programs import ROOT


def digits(count: int = 10, seed: int = 1) -> Examples:
    """Return pictures of noise, labelled from the highest label to 0."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8)[::-1].copy()
    return Examples(labels, random.integers(0, 256, (count, 784), dtype=np.uint8))


def text(name: str, **more: Any) -> str:
    """Return the text of a student's file for the wall."""
    return _text(Shown(name, score=0.953, **more))


def test_the_page_loads_nothing_runs_only_our_script_and_escapes_names() -> None:
    """Whatever names the check on reading might let through one day."""
    shown = Shown("<script>alert(1)</script>", 0.9, digits().pixels, digits())
    page = page_of([Card('"><b>/x', "digest", shown)])
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert '"><b>' not in page
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", page)) == {"data:"}
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    picture = re.findall(r"data:image/png;base64,([^\"]+)", page)[0]
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert (255 - np.asarray(image).ravel() == digits().pixels[-1]).all()  # dark on white; the zeros first


def test_the_best_score_is_of_the_most_digits_and_each_says_of_how_many() -> None:
    shown = [Shown("Ada", 0.9, tested=10_000), Shown("Bo", 0.9, tested=10), Shown("Cleo", 1.0, tested=10)]
    page = page_of([Card(one.name, "digest", one) for one in shown])
    [best] = re.findall(r'<p class="best">(.*?)</p>', page, re.S)
    assert "90.0" in best and "Ada" in best and "Bo" not in best and "Cleo" not in best
    assert page.count("of 10,000") == 1 and page.count("of 10<") == 2


class Served:
    """A wall while it is served, with the answers of Pis that do not exist."""

    def __init__(self, page: Wall, server: Server) -> None:
        self.page, self.server = page, server

    def answer(self, pi: str, *shown: str) -> None:
        """Write a Pi's answer: what its students ada and bo show, in this order."""
        texts = dict(zip(["ada", "bo"], shown, strict=False))
        path = self.page.answers / f"{pi}.json"
        path.write_text(json.dumps({"place": 0, "students": [*texts], "shown": texts, "lost": ""}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.page.update()

    def ask(self, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """Send a request, by POST if it has a body. Return the status and the page."""
        answer = requests.request("GET" if body is None else "POST", self.server.url + path, data=body, headers=headers)
        return answer.status_code, answer.text


@contextmanager
def served(page: Wall) -> Iterator[Served]:
    """Serve a page."""
    page.answers.mkdir(exist_ok=True)
    page.update()
    with Server(page, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Served(page, server)
        server.shutdown()


@pytest.fixture
def wall(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "wall").mkdir()
    with served(Wall(tmp_path / "wall", tmp_path / "answers")) as wall:
        yield wall


def names(wall: Served) -> list[str]:
    """Return the names on the cards. Check that the page in the folder is the one that is served."""
    page = (wall.page.folder / "index.html").read_text(encoding="utf-8")
    assert wall.ask("/") == (200, page)
    return re.findall(r"<h2><bdi>(.*?)</bdi>", page)


def test_an_unreadable_card_is_left_out_and_the_others_are_shown(
    wall: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names(wall) == []
    wall.answer("pi-01", "[" * 30_000, text("Bo"))
    wall.answer("pi-01", "{}", text("Bo"))
    assert names(wall) == ["Bo"]
    assert capsys.readouterr().out.count("pi-01/ada is left out.") == 1, "A student can fill the terminal."


def test_a_student_who_was_taken_off_stays_off(wall: Served) -> None:
    """Whatever the student shows next, under any name, and after a restart, until the teacher puts it back."""
    folder = wall.page.folder
    wall.answer("pi-01", text("Ada", digits=digits(3)), text("Bo", digits=digits(4, seed=2)))
    read = read_csv(folder / "test_set/class_digits.csv")
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(read.pixels[-1], digits(4, seed=2).pixels[0])
    assert wall.ask("/take-off", "pi-01/ada", **{"X-Button": "1"})[0] == 200
    assert names(wall) == ["Bo"]
    assert len(read_csv(folder / "test_set/class_digits.csv")) == 4
    wall.answer("pi-01", text("Somebody else", digits=digits()), text("Bo"))
    assert names(wall) == ["Bo"]
    assert not (folder / "test_set/class_digits.csv").exists()
    with served(Wall(folder, wall.page.answers)) as again:
        assert names(again) == ["Bo"]
        assert again.ask("/put-back", "", **{"X-Button": "1"})[0] == 200
        assert names(again) == ["Bo", "Somebody else"]


def test_only_the_teachers_own_page_can_use_the_server(wall: Served) -> None:
    """Another site's page in the teacher's browser cannot, even under a host name that leads to this computer."""
    wall.answer("pi-01", text("Ada"))
    assert wall.ask("/take-off", "pi-01/ada")[0] == 403
    assert wall.ask("/take-off", "pi-01/ada", **{"X-Button": "1", "Host": "evil.example"})[0] == 403
    assert wall.ask("/", Host="evil.example")[0] == 403
    assert wall.ask("/take-off", "pi-01/eve", **{"X-Button": "1"})[0] == 404
    assert wall.ask("/../taken_off.json")[0] == 404
    assert names(wall) == ["Ada"]
    assert wall.server.server_address[0] == "127.0.0.1"


def test_the_page_updates_itself_and_one_click_takes_a_card_off(tmp_path: Path, browser_page: Page) -> None:
    page = browser_page
    with served(Wall(tmp_path, tmp_path / "answers")) as wall:
        page.goto(wall.server.url)
        expect(page.locator("h1")).to_have_text("The wall is empty")
        wall.answer("pi-01", text("Ada", backquery=digits().pixels, digits=digits()), text("Bo"))
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator(".tiles img")).to_have_count(10)
        page.locator("article", has_text="Ada").click()
        expect(page.locator("article.large bdi")).to_have_text("Ada")
        wall.answer("pi-02", text("Zoë"))
        expect(page.locator("article")).to_have_count(3)
        expect(page.locator("article.large bdi")).to_have_text("Ada")
        page.keyboard.press("Escape")
        assert_accessible(page)
        page.get_by_role("button", name="Take Ada off the wall").click()
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator(".tiles")).to_have_count(0)
        page.get_by_role("button", name="put the last one back").click()
        expect(page.locator("article bdi")).to_have_text(["Ada", "Bo", "Zoë"])
    expect(page.get_by_text("The wall has ended. This is what it last showed.")).to_be_visible()
    expect(page.locator(".take-off").first).to_be_hidden()
    page.goto(f"file://{tmp_path}/index.html")  # as a file, without the buttons
    expect(page.locator("article bdi").first).to_have_text("Ada")
    expect(page.locator(".take-off").first).to_be_hidden()


NAMES = """
Ada Anne-Marie Bo Dina Élodie Emil Emmy Finn Grace Hugo Ivy José Juno Kwame Lena Leyla Lou Max Mia Nia Noah Olena Oscar
Pim Sofía Tariq Theo Yuki Zoë Ömer
"""


@pytest.mark.parametrize("count", [0, 1, 3, 8, 15, 30])
def test_all_cards_fit_on_a_projectors_screen(mnist: Path, count: int, browser_page: Page, tmp_path: Path) -> None:
    """With everything that a card can show. The picture of thirty is for the manual."""
    examples = read_csv(mnist / "mnist_test.csv", 1000)
    network = NeuralNetwork(784, 60, 10, 0.1, seed=1)
    network.fit(examples, epochs=3)
    random = np.random.default_rng(7)
    cards = []
    for number, name in enumerate(NAMES.split()[:count]):
        one_of_each = np.array([random.choice(np.flatnonzero(examples.labels == label)) for label in range(10)])
        score = round(random.uniform(0.9, 0.975), 3)
        shown = Shown(name, score, _pictures(network), examples[one_of_each])
        cards.append(Card(f"pi-{number}/student", name, shown))
    (tmp_path / "index.html").write_text(page_of(cards, answering=count, pis=count), encoding="utf-8")
    for width, height in ((1280, 720), (3840, 2160), (1920, 1080)):
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.goto(f"file://{tmp_path}/index.html")
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert browser_page.evaluate(size) == [width, height]
    if count == 30:
        browser_page.screenshot(path=ROOT / "dist/screenshots/wall.png")
