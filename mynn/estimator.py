"""What scikit-learn asks of a network, so that `cross_val_score` and `GridSearchCV` work; here, nothing needs it.

What is public here is also a method of `NeuralNetwork`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mynn.network import NeuralNetwork


def get_params(network: NeuralNetwork, deep: bool = True) -> dict[str, Any]:
    """Return what the network was made with, by the names of its construction's arguments; `deep` changes nothing."""
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
    """Change some of these, and return the network; all but the learning rate and the rule make its weights anew."""
    if changes.keys() <= {"learning_rate", "rule"}:
        for name, value in changes.items():
            setattr(network, name, value)
    else:
        vars(network).update(vars(type(network)(**network.get_params() | changes)))
    return network


def untrained(network: NeuralNetwork) -> NeuralNetwork:
    """Return a network that was made like this one."""
    return type(network)(**network.get_params())


def is_fitted(_network: NeuralNetwork) -> bool:
    """Return that it can be asked, which it can from the start."""
    return True


def tags(_network: NeuralNetwork) -> Any:
    """Return what kind of estimator it is."""
    from sklearn.utils import ClassifierTags, Tags, TargetTags

    return Tags(estimator_type="classifier", target_tags=TargetTags(required=True), classifier_tags=ClassifierTags())
