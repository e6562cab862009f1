"""The network that travels from lesson to lesson: the student's own, or the one on the card."""

from __future__ import annotations

from pathlib import Path

from mynn.errors import DataError, NetworkFileError
from mynn.files import networks_folder
from mynn.mnist import LABELS, PIXELS, Examples, mnist_folder, read_csv
from mynn.network import NeuralNetwork

OWN = "my_network.npz"  # in the notebook's folder
CARDS = "digits.npz"  # in the folder of networks
ENOUGH = 0.5  # of a hundred digits that a network reads, if it is to be of use in a lesson


def my_network() -> NeuralNetwork:
    """Return the student's own network, my_network.npz beside the notebook, or the one on the card; say which.

    The student's own must read digits: 784 inputs, 10 outputs, and half of a hundred digits recognised. Where it does
    not, the reason is printed. NetworkFileError: there is neither.
    """
    try:
        network = NeuralNetwork.load(OWN)
        why = _unfit(network)
        if not why:
            print(f"This is your own network, {OWN}, with {_nodes(network)}.")
            return network
    except NetworkFileError:
        why = "it is damaged, or not a network" if Path(OWN).exists() else ""
    place = networks_folder() / CARDS
    try:
        network = NeuralNetwork.load(place)
    except NetworkFileError as error:
        first = f"{OWN} cannot be used: {why}" if why else f"there is no {OWN} here"
        advice = "train one in Lesson 4: a network learns to read, or set NETWORKS_DIR"
        raise NetworkFileError(f"{first}, and no network is on the card ({error}); {advice}") from None
    reason = f"Your {OWN} cannot be used here: {why}. So this" if why else f"You have no {OWN} yet, so this"
    print(f"{reason} is the network on the card, with {_nodes(network)}: it reads about 97 digits in 100.")
    return network


def keep(network: NeuralNetwork, testing: Examples) -> None:
    """Save a network as my_network.npz beside the notebook, unless the one that is there reads more of the digits.

    It says which of these it did. A file that holds no network is left alone, too.
    """
    print(kept(network, testing)[1])


def kept(network: NeuralNetwork, testing: Examples) -> tuple[bool, str]:
    """Do what `keep` does; return whether the network is kept, and the sentence."""
    place, mine = Path(OWN), network.score(testing)
    if place.exists():
        try:
            theirs = NeuralNetwork.load(place).score(testing)
        except ValueError as error:  # no network, or one for other inputs
            return False, f"Not kept: {OWN} holds something else ({error}). Rename that file, then do this again."
        if theirs > mine:
            return False, f"{OWN} stays as it is: the network in it recognises {theirs:.1%}, and this one {mine:.1%}."
    network.save(place)
    of = f"{mine:.1%} of {len(testing):,} digits"
    return True, f"Kept in {OWN}: a network with {_nodes(network)}, which recognises {of}."


def _nodes(network: NeuralNetwork) -> str:
    return f"{len(network.wih)} hidden nodes"


def _unfit(network: NeuralNetwork) -> str:
    """Return why a network cannot be used in a lesson; nothing if it can."""
    inputs, outputs = network.wih.shape[1], len(network.who)
    if (inputs, outputs) != (PIXELS, LABELS):
        return f"it has {inputs} inputs and {outputs} outputs, not {PIXELS} and {LABELS}"
    try:
        score = network.score(read_csv(mnist_folder() / "mnist_train_100.csv", limit=100))
    except DataError:  # without MNIST nobody can tell
        return ""
    return "" if score >= ENOUGH else f"it reads only {score:.0%} of a hundred digits"
