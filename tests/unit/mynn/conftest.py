"""Fixtures for the tests of the package."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mynn import NeuralNetwork, read_csv
from tests.support.jupyter_server import Server, run_server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty notebook folder, as the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every write fail from now on, as on a full disk."""

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr("os.fsync", full)


@pytest.fixture(scope="module")
def server(venv: Path) -> Iterator[Server]:
    """A notebook server with the role jupyter's settings."""
    with run_server(venv) as running:
        yield running


@pytest.fixture(scope="session")
def trained(mnist: Path) -> NeuralNetwork:
    """A network that recognises about 94 % of MNIST's digits."""
    network = NeuralNetwork(784, 50, 10, 0.1, seed=0)
    network.fit(read_csv(mnist / "mnist_train.csv"))
    return network
