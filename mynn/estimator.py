"""scikit-learn estimator interface, for `cross_val_score` and `GridSearchCV`; nothing else in mynn needs scikit-learn.

`NeuralNetwork` has these functions as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mynn.network import NeuralNetwork


def get_params(network: NeuralNetwork, deep: bool = True) -> dict[str, Any]:
    """Return the constructor's arguments that make such a network, by name; `deep` has no effect."""
    hidden_nodes, input_nodes = network.wih.shape
    return {
        "input_nodes": input_nodes,
        "hidden_nodes": hidden_nodes,
        "output_nodes": len(network.who),
        "learning_rate": network.learning_rate,
        "seed": network.seed,
        "rule": network.rule,
        "dtype": network.wih.dtype.name,
    }


def set_params(network: NeuralNetwork, **changes: Any) -> NeuralNetwork:
    """Change parameters, and return the network. Any change but of the learning rate or the rule resets its weights."""
    if changes.keys() <= {"learning_rate", "rule"}:
        for name, value in changes.items():
            setattr(network, name, value)
    else:
        vars(network).update(vars(type(network)(**network.get_params() | changes)))
    return network


def untrained(network: NeuralNetwork) -> NeuralNetwork:
    """Return an untrained network with the same parameters."""
    return type(network)(**network.get_params())


def is_fitted(_network: NeuralNetwork) -> bool:
    """Return True: the network can be queried from the start."""
    return True


def tags(_network: NeuralNetwork) -> Any:
    """Return scikit-learn's tags: a classifier that needs targets."""
    from sklearn.utils import ClassifierTags, Tags, TargetTags

    return Tags(estimator_type="classifier", target_tags=TargetTags(required=True), classifier_tags=ClassifierTags())
