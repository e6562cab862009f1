"""network.js, distort.js and frame.js in a browser: the same numbers as in Python. And what pads say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from mynn import DataError, Examples, NeuralNetwork, read_csv
from mynn.arrays import Bytes
from mynn.checkpoint import for_browser, from_browser
from mynn.damage import damage
from mynn.distort import rotated
from mynn.doubt import is_digit
from mynn.images import frame
from mynn.network import RULES
from tests.support.browser import import_modules
from tests.support.doodles import DOODLES, jumble, letter, pictures
from tests.support.pupil import DIGITS, Strokes

SIDE = 112  # of a drawing, in pixels

# Each is a function of one value, which is JSON, with the module's names.
OURS = """
const networkOf = ({wih, who, ...how}) => {
  const [rowsIn, rowsOut] = [wih, who].map((rows) => rows.map((row) => Float64Array.from(row)));
  return ours.Network.of({wih: rowsIn, who: rowsOut, ...how});
};
const rowsOf = ({wih, who}) => ({wih: wih.map((row) => [...row]), who: who.map((row) => [...row])});
"""
TRAIN = """({network, examples, targets}) => {
  const trained = ours.networkOf(network);
  examples.forEach(([inputs, targets]) => trained.train(inputs, targets));
  const [outputs, inputs] = [trained.query(examples[0][0]), trained.backquery(targets)];
  return {...ours.rowsOf(trained), outputs: [...outputs], inputs: [...inputs]};
}"""
DAMAGE = """({network, nodes}) => {
  const whole = ours.networkOf(network);
  const damaged = ours.damage(whole, nodes);
  damaged.train(Array(damaged.wih[0].length).fill(0.5), Array(damaged.who.length).fill(0.99));
  return [whole, damaged].map(ours.rowsOf);
}"""
SENT = """(weights) => [...ours.Network.from(Float32Array.from(weights)).weights()]"""
FRAME = """(drawing) => {
  try {
    return [...ours.frame(Uint8Array.from(drawing), 112)];
  } catch (error) {
    return error.message;
  }
}"""
ROTATE = "([pixels, ...how]) => [...ours.rotation(...how)(Uint8Array.from(pixels))]"
NEW = """(sizes) => [1, 2].map(() => ours.rowsOf(new ours.Network(...sizes, 0.1)))"""
ATTEMPT = """(source) => {
  const network = new ours.Network(7, 5, 3, 0.1);
  try {
    return String(new Function("ours", "network", source)(ours, network));
  } catch (error) {
    return error.message;
  }
}"""


@pytest.fixture(scope="module")
def page(chromium: None, browser_page: Page) -> Page:
    """An empty page that has the modules, as `ours`."""
    import_modules(browser_page, "network.js", "distort.js", "doubt.js", "frame.js", "paper.js", "translation.js")
    browser_page.evaluate(f"() => {{ {OURS} Object.assign(ours, {{networkOf, rowsOf}}) }}")
    return browser_page


def given(network: NeuralNetwork) -> dict[str, Any]:
    """Return a network as JSON."""
    how = {"learningRate": network.learning_rate, "rule": network.rule}
    return {"wih": network.wih.tolist(), "who": network.who.tolist(), **how}


def apart(answer: dict[str, Any], network: NeuralNetwork) -> float:
    """Return the largest difference between the weights of an answer and those of a network."""
    return max(float(np.abs(np.subtract(answer[name], getattr(network, name))).max()) for name in ("wih", "who"))


many = settings(max_examples=60)
sizes = st.tuples(*[st.integers(1, 40)] * 3)


@many
@drawn(sizes=sizes, rule=st.sampled_from(RULES), seed=st.integers(0, 2**32 - 1), rate=st.floats(1e-3, 1))
def test_a_network_from_python_trains_and_answers_to_1e_12(
    page: Page, sizes: tuple[int, int, int], rule: str, seed: int, rate: float
) -> None:
    network = NeuralNetwork(*sizes, rate, seed=seed, rule=rule)
    random = np.random.default_rng(seed)
    examples = [(random.uniform(0.01, 1, sizes[0]), random.uniform(0.01, 0.99, sizes[2])) for _ in range(8)]
    targets = examples[0][1]
    asked = {
        "network": given(network),
        "examples": [[inputs.tolist(), wanted.tolist()] for inputs, wanted in examples],
        "targets": targets.tolist(),
    }
    answer = page.evaluate(TRAIN, asked)
    for inputs, wanted in examples:
        network.train(inputs, wanted)
    assert apart(answer, network) < 1e-12
    np.testing.assert_allclose(answer["outputs"], network.query(examples[0][0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(answer["inputs"], network.backquery(targets), rtol=0, atol=1e-12)


@many
@drawn(sizes=sizes, seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_damage_takes_the_same_nodes_from_a_copy(
    page: Page, sizes: tuple[int, int, int], seed: int, share: float
) -> None:
    network = NeuralNetwork(*sizes, 0.1, seed=seed)
    taken = min(int(share * sizes[1]), sizes[1] - 1)
    damaged = damage(network, taken, seed=seed)
    nodes = np.random.default_rng(seed).permutation(sizes[1])[:taken].tolist()
    whole, ours = page.evaluate(DAMAGE, {"network": given(network), "nodes": nodes})
    damaged.train(np.full(sizes[0], 0.5), np.full(sizes[2], 0.99))
    assert apart(ours, damaged) < 1e-12
    assert apart(whole, network) == 0


def test_the_weights_of_a_new_network_start_as_pythons(page: Page) -> None:
    networks = page.evaluate(NEW, [784, 100, 10])
    wih, other = (np.array(one["wih"]) for one in networks)
    assert wih.std() == pytest.approx(100**-0.5, rel=0.02)
    assert np.std(networks[0]["who"]) == pytest.approx(10**-0.5, rel=0.1)
    assert abs(wih.mean()) < 0.002
    assert (wih != other).any()


def test_weights_travel_as_python_has_them(page: Page) -> None:
    network = NeuralNetwork(784, 5, 10, 0.1, seed=1, dtype=np.float32)
    network.who = np.asfortranarray(network.who)
    sent = for_browser(network.wih, network.who)
    back = page.evaluate(SENT, np.frombuffer(sent, np.float32).tolist())
    assert np.array(back, np.float32).tobytes() == sent
    wih, who = from_browser(sent)
    assert (wih == network.wih).all() and (who == network.who).all()


WRONG = [
    ("return network.query([1])", "inputs must be 7 numbers"),
    ("return network.query([1, 1, 1, NaN, 1, 1, 1])", "inputs must be 7 numbers"),
    ("return network.train(Array(7).fill(1), [1, 1])", "targets must be 3 numbers"),
    ("return network.backquery([0.5, 1, 0.5])", "targets must lie between 0 and 1"),
    ("return ours.damage(network, [0, 1, 2, 3, 4])", "at least one hidden node must be left"),
    ("return new ours.Network(7, 0.5, 3, 0.1)", "the number of nodes must be 1 or more, not 0.5"),
    ("return new ours.Network(7, 5, 3, NaN)", "a learning rate is above 0"),
    ("network.who[0][0] = Infinity; return ours.Network.of(network)", "some of its weights are not numbers"),
    ("return ours.Network.of({...network, wih: network.wih.slice(1)})", "its arrays do not fit together"),
    ("return ours.Network.of({...network, rule: 'books'})", "there is no rule books"),
    ("return ours.Network.from(new Float32Array(1000))", "its arrays do not fit together"),
    ("return ours.Network.from(new Float32Array())", "its arrays do not fit together"),
]


@pytest.mark.parametrize(("source", "message"), WRONG)
def test_wrong_arguments_are_refused(page: Page, source: str, message: str) -> None:
    assert page.evaluate(ATTEMPT, source).startswith(message)


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv", limit=200)


@settings(max_examples=20)
@drawn(place=st.integers(0, 199), degrees=st.floats(-180, 180))
@example(place=0, degrees=10)
@example(place=0, degrees=-10)
def test_a_digit_is_rotated_as_in_python(page: Page, digits: Examples, place: int, degrees: float) -> None:
    """But for a pixel's last digit: the compiled kernel rounds to 2,048ths what it takes of each pixel."""
    turned = page.evaluate(ROTATE, [digits.pixels[place].tolist(), degrees])
    python = rotated(digits[place : place + 1], degrees).pixels[0]
    assert np.abs(np.array(turned) - python.astype(int)).max() <= 1


@settings(max_examples=10)
@drawn(down=st.integers(-9, 9), right=st.integers(-9, 9))
def test_a_digit_is_shifted_and_what_leaves_the_picture_is_gone(
    page: Page, digits: Examples, down: int, right: int
) -> None:
    shifted = page.evaluate(ROTATE, [digits.pixels[0].tolist(), 0, down, right])
    padded = np.pad(digits.pixels[0].reshape(28, 28), 9)
    assert (np.reshape(shifted, (28, 28)) == padded[9 - down : 37 - down, 9 - right : 37 - right]).all()


def ink(strokes: Strokes, pen: float) -> Bytes:
    """Return a drawing's brightness, SIDE x SIDE, with smooth edges."""
    large = Image.new("L", (4 * SIDE, 4 * SIDE), 255)
    draw, radius = ImageDraw.Draw(large), 2 * pen
    for stroke in strokes:
        points = [(x * 4 * SIDE, y * 4 * SIDE) for x, y in stroke]
        draw.line(points, fill=0, width=round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BOX))


@many
@drawn(
    digit=st.sampled_from(sorted(DIGITS)),
    size=st.floats(0.25, 1.1),
    aside=st.tuples(*[st.floats(-0.2, 0.2)] * 2),
    speck=st.booleans(),
)
def test_a_drawing_is_framed_as_in_python(
    page: Page, digit: int, size: float, aside: tuple[float, float], speck: bool
) -> None:
    """Python also looks how the light falls on the paper, so some levels of 255 may differ.

    In 1,200 drawings the largest difference was 3 levels, and a drawing's mean was below 0.08.
    """
    strokes = [
        [(0.5 + size * (x - 0.5) + aside[0], 0.5 + size * (y - 0.5) + aside[1]) for x, y in stroke]
        for stroke in DIGITS[digit]
    ]
    drawing = ink(strokes, 10)
    if speck:
        drawing = drawing.copy()
        drawing[1:4, 1:4] = 0
    framed = page.evaluate(FRAME, drawing.ravel().tolist())
    difference = np.abs(np.subtract(framed, frame(drawing), dtype=float))
    assert difference.max() <= 5 and difference.mean() < 0.15


@pytest.mark.parametrize("kind", ["nothing", "all ink", "a point"])
def test_a_drawing_in_which_nothing_can_be_seen_is_refused(page: Page, kind: str) -> None:
    drawing = np.full((SIDE, SIDE), 0 if kind == "all ink" else 255, np.uint8)
    drawing[0, 0] = 0 if kind == "a point" else drawing[0, 0]
    with pytest.raises(DataError):
        frame(drawing)
    answer = page.evaluate(FRAME, drawing.ravel().tolist())
    assert str(answer).startswith("no digit can be seen in this picture")


@pytest.mark.parametrize(
    ("four", "seven", "sentence"),
    [
        (0.4, 0.3, "I am not sure. Is it a 4, or a 7?"),
        (0.9, 0.6, "It could be a 4, but also a 7."),
        (0.9, 0.4, "This is a 4."),
    ],
)
def test_a_doubtful_answer_says_so(page: Page, mnist: Path, four: float, seven: float, sentence: str) -> None:
    outputs = [0.01] * 4 + [four] + [0.01] * 2 + [seven] + [0.01] * 2
    digit = read_csv(mnist / "mnist_train.csv", 1).pixels[0].tolist()
    assert page.evaluate("(given) => ours.inWords(...given, [1])", [outputs, digit]) == sentence


def test_what_is_no_digit_gets_the_answer_i_do_not_know_as_in_python(page: Page, mnist: Path) -> None:
    digits = read_csv(mnist / "mnist_train.csv", 100).pixels
    asked = [*digits, *pictures([letter, *DOODLES, jumble], 200, seed=3)]
    look = "(all) => all.map((pixels) => ours.looksLikeDigit(pixels))"
    answers = page.evaluate(look, [pixels.tolist() for pixels in asked])
    assert answers == [is_digit(pixels) for pixels in asked]
    house = asked[answers.index(False)].tolist()
    said = page.evaluate("(pixels) => ours.inWords(Array(10).fill(0.9), pixels, [1])", house)
    assert said == "I don’t know. This looks like no digit."
    assert page.evaluate("() => ours.inWords(null, null, [])") == "Draw a digit on the white square."


READ = "([text, code]) => ours.numbersIn(text, code)"


def test_a_number_is_read_as_the_language_writes_it_or_in_two_ways(page: Page) -> None:
    """In English, German and French."""
    for text, *readings in (
        ("1,000", [1000], [1, 1000], [1, 1000]),
        ("1.000", [1, 1000], [1000], [1000, 1]),
        ("12.345,67", [12345.67]), ("12\N{NARROW NO-BREAK SPACE}345,67 %", [12345.67]), ("٩٨٬٠٠٧", [98007]),
        ("9,5", [9.5]), ("−0.25", [-0.25]), ("0,980 s", [0.98]), ("60’000 Ziffern", [60000]),
        *((text, []) for text in ("", "many", "12 30", "1e5", "1,00,0", "²", ".")),
    ):  # fmt: skip
        found = [page.evaluate(READ, [text, code]) for code in ("en", "de", "fr")]
        assert found == (readings if len(readings) == 3 else readings * 3), text
