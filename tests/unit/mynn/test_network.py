"""The network: its rules, training on many examples, files, and the messages about wrong arguments."""

import copy
import html
import math
import re
import tempfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from mynn import NetworkFileError, NeuralNetwork, checks, scale, targets_for
from mynn.arrays import Floats
from mynn.network import RULES, sigmoid

SIZES = (7, 5, 3)  # inputs, hidden nodes, outputs: all different, so that a mix-up shows


def small_network(learning_rate: float = 0.3, rule: str = "book") -> NeuralNetwork:
    return NeuralNetwork(*SIZES, learning_rate, seed=1, rule=rule)


def small_examples(count: int) -> list[tuple[list[float], list[float]]]:
    random = np.random.default_rng(2)
    return [
        (random.uniform(0.01, 1.0, SIZES[0]).tolist(), random.uniform(0.01, 0.99, SIZES[2]).tolist())
        for _ in range(count)
    ]


Loss = Callable[[Floats, Floats], Any]
HALF_SQUARED: Loss = lambda outputs, targets: 0.5 * np.sum((targets - outputs) ** 2)  # noqa: E731
CROSS_ENTROPY: Loss = lambda out, targets: -np.sum(targets * np.log(out) + (1 - targets) * np.log(1 - out))  # noqa: E731


def numeric_gradient(
    network: NeuralNetwork, weights: Floats, inputs: list[float], targets: list[float], loss: Loss
) -> Floats:
    """Return the gradient of the loss with respect to the weights, by central differences."""
    step = 1e-6
    gradient: Floats = np.empty_like(weights)
    for index in np.ndindex(*weights.shape):
        weight, losses = weights[index], []
        for moved in (weight + step, weight - step):
            weights[index] = moved
            losses.append(loss(network.query(inputs), np.asarray(targets)))
        weights[index] = weight
        gradient[index] = (losses[0] - losses[1]) / (2 * step)
    return gradient


LOSSES = {"book": HALF_SQUARED, "gradient": HALF_SQUARED, "cross-entropy": CROSS_ENTROPY}


@pytest.mark.parametrize("rule", RULES)
def test_one_example_moves_the_weights_along_the_gradient(rule: str) -> None:
    """But the book's rule leaves out a factor for the hidden layer, though it points the same way."""
    ((inputs, targets),) = small_examples(1)
    before, network = small_network(), small_network(learning_rate=1.0, rule=rule)
    who, wih = (
        -numeric_gradient(network, weights, inputs, targets, LOSSES[rule]) for weights in (network.who, network.wih)
    )
    network.train(inputs, targets)
    np.testing.assert_allclose(network.who - before.who, who, rtol=0, atol=1e-9)
    step = network.wih - before.wih
    assert (np.abs(step - wih).max() < 1e-9) == (rule != "book") and np.sum(step * wih) > 0


def test_a_backquery_inverts_each_layer() -> None:
    """Compared with a version that uses only loops."""
    network, targets = small_network(), [0.01, 0.99, 0.3]

    def back(weights: Floats, signals: list[float]) -> list[float]:
        sums = [math.log(signal) - math.log(1 - signal) for signal in signals]
        sent = [sum(row[j] * total for row, total in zip(weights, sums, strict=True)) for j in range(weights.shape[1])]
        return [0.01 + 0.98 * (signal - min(sent)) / (max(sent) - min(sent)) for signal in sent]

    inputs = network.backquery(targets)
    np.testing.assert_allclose(inputs, back(network.wih, back(network.who, targets)), rtol=0, atol=1e-13)
    assert inputs.min() == pytest.approx(0.01) and inputs.max() == pytest.approx(0.99)
    assert (network.backquery([0.5, 0.5, 0.5]) == 0.5).all()  # all sums are 0, so all inputs are equal


def test_the_weights_start_as_in_the_book_and_only_the_seed_decides_them() -> None:
    network, again, other = (NeuralNetwork(784, 100, 10, 0.1, seed=seed) for seed in (3, 3, None))
    assert network.wih.std() == pytest.approx(100**-0.5, rel=0.02)
    assert network.who.std() == pytest.approx(10**-0.5, rel=0.1)
    assert (network.wih == again.wih).all() and (network.wih != other.wih).any()


def test_the_sigmoid_is_accurate_for_sums_of_any_size() -> None:
    sums = np.concatenate([np.linspace(-40, 40, 4001), [-1e308, -800, 800, 1e308, -np.inf, np.inf]])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(sums), expit(sums), rtol=0, atol=4e-16)


def test_the_score_is_the_fraction_recognised() -> None:
    network = small_network()
    inputs = [inputs for inputs, _ in small_examples(8)]
    answers = [int(np.argmax(network.query(signals))) for signals in inputs]
    labels = answers[:6] + [(answer + 1) % SIZES[2] for answer in answers[6:]]
    examples = list(zip(inputs, labels, strict=True))
    assert network.score(examples) == 0.75 and network.predict(examples).tolist() == answers
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (labels, answers), 1)
    assert (network.confusion(examples) == counts).all()
    with pytest.raises(ValueError, match="nothing to score"):
        network.score([])


def trained_one_by_one(examples: list[tuple[list[float], int]], rule: str = "book") -> NeuralNetwork:
    network = small_network(rule=rule)
    for inputs, label in examples:
        network.train(inputs, targets_for(label, SIZES[2]))
    return network


def difference(network: NeuralNetwork, other: NeuralNetwork) -> float:
    """Return the largest difference between two weights."""
    pairs = ((network.wih, other.wih), (network.who, other.who))
    return float(np.max([np.abs(one - another).max() for one, another in pairs]))  # NaN if there is any NaN


def same(network: NeuralNetwork, other: NeuralNetwork) -> bool:
    return difference(network, other) < 1e-12


@pytest.mark.parametrize("rule", RULES)
def test_fitting_trains_on_each_example_in_turn(rule: str, implementation: str) -> None:
    examples = [(inputs, number % 3) for number, (inputs, _) in enumerate(small_examples(2100))]
    network, seen = small_network(rule=rule), []
    network.fit(examples, epochs=2, progress=lambda done, total: seen.append((done, total)))
    assert same(network, trained_one_by_one(examples * 2, rule))
    size = 2000 if implementation == "kernel" else 100
    ends = [*range(size, 2100, size), 2100]
    assert seen == [(done + epoch * 2100, 4200) for epoch in (0, 1) for done in ends]


class Table:
    """What numpy takes for an array, as it does pandas' tables."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array


@pytest.mark.parametrize("kind", [np.array, Table, np.asfortranarray])
@pytest.mark.parametrize("pixels", [True, False])
def test_arrays_of_inputs_and_labels_are_taken_like_pairs(kind: Any, pixels: bool, implementation: str) -> None:
    random = np.random.default_rng(3)
    given = random.integers(0, 256, (2100, 7), np.uint8)
    inputs, labels = scale(given), random.integers(0, 3, 2100)
    pairs = list(zip(inputs.tolist(), labels.tolist(), strict=True))
    rows = kind(given if pixels else inputs)
    network, other = small_network(), small_network()
    network.fit(rows, labels, shuffle=True, seed=1)
    other.fit(pairs, shuffle=True, seed=1)
    assert same(network, other)
    assert network.predict(rows).tolist() == other.predict(pairs).tolist()
    assert np.allclose(network.outputs(rows), other.outputs(pairs))
    assert network.score(rows, labels.tolist()) == other.score(pairs)
    assert (network.confusion(rows, labels) == other.confusion(pairs)).all()


def test_pixels_are_taken_whatever_their_type_or_refused_with_the_line_that_scales_them(implementation: str) -> None:
    random = np.random.default_rng(3)
    pixels, labels = random.integers(0, 256, (60, 7), np.uint8), random.integers(0, 3, 60)
    pixels[0, 0] = 255
    network = small_network()
    network.fit(pixels, labels)
    for kind in (np.int64, np.uint16):
        other = small_network()
        other.fit(pixels.astype(kind), labels)
        assert same(network, other) and (network.outputs(pixels.astype(kind)) == network.outputs(pixels)).all()
    for wrong, most in ((pixels.astype(np.float32), 255), (pixels.astype(np.uint16) * 257, 65535)):
        for call in (network.fit, network.score, network.confusion, lambda X, _y: network.predict(X)):
            with pytest.raises(ValueError, match=rf"go up to {most}, .*; write X / {most} \* 0\.99 \+ 0\.01"):
                call(wrong, labels)
    for faint in (pixels // 16, pixels.astype(int) // 16):
        with pytest.raises(ValueError, match=r"brightest of these pixels is 15 of 255; write X / 15"):
            network.fit(faint, labels)
    assert same(network, other)
    with pytest.warns(UserWarning, match="inputs go up to 1680, "):
        small_network().fit(pixels * (1680 / 255), labels)


@pytest.mark.filterwarnings("error")
def test_what_may_be_inputs_is_taken_as_it_is(implementation: str) -> None:
    """Standardised numbers, 0 or 1, measurements up to 8, whole numbers of which some are negative."""
    given, labels = np.random.default_rng(3).normal(0, 3, (60, 7)), [number % 3 for number in range(60)]
    for inputs in (given, (given > 0).astype(int), abs(given).clip(0, 8), (10 * given).astype(int)):
        network = small_network()
        network.fit(inputs, labels)
        assert same(network, trained_one_by_one(list(zip(inputs.tolist(), labels, strict=True))))


def test_a_network_says_how_it_was_made() -> None:
    network = NeuralNetwork(7, 5, 3, 0.3, seed=1, rule="gradient", dtype=np.float32)
    written = (
        "input_nodes=7, hidden_nodes=5, output_nodes=3, learning_rate=0.3, seed=1, rule='gradient', dtype='float32'"
    )
    assert repr(network) == f"NeuralNetwork({written})"
    assert same(eval(repr(network)), network)


def test_how_it_learnt_is_kept_and_shown_small_in_a_notebook(implementation: str) -> None:
    examples = [(inputs, number % 3) for number, (inputs, _) in enumerate(small_examples(60))]
    inputs, labels = np.array([inputs for inputs, _ in examples]), np.array([label for _, label in examples])
    network, other, scores = small_network(), small_network(), []
    assert network._repr_html_() == f"<code>{html.escape(repr(network))}</code>"
    network.fit(examples, epochs=2, test=(inputs[:30], labels[:30]))
    network.fit(examples, test=examples[:30])
    for _epoch in range(3):
        other.fit(examples)
        scores.append(other.score(examples[:30]))
    assert network.history == scores and same(network, other) and not other.history
    shown = network._repr_html_()
    said = "; ".join(f"{score:.1%}" for score in scores)
    assert f'aria-label="recognised after each epoch: {said}"' in shown and shown.endswith(f"</span> {scores[-1]:.1%}")
    (curve,) = re.findall("[▁-█]+", shown)
    assert len(curve) == 3 and curve[np.argmin(scores)] == "▁" and curve[np.argmax(scores)] in "▁█"


def test_each_epoch_is_shuffled_in_an_order_that_the_seed_decides(implementation: str) -> None:
    examples = [(inputs, number % 3) for number, (inputs, _) in enumerate(small_examples(60))]
    random = np.random.default_rng(5)
    shuffled = [examples[index] for _ in range(2) for index in random.permutation(60)]
    network, other, unshuffled = small_network(), small_network(), small_network()
    network.fit(examples, epochs=2, shuffle=True, seed=5)
    other.fit(examples, epochs=2, shuffle=True, seed=6)
    unshuffled.fit(examples, epochs=2, seed=5)
    assert same(network, trained_one_by_one(shuffled))
    assert not same(network, other) and not same(network, unshuffled)


def test_fitting_calls_an_overridden_train_method() -> None:
    """A student's own `train` must not be bypassed by the faster kernel."""

    class Lazy(NeuralNetwork):
        def train(self, inputs: object, targets: object) -> None:
            return

    network = Lazy(*SIZES, 0.3, seed=1)
    network.fit([(inputs, 0) for inputs, _ in small_examples(3)])
    assert same(network, small_network())


@settings(max_examples=150)
@given(
    cut=st.none() | st.floats(0, 1, exclude_max=True), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
)
def test_a_damaged_file_is_refused_or_loads_the_right_network(cut: float | None, place: float, bit: int) -> None:
    """A bit that is never read, such as in a date inside the zip, may be any."""
    network = small_network()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.npz")
        network.save(path)
        content = bytearray(path.read_bytes())
        if cut is None:
            content[int(place * len(content))] ^= 1 << bit
        else:
            del content[int(cut * len(content)) :]
        path.write_bytes(content)
        try:
            loaded = NeuralNetwork.load(path)
        except NetworkFileError as error:
            assert str(path) in str(error)
        else:
            assert cut is None and same(loaded, network) and loaded.learning_rate == network.learning_rate


def test_a_file_of_another_format_is_refused_with_a_reason_and_not_overwritten(tmp_path: Path) -> None:
    network, path = small_network(), tmp_path / "network.npz"
    with pytest.raises(NetworkFileError, match="no such file"):
        NeuralNetwork.load(path)
    np.savez(path, wih=np.zeros((5, 7)), who=np.zeros((3, 5)))
    arrays = path.read_bytes()
    for content, message in ((b"label,pixel1", "damaged, or not an .npz"), (arrays, "it was not written by mynn")):
        path.write_bytes(content)
        with pytest.raises(NetworkFileError, match=f"^{path}: .*{message}"):
            NeuralNetwork.load(path)
        with pytest.raises(NetworkFileError, match="this file exists and is not a network; choose another"):
            network.save(path)
        assert path.read_bytes() == content
    path.write_bytes(b"")
    changes: list[tuple[dict[str, object], str]] = [
        ({"version": 1}, "version 1, .* train it again, or use the mynn that wrote it"),
        ({"rule": "books"}, "no rule 'books'"),
        ({"who": np.zeros((3, 6))}, "fit together"),
        ({"wih": np.zeros((0, 7)), "who": np.zeros((3, 0))}, "the number of hidden nodes must be 1 or more, not 0"),
        ({"learning_rate": [0.3]}, "the learning rate must be a number"),
        ({"wih": np.full((5, 7), np.nan)}, "not numbers"),
        ({"wih": np.array([["anything"]], object)}, "damaged"),  # last: nothing is saved over it
    ]
    for change, message in changes:
        network.save(path)  # over an empty file, and networks that cannot be read
        with np.load(path) as file:
            saved = dict(file) | {name: np.asarray(value) for name, value in change.items()}
        np.savez(path, **saved)
        with pytest.raises(NetworkFileError, match=message):
            NeuralNetwork.load(path)


def test_what_can_be_saved_can_be_loaded(tmp_path: Path) -> None:
    """An integer or a fraction is a learning rate, too; weights that are not numbers replace no file."""
    path = tmp_path / "no suffix"
    for rate, seed in ((1, None), (Fraction(1, 2), np.int64(1)), (np.float32(0.25), 2**99)):  # None: as in older files
        network = NeuralNetwork(7, 5, 3, rate, seed=seed, rule="gradient")  # type: ignore[arg-type]
        network.save(str(path))
        loaded = NeuralNetwork.load(path)
        assert difference(loaded, network) == 0 and (loaded.learning_rate, loaded.rule) == (rate, "gradient")
        assert loaded.seed == seed and (seed is None or same(eval(repr(loaded)), network))
    assert [file.name for file in tmp_path.iterdir()] == ["no suffix"]
    wih, network.wih = network.wih, network.wih.tolist()
    network.save(path)
    assert (NeuralNetwork.load(path).wih == wih).all()
    before = path.read_bytes()
    network.wih = [[0.5] * 7, [0.5]]  # type: ignore[assignment]
    with pytest.raises(NetworkFileError, match="not saved: its arrays do not fit together"):
        network.save(path)
    network.wih = wih
    network.wih[2, 3] = math.nan
    with pytest.raises(NetworkFileError, match="not saved: some of its weights are not numbers"):
        network.save(path)
    assert path.read_bytes() == before
    nowhere, long = str(tmp_path / "nowhere/network.npz"), 300 * "n"
    for bad, reason in ((nowhere, "no such file or directory"), ("", "is a directory"), (long, "file name too long")):
        with pytest.raises(NetworkFileError, match=rf"the network cannot be saved here \({reason}\)"):
            small_network().save(bad)


def test_what_no_network_needs_is_not_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 2 MB can hold 2 GB; weights have a limit, which holds for new networks too."""
    network, path = small_network(), tmp_path / "network.npz"
    network.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", "what would be an error, if it were read")
    assert same(NeuralNetwork.load(path), network)
    network.save(path)
    monkeypatch.setattr(checks, "LARGEST", 100)
    for unwanted in (small_network, lambda: network.save(path)):
        with pytest.raises(ValueError, match="too many nodes"):
            unwanted()
    monkeypatch.setattr(checks, "LARGEST", 100 - 4096)
    with pytest.raises(NetworkFileError, match="damaged"):
        NeuralNetwork.load(path)


def set_to(name: str, value: object) -> Callable[[Any], object]:
    return lambda network: setattr(network, name, value)


def without_numbers(call: Callable[[Any], object], weight: float = math.nan) -> Callable[[Any], object]:
    """Ask a network of which some weights are not numbers, or so large that their sums are not."""

    def called(network: NeuralNetwork) -> None:
        broken = copy.deepcopy(network)
        for weights in (broken.wih, broken.who):
            weights[0, :2] = weight, -weight
        with np.errstate(all="ignore"):
            call(broken)

    return called


INPUTS = [0.5] * 7
NO_NUMBERS = [0.5] * 6 + [math.nan]
WRONG: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda n: NeuralNetwork(7, 5, 3, math.nan), ValueError, "choose one above 0 and at most 10; 0.01 to 0.3 is usual"),
    (lambda n: NeuralNetwork(7.5, 5, 3, 0.1), TypeError, "must be a whole number, not float 7.5"),  # type: ignore[arg-type]
    (lambda n: n.query([0.5] * 6), ValueError, r"inputs must have shape \(7,\), not \(6,\)"),
    (lambda n: n.query([[1, 2], 3]), TypeError, r"inputs must be 7 numbers, not list \[\[1, 2\], 3\]"),
    (lambda n: n.train(INPUTS, 2), ValueError, r"not \(\); targets_for\(label\) makes them"),
    (lambda n: n.backquery([0.5, 1.0, 0.5]), ValueError, "targets must lie between 0 and 1, which no output reaches"),
    (lambda n: n.fit(None), TypeError, r"must be Examples, a list of pairs \(inputs, label\), or arrays .*, not None"),
    (lambda n: n.predict(np.array(INPUTS)), TypeError, r"pairs \(inputs, label\), or arrays"),
    (lambda n: n.fit(np.array([INPUTS])), TypeError, "an array of inputs needs its labels, too"),
    (lambda n: n.fit([INPUTS], [1, 2]), TypeError, r"the labels must be 1 whole numbers, not list \[1, 2\]"),
    (lambda n: n.fit([INPUTS], ["1"]), TypeError, r"the labels must be 1 whole numbers, not list \['1'\]"),
    (lambda n: n.score([["a"] * 7], [1]), TypeError, "inputs must be numbers, not <U1"),
    (lambda n: n.fit(INPUTS, [1] * 7), ValueError, r"the inputs of each example must have shape \(7,\), not \(\)"),
    (lambda n: n.fit([(INPUTS, 3)]), ValueError, "a label 3, but this network has outputs only for 0 to 2"),
    (lambda n: n.train(NO_NUMBERS, [0.5] * 3), ValueError, "inputs must be numbers, but one of them is nan"),
    (lambda n: n.fit([(NO_NUMBERS, 1)]), ValueError, "inputs must be numbers, but one of them is nan"),
    (without_numbers(lambda n: n.score([(INPUTS, 1)])), ValueError, "some of its weights are not numbers"),
    (without_numbers(lambda n: n.query(INPUTS)), ValueError, "some of its weights are not numbers"),
    (without_numbers(lambda n: n.backquery([0.5, 0.9, 0.1])), ValueError, "some of its weights are not numbers"),
    (without_numbers(lambda n: n.query([10] * 7), 1e308), ValueError, "so large that their sums are not numbers"),
    (without_numbers(lambda n: n.backquery([1e-9, 0.5, 0.5]), 1e308), ValueError, "so large that their sums are not"),
    (
        without_numbers(lambda n: n.fit([([-1e308] * 7, 1)] * 2), 1e308),
        ValueError,
        "some of its weights are not numbers",
    ),
    (set_to("learning_rate", -5), ValueError, "a learning rate of -5 makes no sense"),
    (set_to("rule", "nonsense"), ValueError, "no rule 'nonsense'; choose one of book, gradient, cross-entropy"),
    (lambda n: NeuralNetwork(7, 5, 3, 0.1, dtype=np.float16), ValueError, "float16, and must be float64 or float32"),
]


def test_errors_say_which_shapes_and_types_are_expected(implementation: str) -> None:
    network = small_network()
    for call, error, message in WRONG:
        with pytest.raises(error, match=message) as caught:
            call(network)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 160
        assert same(network, small_network())
