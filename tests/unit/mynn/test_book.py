"""A program written as in the book runs, and gives the same results as mynn's network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import NeuralNetwork, read_csv, scale
from mynn.book import neuralNetwork
from tests.support.programs import ROOT

INPUTS, OUTPUTS = 784, 10


def equal_networks(hidden: int, rate: float, seed: int) -> tuple[neuralNetwork, NeuralNetwork]:
    """Return the book's network and ours, with the same weights."""
    books, ours = neuralNetwork(INPUTS, hidden, OUTPUTS, rate), NeuralNetwork(INPUTS, hidden, OUTPUTS, rate, seed=seed)
    books.wih, books.who = ours.wih.copy(), ours.who.copy()
    return books, ours


def lines(path: Path) -> list[str]:
    with path.open() as file:
        return file.readlines()


def test_the_books_program_reaches_the_same_weights(mnist: Path) -> None:
    """The file is read and parsed by hand, as in the book."""
    books, ours = equal_networks(100, 0.2, seed=1)
    for _ in range(3):
        for line in lines(mnist / "mnist_train_100.csv"):
            label, *pixels = line.split(",")
            inputs = np.asarray(pixels, dtype=float) / 255.0 * 0.99 + 0.01
            targets = np.zeros(OUTPUTS) + 0.01
            targets[int(label)] = 0.99
            books.train(inputs, targets)
    ours.fit(read_csv(mnist / "mnist_train_100.csv"), epochs=3)
    np.testing.assert_allclose(books.wih, ours.wih, rtol=0, atol=1e-12)
    np.testing.assert_allclose(books.who, ours.who, rtol=0, atol=1e-12)

    right = 0
    for line in lines(mnist / "mnist_test_10.csv"):
        label, *pixels = line.split(",")
        outputs = books.query(np.asarray(pixels, dtype=float) / 255.0 * 0.99 + 0.01)
        assert outputs.shape == (OUTPUTS, 1)
        right += int(np.argmax(outputs) == int(label))
    assert right / 10 == ours.score(read_csv(mnist / "mnist_test_10.csv")) >= 0.5


def test_the_activation_function_can_be_replaced(mnist: Path) -> None:
    books, _ = equal_networks(20, 0.1, seed=3)
    inputs = scale(read_csv(mnist / "mnist_test_10.csv").pixels[0])
    before = books.query(inputs)
    books.activation_function = lambda sums: np.full_like(sums, 0.25)
    assert (books.query(inputs) == 0.25).all() and (before != 0.25).all()


def test_the_programs_in_the_manual_run(mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder like a student's."""
    page = (ROOT / "docs/teach/book.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "mnist_dataset").symlink_to(mnist)
    monkeypatch.chdir(tmp_path)
    np.random.seed(1)
    names: dict[str, Any] = {}
    exec("\n".join(programs), names)
    saved = NeuralNetwork.load("book_network.npz")
    inputs = scale(read_csv(mnist / "mnist_test_10.csv").pixels[0])
    np.testing.assert_allclose(saved.query(inputs), names["n"].query(inputs)[:, 0], rtol=0, atol=1e-12)
    assert saved.score(read_csv(mnist / "mnist_train_100.csv")) > 0.5
