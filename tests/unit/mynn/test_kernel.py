"""The compiled kernel takes the same steps as network.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import Examples, NeuralNetwork, kernel, read_csv, scale, targets_for

pytestmark = pytest.mark.skipif(not kernel.READY, reason=f"no compiled kernel: {kernel.STATE}")


@pytest.fixture(scope="module")
def training(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_train.csv")


@pytest.fixture(scope="module")
def testing(mnist: Path) -> Examples:
    return read_csv(mnist / "mnist_test.csv")


def differences(network: NeuralNetwork, other: NeuralNetwork) -> Iterator[float]:
    yield float(np.abs(network.wih - other.wih).max())
    yield float(np.abs(network.who - other.who).max())


@pytest.mark.parametrize("rule, rate", [("book", 0.1), ("gradient", 0.1), ("cross-entropy", 0.02)])
@pytest.mark.parametrize("hidden_nodes", [50, *(pytest.param(nodes, marks=pytest.mark.slow) for nodes in (100, 200))])
def test_after_a_full_epoch_the_weights_are_the_same(
    training: Examples, testing: Examples, hidden_nodes: int, rule: str, rate: float
) -> None:
    quick, plain = (NeuralNetwork(784, hidden_nodes, 10, rate, seed=1, rule=rule) for _ in range(2))
    quick.fit(training)
    for inputs, label in training:
        plain.train(inputs, targets_for(label))
    assert len(training) == 60_000
    assert max(differences(quick, plain)) < 1e-12  # at five times that rate, cross-entropy's steps grow it to 1.6e-12
    answers = [int(np.argmax(plain.query(inputs))) for inputs, _ in testing]
    assert quick.predict(testing).tolist() == answers
    assert quick.score(testing) > 0.92


@pytest.mark.parametrize("sizes", [(784, 50, 10), (9, 1, 1), (1, 3, 2), (17, 6, 256), (8, 4, 4)])
@pytest.mark.parametrize("kind", ["pixels", "dense pixels", "inputs"])
def test_networks_and_examples_of_any_kind(sizes: tuple[int, int, int], kind: str) -> None:
    """Pixels of which most are paper, or none; inputs that need not be pixels, some of them below paper or 0."""
    random = np.random.default_rng(3)
    rows = random.integers(0, 256, (60, sizes[0])).astype(np.uint8)
    if kind == "pixels":
        rows[random.random(rows.shape) < 0.8] = 0
    inputs = random.choice([0.01, 0.0, -1.0, 0.5], rows.shape) if kind == "inputs" else scale(rows)
    labels = random.integers(0, sizes[2], 60)
    quick, plain = (NeuralNetwork(*sizes, 0.3, seed=2) for _ in range(2))
    if kind == "inputs":
        quick.fit(list(zip(inputs, labels, strict=True)))
    else:
        quick.fit(Examples(labels.astype(np.uint8), rows))
    for one, label in zip(inputs, labels, strict=True):
        plain.train(one, targets_for(label, sizes[2]))
    assert max(differences(quick, plain)) < 1e-13
    assert quick.predict(zip(inputs, labels, strict=True)).tolist() == [plain.query(one).argmax() for one in inputs]


@pytest.mark.parametrize("rows", [np.s_[:, 1:], np.s_[::-1, 1:], np.s_[:, :0:-1], np.s_[::2, 1::3]])
def test_pixels_may_lie_apart(rows: tuple[slice, slice]) -> None:
    """As in an .npy, where each row begins with its label; and a whole number is a learning rate too."""
    some = np.random.default_rng(4).integers(0, 256, (40, 51)).astype(np.uint8)[rows]
    labels = np.arange(len(some), dtype=np.uint8) % 10
    apart, together = (NeuralNetwork(some.shape[1], 7, 10, 1, seed=2) for _ in range(2))
    apart.fit(Examples(labels, some))
    together.fit(Examples(labels, some.copy()))
    assert (
        max(differences(apart, together)) == 0 < max(differences(apart, NeuralNetwork(some.shape[1], 7, 10, 1, seed=2)))
    )
    assert apart.predict(Examples(labels, some)).tolist() == [int(apart.query(scale(one)).argmax()) for one in some]


def test_single_precision_learns_as_well(training: Examples, testing: Examples) -> None:
    double, single = (NeuralNetwork(784, 50, 10, 0.1, seed=1, dtype=dtype) for dtype in (np.float64, np.float32))
    double.fit(training)
    single.fit(training)
    assert 0 < max(differences(double, single)) < 1e-3
    assert single.score(testing) == pytest.approx(double.score(testing), abs=0.002)


def test_outputs_that_are_equal_are_answered_by_the_first_of_them() -> None:
    network = NeuralNetwork(4, 3, 5, 0.1, seed=1)
    network.who[:] = network.who[0]
    assert network.predict([([0.1, 0.2, 0.3, 0.4], 0)]).tolist() == [0]
    network.who[:] = 1e6  # all are 1
    assert network.predict([([0.1, 0.2, 0.3, 0.4], 0)]).tolist() == [0]


@pytest.mark.parametrize("dtype, digits", [(np.float64, 15), (np.float32, 6)])
def test_the_sigmoid_is_right_to_the_last_digits_for_sums_of_any_size(dtype: Any, digits: int) -> None:
    """One input, one hidden node, one output: a step of training shows what the node sent."""
    sums = np.concatenate([np.linspace(-40, 40, 801), [-1e30, -800.0, -709.0, -90.0, 90.0, 709.0, 800.0, 1e30]])
    for total in sums.astype(dtype):
        network = NeuralNetwork(1, 1, 1, 1.0, seed=1, rule="cross-entropy", dtype=dtype)
        network.wih[:], network.who[:] = total, 0.0
        network.fit([([1.0], 0)])  # the output is 0.5, so who moves by 0.49 times what was sent
        sent = network.who.item() / 0.49
        with np.errstate(over="ignore"):
            assert sent == pytest.approx(1 / (1 + np.exp(-np.float64(total))), rel=10.0**-digits, abs=1e-34)


def test_weights_that_are_no_numbers_any_more_stay_so() -> None:
    quick, plain = (NeuralNetwork(4, 3, 5, 0.1, seed=1) for _ in range(2))
    example: tuple[list[float], int] = ([0.1, 0.2, 0.3, 0.4], 2)
    for network in (quick, plain):
        network.wih[1, 2] = np.nan
    assert quick.predict([example]).tolist() == [plain.query(example[0]).argmax()]
    quick.fit([example])
    plain.train(example[0], targets_for(2, 5))
    assert (np.isnan(quick.wih) == np.isnan(plain.wih)).all() and np.isnan(quick.who).all()


def test_what_does_not_fit_is_refused_before_memory_is_touched() -> None:
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
    for one, other, pixels, numbers, inputs in bad:
        with pytest.raises(ValueError):
            kernel.train(one, other, 0.1, 0, pixels, numbers, inputs)
    frozen = np.zeros((3, 4))
    frozen.flags.writeable = False
    assert kernel.fits(wih, who) and not kernel.fits(frozen, who)


def test_it_can_be_switched_off() -> None:
    program = "from mynn import kernel; print(kernel.READY, kernel.STATE)"

    def said(**more: str) -> str:

        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env={**os.environ, **more}, check=True, stdout=subprocess.PIPE, text=True)
        return run.stdout.strip()

    assert said(MYNN_KERNEL="off") == "False numpy (MYNN_KERNEL is off)"
    assert said() == f"True {kernel.STATE}"
