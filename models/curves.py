"""Scores and labels of a calibration set, reduced to the counts that thresholds are made of."""

import numpy as np
import numpy.typing as npt

from schemas.manifest import Curve

MOST_POINTS = 512


def curve_of(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], days: float) -> Curve:
    """The curve of a calibration set: NaN scores count as events that no threshold flags. O(n log n).

    Up to 512 of the distinct scores are kept, with exact counts: the 256 highest, and others at even steps of the
    number of events flagged. Raises ValueError for a set without a score.
    """
    known = ~np.isnan(scores)
    if not known.any():
        raise ValueError("no event of the calibration set has a score")
    order = np.argsort(-scores[known], kind="stable")
    sorted_scores, positive = scores[known][order], labels[known][order].astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    caught = np.cumsum(positive)
    keep = last
    if len(last) > MOST_POINTS:
        top, rest = last[: MOST_POINTS // 2], last[MOST_POINTS // 2 :]
        wanted = np.linspace(rest[0], rest[-1], MOST_POINTS // 2)
        keep = np.unique(np.concatenate([top, rest[np.searchsorted(rest, wanted)]]))
    return Curve(
        events=len(scores),
        positives=int(labels.sum()),
        days=days,
        scores=sorted_scores[keep].tolist(),
        flagged=(keep + 1).tolist(),
        caught=caught[keep].tolist(),
    )
