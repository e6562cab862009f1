"""Train the network that says whether a picture is a digit at all (mynn/doubt.py), and measure it.

    MNIST_DIR=FOLDER python -m tests.benchmarks.doubt [--write] [--without letters|doodles]

It learns from 50,000 of MNIST's training digits, upright and turned, and from drawings by tests/support/doodles.py. The
limit is chosen with the other 10,000. The figures are of MNIST's test digits, and of drawings with other seeds.
`--without` leaves a kind of drawing out of the training: how much does it refuse of what it never met? `--write` puts
the weights into mynn/doubt_weights.js. It takes ten minutes.
"""

import argparse
import functools
import multiprocessing
import textwrap
from base64 import b64encode
from collections.abc import Sequence

import numpy as np

from mynn import Examples, NeuralNetwork, mnist_folder, read_csv
from mynn.arrays import Bytes
from mynn.distort import rotated
from mynn.doubt import INPUTS, WEIGHTS, coarse
from mynn.mnist import scale
from tests.support.doodles import DOODLES, LIKE_DIGITS, Draw, digit, jumble, letter, pictures, printed

HIDDEN, EPOCHS, RATE = 100, 15, 0.05
REFUSED = 0.01  # fraction of the 10,000 digits with which the limit is chosen
PENS = (28, 66)  # widths to learn from; the pad's is 48
TURN = 10  # degrees
TRAIN: dict[str, tuple[Sequence[Draw], int]] = {
    "jumbles": ([jumble], 14_000),
    "letters": ([letter], 11_000),
    "printed letters": ([printed], 5000),
    "doodles": (DOODLES, 12_000),
    "digits": ([digit], 6000),
}
FRESH: dict[str, tuple[Sequence[Draw], int]] = {name: (kinds, 2000) for name, (kinds, _count) in TRAIN.items()} | {
    "letters that look like digits": ([functools.partial(printed, signs=LIKE_DIGITS)], 1000)
}


def drawn(what: tuple[Sequence[Draw], int, int, tuple[float, float]]) -> Bytes:
    return pictures(*what)


def drawings(kinds: dict[str, tuple[Sequence[Draw], int]], seed: int, pens: tuple[float, float]) -> dict[str, Bytes]:
    """Return drawings by their kind, which every processor makes."""
    parts = [
        (name, (draw, 500, seed + part, pens)) for name, (draw, count) in kinds.items() for part in range(count // 500)
    ]
    with multiprocessing.Pool() as pool:
        made = pool.map(drawn, [what for _name, what in parts], chunksize=1)
    return {
        name: np.concatenate([one for (of, _), one in zip(parts, made, strict=True) if of == name]) for name in kinds
    }


def train(digits: Examples, others: dict[str, Bytes]) -> NeuralNetwork:
    """Return the network, with weights that are whole steps."""
    half = len(digits) // 2
    turned = [rotated(digits[:half], TURN).pixels, rotated(digits[half:], -TURN).pixels]
    yes = coarse(np.concatenate([digits.pixels, *turned, *[others["digits"]] * 3]))
    no = coarse(np.concatenate([others[name] for name in others if name != "digits"]))
    no = np.concatenate([no] * round(len(yes) / len(no)))
    examples = Examples(np.repeat(np.array([0, 1], np.uint8), [len(yes), len(no)]), np.concatenate([yes, no]))
    network = NeuralNetwork(INPUTS, HIDDEN, 2, RATE, seed=0, rule="cross-entropy")
    random = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        network.learning_rate = RATE * (1 - 0.9 * epoch / EPOCHS)
        network.fit(examples[random.permutation(len(examples))])
    step = step_of(network)
    network.wih, network.who = (np.rint(weights / step) * step for weights in (network.wih, network.who))
    return network


def step_of(network: NeuralNetwork) -> float:
    """Return the step between two weights, so that each fits into a byte."""
    return float(f"{max(abs(network.wih).max(), abs(network.who).max()) / 127:.5f}")


def outputs(network: NeuralNetwork, pixels: Bytes) -> np.ndarray:
    return np.array([network.query(scale(one))[0] for one in coarse(pixels)])


def written(network: NeuralNetwork, least: float, step: float) -> str:
    """Return the file with the weights."""
    numbers = np.rint(np.concatenate([network.wih.ravel(), network.who.ravel()]) / step).astype(np.int8)
    lines = "\n".join(textwrap.wrap(b64encode(numbers.tobytes()).decode(), 116))
    return (
        "// The weights of doubt.js and doubt.py, a byte each, as base64: written by tests/benchmarks/doubt.py.\n\n"
        f"export const LEAST_OF_DIGIT = {least:.3f}; // output from which a picture is a digit\n"
        f"export const DOUBT_STEP = {step:.5f}; // between two weights\n"
        f"export const DOUBT_WEIGHTS = `\n{lines}\n`;\n"
    )


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--without", default="nothing", help="a kind of drawing, such as letters")
    options = parser.parse_args()
    digits = read_csv(mnist_folder() / "mnist_train.csv")
    others = drawings({name: what for name, what in TRAIN.items() if options.without not in name}, 1, PENS)
    network = train(digits[:50_000], others)
    least = float(np.quantile(outputs(network, digits[50_000:].pixels), REFUSED))
    print(f"least {least:.3f}; of what is no digit, and of digits, it refuses:")
    if options.write:
        WEIGHTS.write_text(written(network, least, step_of(network)), encoding="ascii")
    figures = {
        "MNIST's test digits": read_csv(mnist_folder() / "mnist_test.csv").pixels,
        **drawings(FRESH, 1_000_000, (48, 48)),
    }
    for name, those in figures.items():
        print(f"{(outputs(network, those) < least).mean():7.1%}  {name}")


if __name__ == "__main__":
    main()
