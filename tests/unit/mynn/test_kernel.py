"""The compiled kernel gives the same results as network.py."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import Examples, NeuralNetwork, kernel, read_csv, scale, targets_for
from tests.support.networks import difference

pytestmark = pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")


@pytest.fixture(scope="module")
def training(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv")


@pytest.fixture(scope="module")
def testing(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv")


@pytest.mark.parametrize("rule, rate", [("book", 0.1), ("gradient", 0.1), ("cross-entropy", 0.02)])
@pytest.mark.parametrize("hidden_nodes", [50, *(pytest.param(nodes, marks=pytest.mark.slow) for nodes in (100, 200))])
def test_after_a_full_epoch_the_weights_are_the_same(
    training: Examples, testing: Examples, hidden_nodes: int, rule: str, rate: float
) -> None:
    fast, plain = (NeuralNetwork(784, hidden_nodes, 10, rate, seed=1, rule=rule) for _ in range(2))
    fast.fit(training)
    for inputs, label in training:
        plain.train(inputs, targets_for(label))
    assert len(training) == 60_000
    assert difference(fast, plain) < 1e-12  # with cross-entropy at a rate of 0.1 it is 1.6e-12
    answers = [int(np.argmax(plain.query(inputs))) for inputs, _ in testing]
    assert fast.predict(testing).tolist() == answers
    assert fast.score(testing) > 0.92


@pytest.mark.parametrize("sizes", [(784, 50, 10), (9, 1, 1), (1, 3, 2), (17, 6, 256), (8, 4, 4)])
@pytest.mark.parametrize("kind", ["pixels", "dense pixels", "inputs"])
def test_networks_of_any_size_and_all_kinds_of_examples(sizes: tuple[int, int, int], kind: str) -> None:
    """Pixels that are mostly background or have none; inputs that are not pixels, some of them zero or negative."""
    random = np.random.default_rng(3)
    rows = random.integers(0, 256, (60, sizes[0])).astype(np.uint8)
    if kind == "pixels":
        rows[random.random(rows.shape) < 0.8] = 0
    inputs = random.choice([0.01, 0.0, -1.0, 0.5], rows.shape) if kind == "inputs" else scale(rows)
    labels = random.integers(0, sizes[2], 60)
    fast, plain = (NeuralNetwork(*sizes, 0.3, seed=2) for _ in range(2))
    if kind == "inputs":
        fast.fit(list(zip(inputs, labels, strict=True)))
    else:
        fast.fit(Examples(labels.astype(np.uint8), rows))
    for signals, label in zip(inputs, labels, strict=True):
        plain.train(signals, targets_for(label, sizes[2]))
    assert difference(fast, plain) < 1e-13
    outputs = np.array([plain.query(signals) for signals in inputs])
    assert np.abs(fast.outputs(zip(inputs, labels, strict=True)) - outputs).max() < 1e-13
    assert fast.predict(zip(inputs, labels, strict=True)).tolist() == outputs.argmax(axis=1).tolist()


@pytest.mark.parametrize("rows", [np.s_[:, 1:], np.s_[::-1, 1:], np.s_[:, :0:-1], np.s_[::2, 1::3]])
def test_pixels_need_not_be_contiguous(rows: tuple[slice, slice]) -> None:
    """As in an .npy, where each row begins with its label. Here the learning rate is an int."""
    pixels = np.random.default_rng(4).integers(0, 256, (40, 51)).astype(np.uint8)[rows]
    labels = np.arange(len(pixels), dtype=np.uint8) % 10
    strided, contiguous = (NeuralNetwork(pixels.shape[1], 7, 10, 1, seed=2) for _ in range(2))
    strided.fit(Examples(labels, pixels))
    contiguous.fit(Examples(labels, pixels.copy()))
    untrained = NeuralNetwork(pixels.shape[1], 7, 10, 1, seed=2)
    assert difference(strided, contiguous) == 0 < difference(strided, untrained)
    answers = [int(strided.query(scale(row)).argmax()) for row in pixels]
    assert strided.predict(Examples(labels, pixels)).tolist() == answers


def test_single_precision_is_as_accurate(training: Examples, testing: Examples) -> None:
    double, single = (NeuralNetwork(784, 50, 10, 0.1, seed=1, dtype=dtype) for dtype in (np.float64, np.float32))
    double.fit(training)
    single.fit(training)
    assert 0 < difference(double, single) < 1e-3
    assert single.score(testing) == pytest.approx(double.score(testing), abs=0.002)


def test_of_equal_outputs_the_first_is_the_answer() -> None:
    network = NeuralNetwork(4, 3, 5, 0.1, seed=1)
    network.who[:] = network.who[0]
    assert network.predict([([0.1, 0.2, 0.3, 0.4], 0)]).tolist() == [0]
    network.who[:] = 1e6  # all are 1
    assert network.predict([([0.1, 0.2, 0.3, 0.4], 0)]).tolist() == [0]


@pytest.mark.parametrize("dtype, digits", [(np.float64, 15), (np.float32, 6)])
def test_the_sigmoid_is_accurate_for_sums_of_any_size(dtype: Any, digits: int) -> None:
    """With one input, one hidden node and one output, a training step reveals the hidden node's signal."""
    sums = np.concatenate([np.linspace(-40, 40, 801), [-1e30, -800.0, -709.0, -90.0, 90.0, 709.0, 800.0, 1e30]])
    for total in sums.astype(dtype):
        network = NeuralNetwork(1, 1, 1, 1.0, seed=1, rule="cross-entropy", dtype=dtype)
        network.wih[:], network.who[:] = total, 0.0
        network.fit([([1.0], 0)])  # the output is 0.5, so who changes by 0.49 times the signal
        signal = network.who.item() / 0.49
        with np.errstate(over="ignore"):
            assert signal == pytest.approx(1 / (1 + np.exp(-np.float64(total))), rel=10.0**-digits, abs=1e-34)


def test_nan_spreads_as_in_network_py() -> None:
    fast, plain = (NeuralNetwork(4, 3, 5, 0.1, seed=1) for _ in range(2))
    example: tuple[list[float], int] = ([0.1, 0.2, 0.3, 0.4], 2)
    for network in (fast, plain):
        network.wih[1, 2] = np.nan
    assert fast.predict([example]).tolist() == [plain.query(example[0]).argmax()]
    fast.fit([example])
    plain.train(example[0], targets_for(2, 5))
    assert (np.isnan(fast.wih) == np.isnan(plain.wih)).all() and np.isnan(fast.who).all()


def test_arrays_that_do_not_fit_are_refused() -> None:
    wih, who, table = np.zeros((3, 4)), np.zeros((2, 3)), np.zeros(256)
    rows, labels = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    kernel.train(wih, who, 0.1, 0, rows, labels, table)
    bad: list[tuple[Any, ...]] = [
        (wih, who, rows[:, :3], labels, table),
        (wih, who, rows[0], labels, table),
        (wih, who, rows, labels[:4], table),
        (wih, who, rows, labels + np.uint8(2), table),
        (wih, who, rows, labels.astype(int) - 1, table),
        (wih, who, rows, labels, table[:255]),
        (wih, np.zeros((2, 4)), rows, labels, table),
        (wih, who.astype(np.float32), rows, labels, table),
        (wih[:, ::2], who, rows[:, :2], labels, table),
        (wih.astype(int), who.astype(int), rows, labels, table),
        (np.zeros((0, 4)), np.zeros((2, 0)), rows, labels, table),
    ]
    for bad_wih, bad_who, bad_rows, bad_labels, bad_table in bad:
        with pytest.raises(ValueError):
            kernel.train(bad_wih, bad_who, 0.1, 0, bad_rows, bad_labels, bad_table)
    read_only = np.zeros((3, 4))
    read_only.flags.writeable = False
    assert kernel.fits(wih, who) and not kernel.fits(read_only, who)


def test_the_kernel_can_be_switched_off() -> None:
    program = "from mynn import kernel; print(kernel.READY, kernel.STATE)"

    def state(**environment: str) -> str:
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True)
        return run.stdout.strip()

    assert state(MYNN_KERNEL="off") == "False numpy (MYNN_KERNEL is off)"
    assert state() == f"True {kernel.STATE}"
