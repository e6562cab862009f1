"""The smoke training: whether this computer learns to read digits, from its own data, in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mynn.errors import DataError
from mynn.mnist import LABELS, PIXELS, Examples, read_csv
from mynn.network import NeuralNetwork
from mynn.progress import peak_mib

EXAMPLES = 1500
TESTED = 1000
HIDDEN_NODES = 50
LEARNING_RATE = 0.3

# Seeds 0 to 29 reach .826 on average, sd .008, the least .813, by
#   for seed in $(seq 0 29); do mynn smoke --json --seed $seed; done
# The bar lies more than five sd below the mean, and above what a network reaches that trains only one of
# its layers (.76 at best of five seeds). Guessing reaches .1.
BAR = 0.78


@dataclass(frozen=True)
class SmokeResult:
    """The result of a smoke training: accuracy is the fraction (0..1) of the tested digits recognised."""

    accuracy: float
    bar: float
    passed: bool
    examples: int
    tested: int
    seed: int
    seconds: float
    peak_mib: float


def smoke(folder: Path, seed: int, say: Callable[[str], None]) -> SmokeResult:
    """Train a small network on the first of the folder's digits, and test it on some of the test set.

    `say` is called with a line of progress now and then. Data that is missing or bad is a DataError.
    """
    start = time.monotonic()
    training = _first(folder / "mnist_train.csv", EXAMPLES)
    testing = _first(folder / "mnist_test.csv", TESTED)
    say(f"read {EXAMPLES} digits to train on and {TESTED} to test on")

    network = NeuralNetwork(PIXELS, HIDDEN_NODES, LABELS, LEARNING_RATE, seed=seed)
    network.fit(
        training,
        progress=lambda count, total: say(f"trained on {count} of {total}, {time.monotonic() - start:.1f} s"),
    )
    accuracy = network.score(testing)

    return SmokeResult(
        accuracy=accuracy,
        bar=BAR,
        passed=accuracy >= BAR,
        examples=EXAMPLES,
        tested=TESTED,
        seed=seed,
        seconds=round(time.monotonic() - start, 2),
        peak_mib=round(peak_mib(), 1),
    )


def _first(path: Path, count: int) -> Examples:
    examples = read_csv(path, limit=count)
    if len(examples) < count:
        raise DataError(f"{path}: it has {len(examples)} digits and {count} are needed; fetch it again")
    return examples
