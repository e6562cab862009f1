"""A program written as in the book runs, and gives the same results as mynn's network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mynn import NeuralNetwork, read_csv, scale, targets_for
from mynn.book import neuralNetwork
from tests.support.programs import ROOT


def test_it_reaches_the_same_weights_and_answers_in_columns(mnist: Path) -> None:
    books, ours = neuralNetwork(784, 100, 10, 0.2), NeuralNetwork(784, 100, 10, 0.2, seed=1)
    books.wih, books.who = ours.wih.copy(), ours.who.copy()
    examples = read_csv(mnist / "mnist_train_100.csv")
    for inputs, label in examples:
        books.train(inputs.tolist(), targets_for(label).tolist())
    ours.fit(examples)
    np.testing.assert_allclose(books.wih, ours.wih, rtol=0, atol=1e-12)
    np.testing.assert_allclose(books.who, ours.who, rtol=0, atol=1e-12)
    inputs, targets = examples[0][0], targets_for(3)
    np.testing.assert_allclose(books.query(inputs), ours.query(inputs)[:, None], rtol=0, atol=1e-12)
    np.testing.assert_allclose(books.backquery(targets), ours.backquery(targets)[:, None], rtol=0, atol=1e-9)
    books.activation_function = lambda sums: np.full_like(sums, 0.25)
    assert (books.query(inputs) == 0.25).all()


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
