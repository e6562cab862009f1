"""The network as a classifier of scikit-learn, by scikit-learn's own checks."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mynn.sklearn import Classifier


@pytest.mark.filterwarnings("ignore:inputs go up to")
@parametrize_with_checks([Classifier()])  # type: ignore[untyped-decorator]
def test_it_obeys_the_rules_of_estimators(estimator: Classifier, check: Callable[[Classifier], None]) -> None:
    check(estimator)


def test_searches_pipelines_and_measures_take_it_with_labels_of_any_kind() -> None:
    X, y = load_digits(return_X_y=True)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[y]
    model = make_pipeline(MinMaxScaler(), Classifier(epochs=3, random_state=1))
    for scoring, least in (("accuracy", 0.85), ("neg_log_loss", -1.0), ("roc_auc_ovr", 0.97)):
        search = GridSearchCV(model, {"classifier__hidden_nodes": [1, 30]}, scoring=scoring, cv=2)
        assert search.fit(X, names).best_score_ > least and search.best_params_["classifier__hidden_nodes"] == 30
    assert set(search.predict(X)) == set(names) and search.score(X, names) > 0.97


def test_it_goes_on_with_the_examples_that_come_later() -> None:
    X, y = load_digits(return_X_y=True)
    classifier = Classifier(random_state=1)
    for first in range(0, 1700, 100):
        part = slice(first, first + 100)
        classifier.partial_fit(X[part] / 16, y[part], classes=range(10))
    assert classifier.score(X[1700:] / 16, y[1700:]) > 0.8
    with pytest.raises(ValueError, match="unseen labels"):
        classifier.partial_fit(X[:2] / 16, [3, 10])
