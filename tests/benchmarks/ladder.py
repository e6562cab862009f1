"""What networks recognise that are taught as the ladder on the page /try/ says, beside the figures that it shows.

    MNIST_DIR=FOLDER python -m tests.benchmarks.ladder [--seeds 10]

They learn from the page's 10,000 digits. `held out` is of the next 10,000 training digits, by which the rungs were
chosen; `here` is of the page's 1,000 test digits. Both are means and standard deviations, of 100 digits.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

import numpy as np

from mynn import Examples, NeuralNetwork, mnist_folder, read_csv
from mynn.distort import rotated
from mynn.mnist import LABELS, PIXELS
from tests.support.programs import ROOT

RUNG = re.compile(r"<tr data-rounds=\"(\d)\" data-settings='(.+)'>\s*<th scope=\"row\">(.+)</th>\s*<td>(.+)</td>")


def turned(examples: Examples) -> Examples:
    """Return each digit as it was written, then turned to the left, then to the right."""
    pixels = np.stack([rotated(examples, degrees).pixels for degrees in (0, 10, -10)], axis=1)
    return Examples(np.repeat(examples.labels, 3), pixels.reshape(-1, PIXELS))


def taught(settings: dict[str, Any], examples: Examples, rounds: int, seed: int) -> NeuralNetwork:
    """Return a network that was taught as the page does it."""
    size = (PIXELS, settings["hiddenNodes"], LABELS)
    network = NeuralNetwork(*size, settings["learningRate"], seed=seed, rule=settings["rule"])
    network.fit(turned(examples) if settings["turned"] else examples, epochs=rounds)
    return network


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="networks of each kind (%(default)s)")
    options = parser.parse_args()
    training = read_csv(mnist_folder() / "mnist_train.csv", 20_000)
    examples, tests = training[:10_000], (training[10_000:], read_csv(mnist_folder() / "mnist_test.csv", 1000))
    print(f"{'':<60} {'held out':>12} {'here':>12}   the page")
    for rounds, settings, words, shown in RUNG.findall((ROOT / "mynn_server/page/try/index.html").read_text("utf-8")):
        networks = [taught(json.loads(settings), examples, int(rounds), seed) for seed in range(options.seeds)]
        scores = 100 * np.array([[network.score(test) for network in networks] for test in tests])
        figures = [f"{some.mean():.1f} ± {some.std(ddof=1):.1f}" for some in scores]
        print(f"{words:<60} {figures[0]:>12} {figures[1]:>12}   {shown}")


if __name__ == "__main__":
    main()
