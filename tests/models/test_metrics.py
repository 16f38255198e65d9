"""Figures of scores are those of scikit-learn, ties included."""

import numpy as np
import pytest

from models.metrics import auc, average_precision, brier, log_loss, macro_f1, measured

sklearn = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("decimals", [1, 6])
def test_they_are_what_scikit_learn_says(decimals: int) -> None:
    rng = np.random.default_rng(2)
    scores = np.round(rng.random(3_000), decimals)
    labels = rng.random(3_000) < scores**2
    assert average_precision(scores, labels) == pytest.approx(sklearn.average_precision_score(labels, scores))
    assert auc(scores, labels) == pytest.approx(sklearn.roc_auc_score(labels, scores))
    assert brier(scores, labels) == pytest.approx(sklearn.brier_score_loss(labels, scores))
    assert log_loss(scores, labels) == pytest.approx(sklearn.log_loss(labels, np.clip(scores, 1e-6, 1 - 1e-6)))
    assert macro_f1(scores, labels) == pytest.approx(sklearn.f1_score(labels, scores >= 0.5, average="macro"))


def test_all_of_them_by_name() -> None:
    found = measured(np.array([0.1, 0.9]), np.array([False, True]))
    assert found == {
        "average_precision": 1.0, "auc": 1.0, "brier": 0.01, "log_loss": 0.105361, "macro_f1": 1.0, "positives": 0.5,
        "events": 2.0,
    }  # fmt: skip
