"""Manifests that say something impossible are refused with the reason."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from models.curves import MOST_POINTS, curve_of
from schemas.manifest import Calibration, Curve
from tests.models.test_registry import draft

TEXT = {"name": "body", "type": "text"}
ROW: dict[str, Any] = {"inputs": [["buy"]], "outputs": [0.5]}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"inputs": [{"name": "a"}, {"name": "a"}]}, "two inputs of a model have one name"),
        ({"layout": "text"}, "layout text and a text encoding go together"),
        ({"text": {"kind": "hashed"}}, "layout text and a text encoding go together"),
        ({"layout": "text", "text": {"kind": "hashed"}}, "layout text takes one input, and its type is text"),
        ({"inputs": [TEXT], "golden": ROW}, "layout matrix takes numbers only"),
        (
            {"inputs": [TEXT | {"on_null": 0.5}], "layout": "columns", "golden": ROW},
            "an input of type text takes on_null: null_score only",
        ),
        ({"golden": {"inputs": [[1]], "outputs": [0.5]}}, "golden rows need one value for each input"),
        ({"golden": {"inputs": [[1, 2]], "outputs": []}}, "and one output for each row"),
        (
            {"explanation": {"kind": "linear", "coefficients": [1], "means": [0, 0]}},
            "an explanation needs one number for each input",
        ),
        ({"explanation": {"kind": "baseline", "values": [1]}}, "an explanation needs one number for each input"),
    ],
)
def test_what_does_not_fit_together(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        draft(**parts)
    assert words in str(caught.value)


def test_calibrations_and_curves() -> None:
    for x, y in (([0], [0]), ([0, 1], [1, 0]), ([1, 0], [0, 1]), ([0, 1], [0])):
        with pytest.raises(ValidationError, match="isotonic calibration needs x and y of one length"):
            Calibration(method="isotonic", x=x, y=y)
    with pytest.raises(ValidationError, match="a curve needs scores, flagged and caught of one length"):
        Curve(events=3, positives=1, days=1, scores=[0.5], flagged=[1, 2], caught=[1])
    for scores, flagged, caught in (([0.5, 0.6], [1, 2], [1, 1]), ([0.5, 0.4], [2, 1], [0, 0]), ([0.5], [4], [1])):
        with pytest.raises(ValidationError, match="a curve needs descending scores and ascending counts"):
            Curve(events=3, positives=1, days=1, scores=scores, flagged=flagged, caught=caught)


def test_a_curve_counts_exactly_where_it_has_a_point() -> None:
    rng = np.random.default_rng(5)
    scores = np.round(rng.random(20_000), 6)
    labels = rng.random(20_000) < scores**3
    scores[::100] = np.nan
    curve = curve_of(scores, labels, 4.0)
    assert (curve.events, curve.positives, len(curve.scores)) == (20_000, labels.sum(), MOST_POINTS)
    for score, flagged, caught in zip(curve.scores, curve.flagged, curve.caught, strict=True):
        assert flagged == (scores >= score).sum()
        assert caught == (labels & (scores >= score)).sum()
    assert curve.flagged[-1] == 19_800
    small = curve_of(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), 1.0)
    assert (small.scores, small.flagged, small.caught) == ([0.5, 0.1], [2, 3], [1, 1])
    with pytest.raises(ValueError, match="no event of the calibration set has a score"):
        curve_of(np.array([np.nan]), np.array([True]), 1.0)
