"""mynn: a neural network that reads handwritten digits, small enough to be read itself."""

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
