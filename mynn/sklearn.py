"""The network as a classifier of scikit-learn, 1.6 or newer: for its searches, pipelines and measures."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mynn.arrays import Floats
from mynn.network import NeuralNetwork


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A `NeuralNetwork` that takes its inputs and outputs from the examples, with labels of any kind.

    Each epoch takes the examples in another order, which `random_state` decides as it does the first weights. Inputs
    are best from 0 to 1, or around 0; whole numbers that go up to 255 are pixels, as for `NeuralNetwork.fit`.

    `classes_`   the labels, one for each output, sorted
    `network_`   the trained network
    """

    def __init__(
        self,
        hidden_nodes: int = 100,
        learning_rate: float = 0.1,
        epochs: int = 5,
        *,
        rule: str = "book",
        random_state: Any = None,
    ) -> None:
        self.hidden_nodes = hidden_nodes
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.rule = rule
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Classifier:
        """Train a new network, and return self. X: inputs, shape (n, inputs); y: labels, shape (n,)."""
        inputs, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        self._begin(labels)
        numbers, seed = self._outputs.transform(labels), self.network_.seed
        self.network_.fit(inputs, numbers, epochs=self.epochs, shuffle=True, seed=seed)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Classifier:
        """Go on with one epoch of these examples, in their order, and return self.

        classes: all labels that will come; the first call needs them, unless its own examples have them all
        """
        is_new = not hasattr(self, "network_")
        inputs, labels = validate_data(self, X, y, reset=is_new)
        if is_new:
            self._begin(labels if classes is None else classes)
        self.network_.fit(inputs, self._outputs.transform(labels))
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return a number for each class, shape (n, classes): the outputs, divided by their sum."""
        check_is_fitted(self)
        outputs = self.network_.outputs(validate_data(self, X, reset=False)) + 1e-300  # none may be quite 0
        shares: Floats = outputs / outputs.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the label of the strongest output for each example, shape (n,)."""
        strongest = self.predict_proba(X).argmax(axis=1)
        answers: NDArray[Any] = self.classes_[strongest]
        return answers

    def _begin(self, labels: ArrayLike) -> None:
        """Make an untrained network with an output for each label."""
        self._outputs = LabelEncoder().fit(labels)
        self.classes_ = self._outputs.classes_
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        sizes = self.n_features_in_, self.hidden_nodes, len(self.classes_)
        self.network_ = NeuralNetwork(*sizes, self.learning_rate, seed=seed, rule=self.rule)
