"""Functions for lessons: guess fields, exercise checks, the saved network and the progress record.

    from mynn.lesson import check, finished, guess, guess_curve, my_network

    how_many = guess("How many of 100 digits will it read?", 0, 100, "%")     # shows a field
    how_many.beside(100 * network.score(testing))                             # You guessed 30 %. It is 21 %.

Nothing here blocks: *Run all* continues without a guess, and the output says so.
"""

from mynn.files import networks_folder
from mynn.lesson.answers import check
from mynn.lesson.done import finished
from mynn.lesson.guesses import Guess, GuessedCurve, guess, guess_curve
from mynn.lesson.networks import keep, my_network
from mynn.lesson.notebook import in_a_notebook
from mynn.lesson.watch import Watch

if in_a_notebook():  # kernels on a Pi have this extension loaded already
    from IPython import get_ipython

    get_ipython().extension_manager.load_extension("mynn.explain")

__all__ = [
    "Guess",
    "GuessedCurve",
    "Watch",
    "check",
    "finished",
    "guess",
    "guess_curve",
    "keep",
    "my_network",
    "networks_folder",
]
