"""The solver and the calibrations, against what is known of them."""

import numpy as np
import pytest

from models.calibrating import applied, calibrated, isotonic, log_odds, platt
from models.minimum import minimum


def test_a_badly_scaled_bowl() -> None:
    scales = 10.0 ** np.arange(6)
    found = minimum(lambda x: (float(scales @ (x - 3) ** 2), 2 * scales * (x - 3)), np.zeros(6), 1e-10, 2_000)
    np.testing.assert_allclose(found, 3.0, atol=1e-6)


def test_where_the_start_is_the_minimum() -> None:
    assert minimum(lambda x: (float(x @ x), 2 * x), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_platt_finds_the_sigmoid_that_made_the_labels() -> None:
    rng = np.random.default_rng(3)
    outputs = rng.normal(5.0, 2.0, 40_000)
    labels = rng.random(40_000) < 1 / (1 + np.exp(-(1.5 * outputs - 8)))
    found = platt(outputs, labels)
    assert (found.slope, found.offset) == (pytest.approx(1.5, abs=0.06), pytest.approx(-8.0, abs=0.3))


def test_platt_is_not_carried_away_by_few_or_parted_events() -> None:
    found = platt(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, False, True, True]))
    assert 0 < found.slope < 100
    backwards = platt(np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, True, False, False]))
    assert backwards.slope == 0, "a score never falls where the model's output rises"


def test_isotonic_pools_neighbours() -> None:
    outputs = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    labels = np.array([False, True, False, False, True, True])
    found = isotonic(outputs, labels)
    assert found.x == pytest.approx([0.1, 0.3, 0.55])
    assert found.y == pytest.approx([0.0, 1 / 3, 1.0])
    assert isotonic(outputs, labels[::-1]).method == "platt", "nothing rises: one step is no calibration"


def test_steps_need_many_events() -> None:
    rng = np.random.default_rng(4)
    outputs = rng.random(4_000)
    labels = rng.random(4_000) < outputs
    assert calibrated(outputs, labels).method == "isotonic"
    assert calibrated(outputs[:600], labels[:600]).method == "platt"


def test_a_sure_model_stays_sure_when_it_is_calibrated() -> None:
    """Of probabilities themselves the sigmoid ended at 0.9 or below, whatever the model said."""
    rng = np.random.default_rng(5)
    margins = rng.normal(-1, 4, 1_000)
    labels = rng.random(1_000) < 1 / (1 + np.exp(3 - margins))
    found = calibrated(1 / (1 + np.exp(-margins)), labels)
    assert (found.method, found.of) == ("platt", "log_odds")
    assert (found.slope, found.offset) == (pytest.approx(1.0, abs=0.2), pytest.approx(-3.0, abs=0.4))
    scores = applied(found, 1 / (1 + np.exp(-np.linspace(-10, 10, 201))))
    assert (np.diff(scores) > 0).all() and scores[-1] > 0.99 and scores[0] < 1e-4


def test_log_odds_end_where_numbers_do() -> None:
    near = log_odds(np.array([1e-5, 1 - 1e-5]))
    assert near.tolist() == [pytest.approx(-11.5129, abs=1e-3), pytest.approx(11.5129, abs=1e-3)]
    found = log_odds(np.array([0.0, 1.0, -1.0, 2.0, 0.5, np.nan]))
    assert found[:5].tolist() == [near[0], near[1], near[0], near[1], 0.0] and np.isnan(found[5])
