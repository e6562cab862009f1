"""The page /try/ in a browser: its first screen by a finger and by keys alone, under the server's own policy."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from mynn import NeuralNetwork, read_csv
from mynn_server.try_files import FILES
from tests.support.browser import (
    FIREFOX,
    assert_accessible,
    box_of,
    layout_shift,
    open_browser,
    open_firefox,
    sign_in,
    touch,
)
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.programs import ROOT
from tests.support.pupil import DIGITS, SCREENS, drag, focus, keys_of, press
from tests.support.try_page import fewer_digits, keep_and_sign_in, serving


@pytest.fixture(scope="module")
def data(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fewer_digits(networks, tmp_path_factory.mktemp("try"))


@pytest.fixture
def url(data: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's address, with another port for each test: a browser keeps the digits for a week."""
    for name, path in data.items():
        monkeypatch.setitem(FILES, name, path)
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest, chromium: None) -> Iterator[BrowserContext]:
    if getattr(request, "param", "chromium") == "chromium":
        with open_browser(offline=True, has_touch=True) as context:
            yield context
    elif FIREFOX.exists():
        with open_firefox() as context:
            yield context
    else:
        pytest.skip(f"there is no browser {FIREFOX}: `make browser` installs it")


# By a finger and by keys alone in Chromium, by the mouse alone in Firefox.
FINGER, KEYS, MOUSE = ("chromium", "phone"), ("chromium", "keys"), ("firefox", "mouse")


def in_two_ways(first: tuple[str, str], second: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test in two of these ways; each is that of two tests."""
    ways = [first, pytest.param(*second, marks=pytest.mark.slow)]
    return pytest.mark.parametrize(("browser", "way"), ways, indirect=["browser"])


@contextmanager
def opened(browser: BrowserContext, url: str, shown: str = ".node") -> Iterator[Page]:
    """Open a page until something is shown; whatever it complains of, or asks of anybody else, fails the test."""
    page = browser.new_page()
    failures: list[str] = []
    page.on("console", lambda line: None if "403 (Forbidden)" in line.text else failures.append(line.text))
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else failures.append(request.url))
    page.goto(url)
    expect(page.locator(shown).first).to_be_visible()
    yield page
    page.close()
    assert failures == []


@pytest.fixture
def page(browser: BrowserContext, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


def draw(page: Page, digit: int, way: str) -> None:
    """Draw a digit, and wait for the answer to all of it, which comes with the screen's next picture."""
    paper = page.locator(".mynn-pad-paper")
    if way != "keys":
        (drag if way == "mouse" else touch)(paper, DIGITS[digit])
    else:
        focus(paper, way)
        before = page.evaluate("scrollY")
        for key in keys_of(DIGITS[digit]):
            page.keyboard.press(key)
        assert page.evaluate("scrollY") == before  # Space and arrows belong to the pen
    page.evaluate("new Promise(requestAnimationFrame)")


def choose(group: Locator, place: int, way: str) -> None:
    """Press one of a group's buttons, of which the Tab key reaches one, and the arrow keys the others."""
    if way != "keys":
        return press(group.locator("button").nth(place), way)
    focus(group.locator("[tabindex='0']"), way)
    focused = group.page.locator("*:focus")
    while (at := focused.evaluate("one => [...one.parentElement.children].indexOf(one)")) != place:
        group.page.keyboard.press("ArrowRight" if at < place else "ArrowUp")
    group.page.keyboard.press("Enter")


def signal(node: Locator) -> float:
    """Return what a screen reader reads of a node."""
    return float((node.get_attribute("aria-label") or "").rpartition(" ")[2])


@in_two_ways(FINGER, KEYS)
def test_a_drawing_is_answered_and_the_network_is_looked_into_and_damaged(page: Page, way: str) -> None:
    page.set_viewport_size(SCREENS[way])
    expect(page.get_by_role("status").first).to_have_text("Draw a digit on the white square.")
    assert_accessible(page)
    draw(page, 4, way)
    says, bars, nodes = page.locator("#says"), page.locator("#bars"), page.locator("#nodes")
    expect(says).to_have_text("This is a 4.")
    assert page.locator(".mynn-pad-best").inner_text().startswith("4")
    answers = bars.inner_text()
    bright = [place for place, node in enumerate(nodes.locator("button").all()) if signal(node) > 0.5]
    assert 3 < len(bright) < 47

    for count, place in enumerate(bright[:3], 1):
        choose(nodes, place, way)
        expect(page.get_by_role("heading", name=f"The weights of hidden node {place + 1}")).to_be_visible()
        switch = page.get_by_role("switch", name="This node is on")
        focus(switch, way)
        if way == "keys":
            page.keyboard.press(" ")
        expect(switch).not_to_be_checked()
        expect(page.locator("#damage-words")).to_contain_text(f"{count} of 50 nodes")
    assert bars.inner_text() != answers
    assert_accessible(page)
    press(page.get_by_role("button", name="Switch all on"), way)
    expect(bars).to_have_text(answers, use_inner_text=True)

    choose(bars, 3, way)
    expect(page.get_by_role("heading", name="The dream of a 3")).to_be_visible()
    expect(page.get_by_role("switch")).to_be_hidden()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[way]["width"]
    press(page.locator("#draw").get_by_role("button", name="Clear"), way)
    expect(says).to_have_text("Draw a digit on the white square.")


def test_it_answers_while_a_stroke_grows_and_the_paper_stays_where_it_is(page: Page) -> None:
    """Or the stroke would go elsewhere: on a phone the sentences stand above it. Not much was loaded for that."""
    page.set_viewport_size(SCREENS["phone"])
    box, says = page.locator(".mynn-pad-paper").bounding_box(), page.locator("#says")
    assert box
    page.mouse.move(box["x"] + 160, box["y"] + 60)
    page.mouse.down()
    for sentence, down in ((re.compile("I don’t know|I am not sure|It could be|This is"), 64), ("This is a 1.", 250)):
        page.mouse.move(box["x"] + 155, box["y"] + down, steps=10)
        expect(says).to_have_text(sentence)
        assert page.locator(".mynn-pad-paper").bounding_box() == box
    page.mouse.up()
    entries = page.evaluate("performance.getEntries().map((entry) => entry.encodedBodySize ?? 0)")
    assert 60_000 < sum(entries) < 200_000  # bytes until here, network included


def test_nothing_moves_while_the_page_appears(page: Page) -> None:
    assert layout_shift(page, ".node") < 0.1


def test_each_technical_word_is_explained_by_a_press(page: Page) -> None:
    page.set_viewport_size(SCREENS["phone"])
    for word in page.locator(".meanings details").all():
        press(word.locator("summary"), "phone")
        expect(word.locator("p")).to_have_text(re.compile(r"^.{40,}\. See Lesson \d+\.$"))
        expect(word.locator("p")).to_be_visible()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"]["width"]


def test_what_was_taught_drawn_and_climbed_outlasts_a_reload_until_one_begins_afresh(page: Page) -> None:
    page.set_viewport_size(SCREENS["phone"])
    expect(page.locator("#stays")).to_contain_text("Until you close this tab")
    draw(page, 7, "phone")
    choose(page.locator("#labels"), 7, "phone")
    draw(page, 4, "phone")
    page.get_by_label("Guess first").fill("80,5")
    press(page.get_by_role("button", name="Full speed"), "phone")
    result, bars, yours = page.locator("#result"), page.locator("#bars"), page.locator("#ladder td:last-child").first
    expect(result).to_contain_text("It has learnt from 2,000 digits.")
    expect(bars).to_contain_text("0.")
    before = [part.inner_text() for part in (result, bars, yours)]
    assert before[2].startswith("✓")
    for _ in range(2):
        page.reload()
        expect(result).to_have_text(before[0])
        assert [part.inner_text() for part in (result, bars, yours)] == before
    expect(page.locator("#labelled")).to_have_text("1 drawing to keep.")
    press(page.get_by_role("button", name="One digit"), "phone")
    expect(result).to_contain_text("It has learnt from 2,001 digits.")

    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        press(page.get_by_role("button", name="Begin afresh"), "phone")
    expect(page.locator(".node")).to_have_count(50)
    assert [result.inner_text(), yours.inner_text(), page.locator("#labelled").inner_text()] == ["", "", ""]
    expect(page.locator("#says")).to_have_text("Draw a digit on the white square.")
    expect(page.get_by_label("Guess first")).to_have_value("")


def test_a_border_moves_until_each_point_is_on_its_own_side(page: Page) -> None:
    """By taps; then by keys for a screen reader, with what moves left out."""
    page.set_viewport_size(SCREENS["phone"])
    part = page.locator("#border")
    says, border, square = part.get_by_role("status"), part.get_by_role("img"), part.get_by_role("application")
    train = part.get_by_role("button", name=re.compile("Train|Stop"))
    expect(part.locator("path")).to_have_count(12)
    press(train, "phone")
    expect(says).to_have_text(re.compile(r"\d+ epochs. 12 of 12 points are on their own side."))
    expect(train).to_have_text("Train")
    press(part.get_by_role("button", name="Clear"), "phone")
    corners = [(0.2, 0.2), (0.8, 0.8), (0.2, 0.8), (0.8, 0.2), (0.5, 0.5)]  # x to the right and y down; red first
    width = box_of(square)["width"]
    for number, (x, y) in enumerate([*corners, corners[-1]]):  # the last one is taken away again
        press(part.get_by_role("button", name="Red" if number < 2 else "Blue"), "phone")
        square.tap(position={"x": x * width, "y": y * width})
    press(train, "phone")
    expect(says).to_contain_text("4 of 4 points are on their own side.")
    expect(train).to_have_text("Train")
    colours = border.evaluate("(map) => [...map.getContext('2d').getImageData(0, 0, 33, 33).data]")
    shown = [4 * (int(33 * y) * 33 + int(33 * x)) for x, y in corners[:4]]
    assert [colours[place] > colours[place + 2] for place in shown] == [True, True, False, False]  # red is above blue
    expect(border).to_have_accessible_name(re.compile("at the top: red, blue; .* at the bottom: blue, red"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"]["width"]

    page.emulate_media(reduced_motion="reduce")
    page.reload()
    expect(says).to_have_text(re.compile("^0 epochs. . of 4 points are"))
    focus(square, "keys")
    for key in ["ArrowLeft"] * 6 + [" "]:
        page.keyboard.press(key)
    now = train.evaluate(
        "(button) => { button.click(); return document.querySelector('#border [role=status]').textContent }"
    )
    assert "5 of 5 points" in now
    assert_accessible(page, "#border")


def cut_off(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, send only the beginning of a file."""
    path = folder / name
    path.write_bytes(FILES[name].read_bytes()[:1000])
    monkeypatch.setitem(FILES, name, path)


def test_a_network_that_does_not_arrive_is_reported(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off("network.bin", tmp_path, monkeypatch)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The network did not arrive")


def table(page: Page) -> dict[str, list[float]]:
    """Return the numbers that are shown of a digit: by its label, output, target, error, and output then."""
    rows = page.locator("#numbers tbody tr").all_inner_texts()
    return {row.split()[0]: [float(number.replace("−", "-")) for number in row.split()[1:]] for row in rows}


@pytest.mark.slow
@in_two_ways(FINGER, MOUSE)
def test_a_network_is_taught_by_single_digits_slowly_and_at_full_speed(page: Page, way: str) -> None:
    page.set_viewport_size(SCREENS[way])
    draw(page, 4, way)
    expect(page.locator("#says")).to_have_text("This is a 4.")
    given = page.locator("#bars").inner_text()
    result, moment, guess = page.locator("#result"), page.locator("#moment-title"), page.get_by_label("Guess first")
    one = page.get_by_role("button", name="One digit")
    press(one, way)
    expect(guess).to_be_focused()  # it is asked for first
    expect(page.locator("#progress")).to_be_hidden()
    page.keyboard.type("80,5")
    page.get_by_label("Learning rate").fill("0,1")  # or "Yours" below stays empty
    press(one, way)
    expect(result).to_have_text(
        re.compile(r"It has learnt from 1 digit. Before that it recognised [\d.]+ of 100 new ones.")
    )
    expect(moment).to_have_text(re.compile(r"Digit 1 is a 5: it said \d"))  # MNIST's first
    output, target, error, _ = table(page)["5"]
    assert target == 0.99 and error == pytest.approx(target - output, abs=0.011)
    assert any(output != then for output, _, _, then in table(page).values())
    expect(page.locator("#hidden-nodes")).to_be_disabled()

    press(page.get_by_role("button", name="Slowly"), way)
    expect(moment).to_contain_text(re.compile(r"Digit ([3-9]|\d\d+) is a \d"))
    press(page.get_by_role("button", name="Stop"), way)
    expect(result).to_contain_text(re.compile(r"It has learnt from ([3-9]|\d\d+) digits\."))
    expect(one).to_be_focused()
    press(page.get_by_role("button", name="Full speed"), way)
    expect(result).to_contain_text("It has learnt from 2,000 digits.")
    expect(result).to_contain_text("You guessed 80.5.")
    found = re.search(r"After 2,000 it recognised ([\d.]+) of 100", result.inner_text())
    assert found and float(found[1]) > 65
    expect(page.locator("#curve")).to_have_attribute("aria-label", f"{found[1]} of 100 after 2,000 digits")
    yours = page.locator("#ladder td:last-child").all_inner_texts()
    assert yours == [f"✓ {found[1]}", "", "", "", ""]
    assert page.context.browser
    if page.context.browser.browser_type.name == "chromium":  # Firefox forbids the style that Playwright adds for it
        page.screenshot(path=ROOT / f"dist/screenshots/try-{way}.png", full_page=True)
    assert_accessible(page)
    for width in (SCREENS[way]["width"], 320):  # and a small phone's
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size(SCREENS[way])
    page.wait_for_function("width => innerWidth === width", arg=SCREENS[way]["width"])

    mine = page.locator("#bars").inner_text()
    asks = page.get_by_role("switch", name="The pad asks this network")
    focus(asks, way)
    if way == "keys":
        page.keyboard.press(" ")
    expect(asks).not_to_be_checked()
    expect(page.locator("#bars")).to_have_text(given, use_inner_text=True)
    assert mine != given
    press(page.get_by_role("button", name="Begin anew"), way)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#hidden-nodes")).to_be_enabled()


@pytest.mark.slow
def test_a_digit_is_also_learnt_turned_to_the_left_and_to_the_right(page: Page) -> None:
    page.get_by_label("Guess first").fill("80")
    page.get_by_label("Each digit also turned left and right").check()
    pictures = set()
    for number, label in enumerate((5, 5, 5, 0), 1):  # MNIST's first two
        page.get_by_role("button", name="One digit").click()
        expect(page.locator("#moment-title")).to_contain_text(f"Digit {number} is a {label}")
        pictures.add(page.locator("#moment-digit canvas").evaluate("canvas => canvas.toDataURL()"))
    assert len(pictures) == 4
    page.get_by_role("button", name="Full speed").click()
    expect(page.locator("#result")).to_contain_text("It has learnt from 6,000 digits.")


def test_teaching_is_refused_where_the_digits_cannot_be_used(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off("test.bin", tmp_path, monkeypatch)
    page.get_by_label("Guess first").fill("80")
    page.get_by_role("button", name="Full speed").click()
    expect(page.get_by_role("alert")).to_contain_text("test.bin cannot be used")


def test_nothing_is_kept_before_there_is_something_and_while_the_pi_is_starting_it_waits(page: Page) -> None:
    page.clock.install()
    page.reload()
    keep, kept, four = page.locator("#keep-it"), page.locator("#kept"), page.locator("#labels button").nth(4)
    keep.click()
    expect(kept).to_contain_text("There is nothing to keep yet")
    four.click()
    expect(page.locator("#labelled")).to_contain_text("Draw a digit first")
    draw(page, 4, "phone")
    four.click()
    keep.click()
    expect(kept).to_contain_text("on its way")
    page.clock.fast_forward(5_000)
    expect(kept).to_contain_text("The Pi is still starting")
    page.clock.fast_forward(180_000)
    expect(kept).to_contain_text("Nothing is lost here")
    assert_accessible(page)


@pytest.fixture(scope="module")
def server(venv: Path, mnist: Path, data: dict[str, Path]) -> Iterator[Server]:
    """A notebook server that has all that the page needs."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for one account only
        folder = Path(name, "try")
        folder.mkdir()
        for path in data.values():
            shutil.copy(path, folder)
        for one in (folder.parent, folder):
            one.chmod(0o755)
        with run_server(venv, environment={"MNIST_DIR": str(mnist), "NETWORKS_DIR": name}) as running:
            yield running


@pytest.mark.slow
@in_two_ways(KEYS, MOUSE)
def test_what_was_taught_and_drawn_is_kept_for_the_lessons(
    browser: BrowserContext, server: Server, mnist: Path, networks: Path, way: str
) -> None:
    """Who keeps signs in once, in another tab, and a better network stays."""
    folder = server.home / "notebooks"
    browser.clear_cookies()
    for name in ("my_network.npz", "my_digits.csv"):
        (folder / name).unlink(missing_ok=True)
    with opened(browser, f"{server.url}/try/") as page:
        page.set_viewport_size(SCREENS[way])
        for digit in (4, 7):
            draw(page, digit, way)
            choose(page.locator("#labels"), digit, way)
        expect(page.locator("#labelled")).to_have_text("That is a 7. 2 drawings to keep.")
        focus(page.get_by_label("Guess first"), way)
        page.keyboard.type("80,5")
        press(page.get_by_role("button", name="Full speed"), way)
        expect(page.locator("#result")).to_contain_text("It has learnt from 2,000 digits.")
        keep, kept = page.get_by_role("button", name="Keep on the Pi"), page.locator("#kept")
        tab = keep_and_sign_in(page, way)
        expect(kept).to_contain_text("Kept in my_digits.csv, which has 2 drawings now. Kept in my_network.npz: ")
        assert tab.is_closed()
        expect(page.locator("#labelled")).to_be_empty()
        assert read_csv(folder / "my_digits.csv").labels.tolist() == [4, 7]
        network = NeuralNetwork.load(folder / "my_network.npz")
        assert network.score(read_csv(mnist / "mnist_test.csv", limit=500)) > 0.65
        assert_accessible(page)

        better = (networks / "digits.npz").read_bytes()
        (folder / "my_network.npz").write_bytes(better)
        press(keep, way)
        expect(kept).to_have_text(re.compile("^my_network.npz stays as it is: the network in it recognises 9"))
        assert (folder / "my_network.npz").read_bytes() == better


@in_two_ways(FINGER, MOUSE)
def test_the_own_network_is_taken_home_on_a_page_and_in_a_file_that_reads(
    browser: BrowserContext, url: str, tmp_path: Path, way: str
) -> None:
    """The file is opened from disk. It reads what is drawn, and asks nobody."""
    with opened(browser, url) as page:
        page.set_viewport_size(SCREENS[way])
        draw(page, 7, way)
        choose(page.locator("#labels"), 7, way)
        for name, text in (("Hidden nodes", "200"), ("Guess first", "80")):  # 200 is the most
            focus(page.get_by_label(name, exact=name != "Guess first"), way)
            page.keyboard.press("Control+a")
            page.keyboard.type(text)
        press(page.get_by_role("button", name="Full speed"), way)
        expect(page.locator("#result")).to_contain_text("It has learnt from 2,000 digits.")
        page.reload()
        result = page.locator("#result")
        expect(result).to_contain_text("It has learnt from 2,000 digits.")
        press(page.get_by_role("button", name="Slowly"), way)
        press(page.get_by_role("button", name="Stop"), way)
        expect(result).to_have_text(re.compile(r"from (2,\d+) digits\. After \1 it recognised [\d.]+ of 100 new"))
        count, part = re.findall(r"[\d.,]*\d", result.inner_text())[1:3]
        with page.expect_popup() as tab:
            press(page.get_by_role("link", name="Take it home"), way)
        home = tab.value
        home.set_viewport_size(SCREENS[way])
        sheet = home.get_by_role("img", name="My network reads digits")
        said = rf"{re.escape(part)} % of 500 test digits.* 200 hidden.* {count} digits"
        expect(sheet).to_have_accessible_name(re.compile(said))
        expect(sheet).to_have_accessible_name(re.compile(r"Digits that I have drawn: 7$"))
        assert_accessible(home)
        focus(home.get_by_label("Your name"), way)
        home.keyboard.type("Ada <b>")
        expect(sheet).to_have_accessible_name(re.compile("Ada <b>"))
        if way == "mouse":
            return home.close()  # Playwright does not get what Firefox saves
        for button, file in (("picture", "my_network.png"), ("file that reads", "my_network.html")):
            with home.expect_download() as saved:
                press(home.get_by_role("button", name=button), way)
            saved.value.save_as(tmp_path / file)
        home.close()
    with Image.open(tmp_path / "my_network.png") as picture:
        assert picture.size == (1240, 1754)
    assert (tmp_path / "my_network.html").stat().st_size < 1_000_000
    with opened(browser, (tmp_path / "my_network.html").as_uri(), shown=".mynn-pad-bar") as page:
        page.set_viewport_size(SCREENS[way])
        expect(page.get_by_text("Ada <b>")).to_be_visible()
        draw(page, 7, way)
        expect(page.get_by_role("status")).to_contain_text("7")
        assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[way]["width"]
        assert_accessible(page)


def test_the_network_on_the_pi_is_taken_home_from_the_start_page(
    browser: BrowserContext, server: Server, networks: Path
) -> None:
    folder = server.home / "notebooks"
    for name in ("my_network.npz", "my_digits.csv"):
        (folder / name).unlink(missing_ok=True)
    page = browser.new_page()
    page.set_viewport_size(SCREENS["phone"])
    sign_in(page, server.url, PASSWORD)
    take = page.get_by_role("link", name="Take your network home")
    with page.expect_popup() as tab:
        press(take, "phone")
    says = tab.value.get_by_role("alert")
    expect(says).to_contain_text("there is no such file")
    shutil.copy(networks / "digits.npz", folder / "my_network.npz")
    lines = [",".join(map(str, [label % 10, *[7] * label, *[0] * (784 - label)])) for label in range(12)]
    (folder / "my_digits.csv").write_text("\n".join(lines))
    press(take, "phone")
    sheet = tab.value.get_by_role("img")
    expect(sheet).to_have_accessible_name(re.compile(r"recognises 9[\d.]+ % of 500 .*drawn: 2 3 4 5 6 7 8 9 0 1$"))
    assert len(re.findall(rb"/Type /Page\b", tab.value.pdf())) == 1  # on paper
    browser.clear_cookies()
    tab.value.reload()
    expect(says).to_have_text("Please sign in again.")
    tab.value.close()
    page.close()
