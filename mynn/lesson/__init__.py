"""What a lesson asks and answers: guesses, checks of exercises, the network that travels, and what has been finished.

    from mynn.lesson import check, finished, guess, guess_curve, my_network

    how_many = guess("How many of 100 digits will it read?", 0, 100, "%")     # shows a field
    how_many.beside(100 * network.score(testing))                             # You guessed 30 %. It is 21 %.

Nothing here waits for anybody: *Run all* goes on without a guess, and says so.
"""

from mynn.files import networks_folder
from mynn.lesson.answers import check
from mynn.lesson.done import finished
from mynn.lesson.guesses import Guess, GuessedCurve, guess, guess_curve
from mynn.lesson.networks import keep, my_network
from mynn.lesson.notebook import in_a_notebook
from mynn.lesson.watch import Watch

if in_a_notebook():  # a kernel on a Pi has loaded it already
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
