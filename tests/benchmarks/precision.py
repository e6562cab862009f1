"""Whether networks of float32 read as well as those of float64, as the sweeps and the ladder assume.

    MNIST_DIR=FOLDER python -m tests.benchmarks.precision [--seeds N]

trains each of some of the ladder's networks in both, from the same first weights, and prints a table in Markdown. In
each row, the difference is of pairs: of one seed in float32 and in float64. The times are of the processor.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import DTypeLike

from mynn import NeuralNetwork, read_csv
from mynn.experiments.ladder import RUNGS, Rung
from mynn.mnist import LABELS, PIXELS, Examples, mnist_folder


def trained(rung: Rung, seed: int, dtype: DTypeLike, training: Examples, testing: Examples) -> tuple[float, float]:
    """Return the accuracy (0..1), and the microseconds that training on one digit took."""
    setting = rung.setting
    network = NeuralNetwork(PIXELS, setting.hidden_nodes, LABELS, setting.learning_rate, seed=seed, dtype=dtype)
    before = time.process_time()
    network.fit(training, epochs=rung.epochs)
    spent = time.process_time() - before
    return network.score(testing), spent / rung.epochs / len(training) * 1e6


def row(rung: Rung, seeds: int, training: Examples, testing: Examples) -> str:
    """Return one line of the table."""
    double, single = (
        np.array([trained(rung, seed, dtype, training, testing) for seed in range(seeds)]).T
        for dtype in (np.float64, np.float32)
    )
    apart = 100 * (single[0] - double[0])
    error = apart.std(ddof=1) / seeds**0.5
    means = " | ".join(f"{100 * some[0].mean():.2f} ± {100 * some[0].std(ddof=1):.2f}" for some in (double, single))
    times = " | ".join(f"{some[1].min():.2f}" for some in (double, single))
    setting = rung.setting
    return (
        f"| {setting.hidden_nodes} | {setting.learning_rate} | {rung.epochs} | {means} "
        f"| {apart.mean():+.3f} ± {error:.3f} | {times} | {double[1].min() / single[1].min():.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="networks of each kind (%(default)s)")
    seeds = parser.parse_args().seeds
    folder = mnist_folder()
    training, testing = read_csv(folder / "mnist_train.csv"), read_csv(folder / "mnist_test.csv")
    print("| hidden | rate | epochs | float64, % | float32, % | difference, mean ± its error | µs | µs | times |")
    print("|---|---|---|---|---|---|---|---|---|")
    different = {
        (rung.setting, rung.epochs): rung
        for rung in RUNGS
        if rung.setting.hidden_nodes <= 200 and not rung.setting.angle and rung.epochs <= 5
    }
    for rung in different.values():
        print(row(rung, seeds, training, testing), flush=True)


if __name__ == "__main__":
    main()
