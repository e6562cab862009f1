"""How many of several networks recognise each of the six handwritten pictures.

MNIST_DIR=FOLDER python -m tests.unit.lessons.handwriting           200 hidden nodes, 5 epochs of 60,000: ten minutes
MNIST_DIR=FOLDER python -m tests.unit.lessons.handwriting --small   as in the lesson: 100, 1 of 20,000: half a minute
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mynn import DataError, Examples, NeuralNetwork, mnist_folder, read_csv, scale
from mynn.distort import rotate
from mynn.images import read_image
from tests.unit.lessons.lesson_run import LESSONS

NAMES = ("ballpoint_4", "marker_5", "printed_2", "gaps_3", "wobbly_6", "noisy_6")
NOISE, ANGLE = 64, 10  # the maximum for a training digit: the sd of the noise, of 255, and the degrees

Change = Callable[[Examples, np.random.Generator], Examples]
Counts = dict[tuple[str, str], int]  # by picture, and "raw" or "framed": how many networks recognised it


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    examples: int
    hidden_nodes: int
    learning_rate: float
    epochs: int


SMALL, LARGE = Recipe(20_000, 100, 0.2, 1), Recipe(60_000, 200, 0.1, 5)


def plain(digits: Examples, random: np.random.Generator) -> Examples:
    """Return the digits as they are."""
    return digits


def noisy(digits: Examples, random: np.random.Generator) -> Examples:
    """Return the digits with noise, each of a random strength, as in the lesson."""
    strength = random.uniform(0, NOISE, (len(digits), 1))
    pixels = digits.pixels + strength * random.normal(size=digits.pixels.shape)
    return Examples(digits.labels, pixels.clip(0, 255).astype(np.uint8))


def rotated(digits: Examples, random: np.random.Generator) -> Examples:
    """Return the digits rotated, each by a random angle."""
    rotations = [rotate(inputs, random.uniform(-ANGLE, ANGLE)) for inputs, _ in digits]
    return Examples(digits.labels, ((np.array(rotations) - 0.01) / 0.99 * 255).round().clip(0, 255).astype(np.uint8))


def pictures() -> Iterator[tuple[tuple[str, str], NDArray[np.uint8]]]:
    """Yield each picture's name, "raw" or "framed", and pixels, (784,); without "framed" where framing refuses."""
    for name in NAMES:
        path = LESSONS / "my_own_images" / f"{name}.png"
        with Image.open(path) as picture:
            yield (name, "raw"), (255 - np.asarray(picture)).reshape(784)
        try:
            yield (name, "framed"), read_image(path)
        except DataError:
            continue


def count(training: Examples, recipe: Recipe, change: Change, seeds: range) -> tuple[Counts, list[NeuralNetwork]]:
    """Train a network for each seed; return how many recognise each picture, and the networks."""
    networks = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        network = NeuralNetwork(784, recipe.hidden_nodes, 10, recipe.learning_rate, seed=seed)
        for first in range(0, recipe.epochs * recipe.examples, 1000):
            first %= recipe.examples
            network.fit(change(training[first : first + 1000], random))
        networks.append(network)
    counts = {(name, form): 0 for name in NAMES for form in ("raw", "framed")}
    for (name, form), pixels in pictures():
        answers = [int(network.query(scale(pixels)).argmax()) for network in networks]
        counts[name, form] = answers.count(int(name[-1]))
    return counts, networks


def main() -> None:
    """Print the table for ten networks."""
    recipe = SMALL if "--small" in sys.argv else LARGE
    training = read_csv(mnist_folder() / "mnist_train.csv", limit=recipe.examples)
    testing = read_csv(mnist_folder() / "mnist_test.csv")
    print(recipe, "of ten networks:", sep="\n")
    for change in (plain, noisy, rotated):
        counts, networks = count(training, recipe, change, range(10))
        for strength in (0, 60, 120):
            random = np.random.default_rng(strength)
            pixels = testing.pixels + strength * random.normal(size=testing.pixels.shape)
            noisy_testing = Examples(testing.labels, pixels.clip(0, 255).astype(np.uint8))
            scores = [network.score(noisy_testing) for network in networks]
            score = f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}"
            print(f"{change.__name__}: {score} of the test digits with noise of {strength}")
        for form in ("raw", "framed"):
            print(f"  {form:7}", *(f"{name} {counts[name, form]:2} " for name in NAMES), flush=True)


if __name__ == "__main__":
    main()
