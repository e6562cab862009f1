"""How much of MNIST's test digits a network reads that a class has taught together, by the number of browsers.

    MNIST_DIR=FOLDER python -m tests.benchmarks.together [--seeds 10]

As on the page /try/, each browser has a thirtieth of 10,000 digits, and learns from 1,000 in each of 30 rounds. The
Pi's own code averages. Each seed is other first weights, and 10,000 other digits. `alone` is the mean of thirty who
learn alone, and `best` the best of them. `--held-out` tests on 5,000 training digits instead, which nobody has learnt
from: what was chosen was chosen with these.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from mynn import Examples, mnist_folder, read_csv
from tests.support.together import alone, share, together

BROWSERS = (1, 3, 10, 30)
ALL, HELD_OUT = 10_000, 5_000


def run(training: Examples, testing: Examples, seed: int, two: bool) -> dict[str, float]:
    """Return the accuracy by who has learnt."""
    random = np.random.default_rng(seed)
    digits = training[random.permutation(len(training) - HELD_OUT)[:ALL]]
    shares = [share(digits, number, two) for number in range(max(BROWSERS))]
    singles = [alone(own, seed).score(testing) for own in shares]
    scores = {str(count): together(shares[:count], seed).score(testing) for count in BROWSERS}
    return scores | {"alone": float(np.mean(singles)), "best": max(singles)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many runs (%(default)s)")
    parser.add_argument("--held-out", action="store_true", help="test on training digits that nobody learns from")
    options = parser.parse_args()
    training = read_csv(mnist_folder() / "mnist_train.csv")
    testing = training[-HELD_OUT:] if options.held_out else read_csv(mnist_folder() / "mnist_test.csv")
    print("shares      browsers   mean     sd  least   most")
    for two in (False, True):
        scores = defaultdict(list)
        for seed in range(options.seeds):
            for name, score in run(training, testing, seed, two).items():
                scores[name].append(100 * score)
        for name, some in scores.items():
            figures = f"{np.mean(some):6.2f} {np.std(some):6.2f} {min(some):6.2f} {max(some):6.2f}"
            print(f"{'two labels' if two else 'equal':<11} {name:>8} {figures}", flush=True)


if __name__ == "__main__":
    main()
