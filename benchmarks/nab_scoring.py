"""How the Numenta Anomaly Benchmark scores a detector (Lavin & Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", 2015).

A detection inside a labelled window earns up to 1, the more the earlier; only the best of a window counts, and a window without one
costs 1 (2 for low_fn). Each detection outside costs up to 0.11 (0.22 for low_fp), less shortly after a window. The first
15 % of a series, of its first 5,000 readings at most, are probation and not scored. A detector's sum over all series is put on a scale
where detecting nothing is 0 and a perfect detector 100. One threshold holds for all series.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OUTSIDE, PROBATION = -1, -2


@dataclass(frozen=True)
class Profile:
    """What a missed window and a detection outside cost; a detection inside earns 1."""

    missed: float
    outside: float


PROFILES = {"standard": Profile(1.0, 0.11), "low_fp": Profile(1.0, 0.22), "low_fn": Profile(2.0, 0.11)}


@dataclass(frozen=True)
class Marks:
    """By reading of a series: its window (or `OUTSIDE`, `PROBATION`), and what a detection there is worth before weights."""

    window: Ints
    worth: Floats


def sigmoid(position: Floats) -> Floats:
    """0.9866 at the left edge (-1) of a window, 0 at its right edge, -1 far behind it."""
    return np.where(position >= 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)


def marks(readings: int, windows: list[tuple[int, int]]) -> Marks:
    """The marks of a series; windows are (first, last) reading, in order."""
    at = np.arange(readings)
    window, worth = np.full(readings, OUTSIDE), np.full(readings, -1.0)
    best = float(sigmoid(np.array(-1.0)))
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        inside = at[first : last + 1]
        window[inside] = number
        worth[inside] = sigmoid(-(last - inside + 1) / width) / best
        behind = at[last + 1 : windows[number + 1][0] if number + 1 < len(windows) else readings]
        worth[behind] = sigmoid((behind - last) / (width - 1))
    window[at < min(math.floor(0.15 * readings), 0.15 * 5_000)] = PROBATION
    return Marks(window, worth)


def by_threshold(series: list[Marks], scores: list[Floats], profile: Profile) -> tuple[Floats, Floats]:
    """The detector's score at each threshold that its scores allow, the highest first."""
    offsets = np.cumsum([0, *(int(m.window.max(initial=-1)) + 1 for m in series)])
    window = np.concatenate(
        [np.where(m.window >= 0, m.window + o, m.window) for m, o in zip(series, offsets[:-1], strict=True)]
    )
    worth, score = np.concatenate([m.worth for m in series]), np.concatenate(scores)
    windows = len(np.unique(window[window >= 0]))
    order = np.flatnonzero(window != PROBATION)
    order = order[np.argsort(-score[order], kind="stable")]
    window, worth, score = window[order], worth[order], score[order]
    gain = np.where(window == OUTSIDE, worth * profile.outside, 0.0)
    found: dict[int, float] = {}
    for at in np.flatnonzero(window >= 0).tolist():
        before = found.get(int(window[at]), -profile.missed)
        found[int(window[at])] = max(before, float(worth[at]))
        gain[at] = found[int(window[at])] - before
    total = np.cumsum(gain)
    last = np.append(score[1:] != score[:-1], True)
    return score[last], 100.0 * total[last] / (windows * (1.0 + profile.missed))


def score_at(series: list[Marks], scores: list[Floats], profile: Profile, threshold: float) -> float:
    """The detector's score where everything at or above `threshold` is a detection."""
    thresholds, reached = by_threshold(series, scores, profile)
    detecting = np.flatnonzero(thresholds >= threshold)
    return float(reached[detecting[-1]]) if len(detecting) else 0.0


def best(series: list[Marks], scores: list[Floats], profile: Profile) -> tuple[float, float]:
    """The best score of all thresholds, and that threshold; 0 and infinity where every detection costs."""
    thresholds, reached = by_threshold(series, scores, profile)
    at = int(np.argmax(reached))
    return (float(reached[at]), float(thresholds[at])) if reached[at] > 0 else (0.0, math.inf)
