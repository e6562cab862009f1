"""mynn: a neural network that reads handwritten digits, small enough to be read itself."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mynn.errors import DataError, NetworkFileError
    from mynn.mnist import Examples, mnist_folder, read_csv, scale, targets_for
    from mynn.network import NeuralNetwork

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Examples",
    "NetworkFileError",
    "NeuralNetwork",
    "mnist_folder",
    "read_csv",
    "scale",
    "targets_for",
]


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that the notebook server can use `mynn.tasks` without loading numpy."""
    for module in ("errors", "mnist", "network") if name in __all__ else ():
        if hasattr(found := import_module(f"mynn.{module}"), name):
            return getattr(found, name)
    raise AttributeError(f"module 'mynn' has no attribute {name!r}")
