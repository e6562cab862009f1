"""A committee: networks that read each digit together. Their outputs are averaged, and the strongest is the answer.

Networks that differ only in their first weights err on the same digits, so thirty know hardly more than five. Here
each member sees the digits in a way of its own: brought upright, and then to a width and a height (normalise.py).
Otherwise it is trained as `record` is. (U. Meier, D. C. Ciresan, L. M. Gambardella, J. Schmidhuber, "Better digit
recognition with a committee of simple neural nets", 2011.)

All choices were made on the last of the training digits, held out; docs/develop/measurements.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mynn.experiments.record import RECORD, Recipe, Trained, accuracy
from mynn.normalise import Normalisation

# Widths and heights of upright digits, in pixels; None for as they are.
SIZES = ((None, None), (18.0, None), (20.0, None), (23.0, None), (18.0, 25.0), (20.0, 22.0))
UPRIGHT = tuple(Normalisation(1.0, width, height) for width, height in SIZES)


@dataclass(frozen=True)
class Committee:
    """One recipe for all members, and what each brings digits to."""

    recipe: Recipe
    normalisations: tuple[Normalisation, ...]

    def recipes(self, number: int) -> dict[int, Recipe]:
        """Return by seed the recipes of a committee's members; the first committee has number 0, and others differ."""
        first = number * len(self.normalisations)
        return {seed: replace(self.recipe, normalisation=one) for seed, one in enumerate(self.normalisations, first)}


NIGHT = Committee(Recipe(600, 120), UPRIGHT)
LARGE = Committee(RECORD, 3 * UPRIGHT)
COMMITTEES = {"night": NIGHT, "large": LARGE}


def together(members: Sequence[Trained]) -> float:
    """Return the accuracy (0..1) of the members' vote."""
    return accuracy(np.mean([one.outputs for one in members], axis=0), members[0].labels)
