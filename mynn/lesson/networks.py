"""The network that lessons share: saved by the student, or installed on the card."""

from __future__ import annotations

from pathlib import Path

from mynn.errors import DataError, NetworkFileError
from mynn.files import networks_folder
from mynn.mnist import LABELS, PIXELS, Examples, mnist_folder, read_csv
from mynn.network import NeuralNetwork
from mynn.translation import _, in_figures

OWN = "my_network.npz"  # saved by the student, in the notebook's folder
CARDS = "digits.npz"  # installed on the card, in networks_folder()
ENOUGH = 0.5  # the least accuracy on a hundred digits for use in a lesson


def my_network() -> NeuralNetwork:
    """Return the student's network, my_network.npz beside the notebook, or the one on the card; print which.

    The student's network must have 784 inputs and 10 outputs, and recognise half of a hundred digits. If not, the
    reason is printed. Raises NetworkFileError if there is no network.
    """
    try:
        network = NeuralNetwork.load(OWN)
        why = _unfit(network)
        if not why:
            own = _("This is your own network, {file}, with {nodes} hidden nodes.")
            print(own.format(file=OWN, nodes=len(network.wih)))
            return network
    except NetworkFileError:
        why = _("it is damaged, or not a network") if Path(OWN).exists() else ""
    place = networks_folder() / CARDS
    try:
        network = NeuralNetwork.load(place)
    except NetworkFileError as error:
        unfit = _("{file} cannot be used: {why}, and no network is on the card ({error}); {advice}")
        none = _("there is no {file} here, and no network is on the card ({error}); {advice}")
        # Translators: {advice} in the two sentences above. "a network learns to read" is the title of Lesson 4.
        advice = _("train one in Lesson 4: a network learns to read, or set NETWORKS_DIR")
        sentence = (unfit if why else none).format(file=OWN, why=why, error=error, advice=advice)
        raise NetworkFileError(sentence) from None
    unfit = _(
        "Your {file} cannot be used here: {why}. So this is the network on the card, with {nodes} hidden nodes:"
        " it reads about 97 digits in 100."
    )
    none = _(
        "You have no {file} yet, so this is the network on the card, with {nodes} hidden nodes: it reads about 97"
        " digits in 100."
    )
    print((unfit if why else none).format(file=OWN, why=why, nodes=len(network.wih)))
    return network


def keep(network: NeuralNetwork, testing: Examples) -> None:
    """Save a network as my_network.npz beside the notebook, unless the file's network recognises more digits.

    The outcome is printed. A file that holds something else is not overwritten.
    """
    print(kept(network, testing)[1])


def kept(network: NeuralNetwork, testing: Examples) -> tuple[bool, str]:
    """Save a network as `keep` does; return whether it was saved, and the sentence to print."""
    place, mine = Path(OWN), network.score(testing)
    if place.exists():
        try:
            theirs = NeuralNetwork.load(place).score(testing)
        except ValueError as error:  # not a network, or one with other inputs
            other = _("Not kept: {file} holds something else ({error}). Rename that file, then do this again.")
            return False, other.format(file=OWN, error=error)
        if theirs > mine:
            better = _("{file} stays as it is: the network in it recognises {theirs}, and this one {mine}.")
            scores = {"theirs": in_figures(f"{theirs:.1%}"), "mine": in_figures(f"{mine:.1%}")}
            return False, better.format(file=OWN, **scores)
    network.save(place)
    sentence = _("Kept in {file}: a network with {nodes} hidden nodes, which recognises {score} of {count} digits.")
    figures = {"score": in_figures(f"{mine:.1%}"), "count": in_figures(f"{len(testing):,}")}
    return True, sentence.format(file=OWN, nodes=len(network.wih), **figures)


def _unfit(network: NeuralNetwork) -> str:
    """Return why a network cannot be used in a lesson; "" if it can."""
    inputs, outputs = network.wih.shape[1], len(network.who)
    if (inputs, outputs) != (PIXELS, LABELS):
        sentence = _("it has {inputs} inputs and {outputs} outputs, not 784 and 10")
        return sentence.format(inputs=inputs, outputs=outputs)
    try:
        score = network.score(read_csv(mnist_folder() / "mnist_train_100.csv", limit=100))
    except DataError:  # cannot be tested without MNIST
        return ""
    if score >= ENOUGH:
        return ""
    return _("it reads only {score} of a hundred digits").format(score=in_figures(f"{score:.0%}"))
