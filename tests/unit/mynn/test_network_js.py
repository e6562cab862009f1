"""network.js, npz.js and frame.js in a browser: the same numbers and files as Python's network. And what pads say."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from mynn import DataError, NeuralNetwork
from mynn.arrays import Bytes
from mynn.damage import damage
from mynn.images import frame
from mynn.network import RULES
from tests.support.browser import import_modules
from tests.support.pupil import DIGITS, Strokes
from tests.unit.mynn.test_network import difference

SIDE = 112  # of a drawing, in pixels

# Each is a function of one value, which is JSON, with the module's names; files are base64.
OURS = """
const bytesOf = (file) => Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
const fileOf = (bytes) => btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
"""
TRAIN = """async ({file, examples, targets}) => {
  const network = await ours.Network.load(ours.bytesOf(file));
  examples.forEach(([inputs, targets]) => network.train(inputs, targets));
  const [outputs, inputs] = [network.query(examples[0][0]), network.backquery(targets)];
  return {file: ours.fileOf(network.save()), outputs: [...outputs], inputs: [...inputs]};
}"""
DAMAGE = """async ({file, nodes}) => {
  const network = await ours.Network.load(ours.bytesOf(file));
  const damaged = ours.damage(network, nodes);
  damaged.train(Array(damaged.wih[0].length).fill(0.5), Array(damaged.who.length).fill(0.99));
  return [network, damaged].map((one) => ours.fileOf(one.save()));
}"""
LOAD = """async (file) => {
  try {
    return ours.fileOf((await ours.Network.load(ours.bytesOf(file))).save());
  } catch (error) {
    return error.message;
  }
}"""
FRAME = """(drawing) => {
  try {
    return [...ours.frame(ours.bytesOf(drawing), 112)];
  } catch (error) {
    return error.message;
  }
}"""
NEW = """([inputs, hidden, outputs]) => {
  const network = new ours.Network(inputs, hidden, outputs, 0.1);
  return [ours.fileOf(network.save()), ours.fileOf(new ours.Network(inputs, hidden, outputs, 0.1).save())];
}"""
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
    import_modules(browser_page, "network.js", "frame.js", "paper.js")
    browser_page.evaluate(f"() => {{ {OURS} Object.assign(ours, {{bytesOf, fileOf}}) }}")
    return browser_page


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks") / "network.npz"


def saved(network: NeuralNetwork, path: Path) -> str:
    network.save(path)
    return base64.b64encode(path.read_bytes()).decode()


def loaded(file: str, path: Path) -> NeuralNetwork:
    path.write_bytes(base64.b64decode(file))
    return NeuralNetwork.load(path)


# Each example overwrites the file.
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
sizes = st.tuples(*[st.integers(1, 40)] * 3)


@many
@given(sizes=sizes, rule=st.sampled_from(RULES), seed=st.integers(0, 2**32 - 1), rate=st.floats(1e-3, 1))
def test_a_network_from_python_trains_and_answers_to_1e_12_and_comes_back(
    page: Page, path: Path, sizes: tuple[int, int, int], rule: str, seed: int, rate: float
) -> None:
    network = NeuralNetwork(*sizes, rate, seed=seed, rule=rule)
    random = np.random.default_rng(seed)
    examples = [(random.uniform(0.01, 1, sizes[0]), random.uniform(0.01, 0.99, sizes[2])) for _ in range(8)]
    targets = examples[0][1]
    asked = {
        "file": saved(network, path),
        "examples": [[inputs.tolist(), wanted.tolist()] for inputs, wanted in examples],
        "targets": targets.tolist(),
    }
    answer = page.evaluate(TRAIN, asked)
    for inputs, wanted in examples:
        network.train(inputs, wanted)
    trained = loaded(answer["file"], path)
    assert difference(trained, network) < 1e-12
    assert (trained.learning_rate, trained.rule) == (rate, rule)
    np.testing.assert_allclose(answer["outputs"], network.query(examples[0][0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(answer["inputs"], trained.backquery(targets), rtol=0, atol=1e-12)


@many
@given(sizes=sizes, seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_damage_takes_the_same_nodes_from_a_copy(
    page: Page, path: Path, sizes: tuple[int, int, int], seed: int, share: float
) -> None:
    network = NeuralNetwork(*sizes, 0.1, seed=seed)
    taken = min(int(share * sizes[1]), sizes[1] - 1)
    damaged = damage(network, taken, seed=seed)
    nodes = np.random.default_rng(seed).permutation(sizes[1])[:taken].tolist()
    whole, ours = page.evaluate(DAMAGE, {"file": saved(network, path), "nodes": nodes})
    damaged.train(np.full(sizes[0], 0.5), np.full(sizes[2], 0.99))
    assert difference(loaded(ours, path), damaged) < 1e-12
    assert difference(loaded(whole, path), network) == 0


def test_the_weights_of_a_new_network_start_as_pythons(page: Page, path: Path) -> None:
    network, other = (loaded(file, path) for file in page.evaluate(NEW, [784, 100, 10]))
    assert network.wih.std() == pytest.approx(100**-0.5, rel=0.02)
    assert network.who.std() == pytest.approx(10**-0.5, rel=0.1)
    assert abs(network.wih.mean()) < 0.002
    assert (network.wih != other.wih).all()


def test_float32_columns_first_and_files_that_are_not_compressed_are_read(page: Page, path: Path) -> None:
    network = NeuralNetwork(7, 5, 3, 0.1, seed=1, dtype=np.float32)
    network.wih = np.asfortranarray(network.wih)
    file = saved(network, path)
    with np.load(path) as arrays:
        np.savez(path, **arrays)
    for one in (file, base64.b64encode(path.read_bytes()).decode()):
        assert difference(loaded(page.evaluate(LOAD, one), path), network) == 0


def changed(path: Path, **change: object) -> str:
    """Return a saved network in which some arrays are others."""
    NeuralNetwork(7, 5, 3, 0.1, seed=1).save(path)
    with np.load(path) as file:
        arrays = dict(file) | {name: np.asarray(value) for name, value in change.items()}
    content = io.BytesIO()
    np.savez(content, **{name: array for name, array in arrays.items() if array.dtype != object or array.size})
    return base64.b64encode(content.getvalue()).decode()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"version": 1}, "it has version 1, but this page reads version 2"),
    ({"format": "an image"}, "it was not written by mynn"),
    ({"rule": "books"}, "there is no rule books"),
    ({"learning_rate": 11.0}, "a learning rate is above 0 and at most 10, not 11"),
    ({"learning_rate": [0.3]}, "an array is of another kind"),
    ({"who": np.zeros((3, 6))}, "its arrays do not fit together"),
    ({"wih": np.zeros((0, 7)), "who": np.zeros((3, 0))}, "its arrays do not fit together"),
    ({"wih": np.full((5, 7), np.nan)}, "some of its weights are not numbers"),
    ({"wih": np.zeros((5, 7), int)}, "its weights must be float64 or float32"),
    ({"another": 1}, "it is damaged, or not an .npz file"),
    ({"wih": np.empty(0, object)}, "an array is missing"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_a_file_of_another_kind_is_refused_with_a_reason(
    page: Page, path: Path, change: dict[str, Any], reason: str
) -> None:
    assert page.evaluate(LOAD, changed(path, **change)).startswith(f"no network can be read from this file: {reason}")


@many
@given(
    cut=st.none() | st.floats(0, 1, exclude_max=True), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
)
def test_a_damaged_file_is_refused_or_loads_the_right_network(
    page: Page, path: Path, cut: float | None, place: float, bit: int
) -> None:
    network = NeuralNetwork(7, 5, 3, 0.1, seed=1)
    content = bytearray(base64.b64decode(saved(network, path)))
    if cut is None:
        content[int(place * len(content))] ^= 1 << bit
    else:
        del content[int(cut * len(content)) :]
    answer = page.evaluate(LOAD, base64.b64encode(content).decode())
    if not answer.startswith("no network can be read from this file: "):
        assert cut is None and difference(loaded(answer, path), network) == 0


WRONG = [
    ("return network.query([1])", "inputs must be 7 numbers"),
    ("return network.query([1, 1, 1, NaN, 1, 1, 1])", "inputs must be 7 numbers"),
    ("return network.train(Array(7).fill(1), [1, 1])", "targets must be 3 numbers"),
    ("return network.backquery([0.5, 1, 0.5])", "targets must lie between 0 and 1"),
    ("return ours.damage(network, [0, 1, 2, 3, 4])", "at least one hidden node must be left"),
    ("return new ours.Network(7, 0.5, 3, 0.1)", "the number of nodes must be 1 or more, not 0.5"),
    ("return new ours.Network(7, 5, 3, NaN)", "a learning rate is above 0"),
    ("network.who[0][0] = Infinity; return network.save()", "some of its weights are not numbers"),
]


@pytest.mark.parametrize(("source", "message"), WRONG)
def test_wrong_arguments_are_refused(page: Page, source: str, message: str) -> None:
    assert page.evaluate(ATTEMPT, source).startswith(message)


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
@given(
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
    framed = page.evaluate(FRAME, base64.b64encode(drawing.tobytes()).decode())
    difference = np.abs(np.subtract(framed, frame(drawing, dark_on_light=True), dtype=float))
    assert difference.max() <= 5 and difference.mean() < 0.15


@pytest.mark.parametrize("kind", ["nothing", "all ink", "a point"])
def test_a_drawing_in_which_nothing_can_be_seen_is_refused(page: Page, kind: str) -> None:
    drawing = np.full((SIDE, SIDE), 0 if kind == "all ink" else 255, np.uint8)
    drawing[0, 0] = 0 if kind == "a point" else drawing[0, 0]
    with pytest.raises(DataError):
        frame(drawing, dark_on_light=True)
    answer = page.evaluate(FRAME, base64.b64encode(drawing.tobytes()).decode())
    assert str(answer).startswith("no digit can be seen in this picture")


@pytest.mark.parametrize(
    ("four", "seven", "sentence"),
    [
        (0.4, 0.3, "I am not sure. Is it a 4, or a 7?"),
        (0.9, 0.6, "It could be a 4, but also a 7."),
        (0.9, 0.4, "This is a 4."),
    ],
)
def test_a_doubtful_answer_says_so(page: Page, four: float, seven: float, sentence: str) -> None:
    outputs = [0.01] * 4 + [four] + [0.01] * 2 + [seven] + [0.01] * 2
    assert page.evaluate("(outputs) => ours.inWords(outputs, [1])", outputs) == sentence
