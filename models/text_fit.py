"""Fitting a text classifier: L2 logistic regression over hashed n-grams, with NumPy alone.

An n-gram's value is its inverse document frequency, and a text's values have length 1. An n-gram that is said more in one
class than in the other is held back less, by its log-count ratio (Wang and Manning 2012, Baselines and Bigrams). The rare
class weighs more by the root of its rarity, so that a text model learns from one spam in a hundred. How much all is held
back is chosen on the last fifth of the texts, which it has not seen then; the calibration comes from there, too. Then it
is fitted on all.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from models.calibrating import platt
from models.minimum import minimum
from models.text_ngrams import BITS, Ngrams, ngrams
from schemas.manifest import Calibration

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

STRENGTHS = (0.2, 1.0, 5.0)
"""What a unit of loss costs against half a unit of squared weight."""


@dataclass(frozen=True, slots=True)
class TextFit:
    """`margins` of a text: sum(weights) / sqrt(sum(squares)) + bias over its n-grams. Arrays have one number an n-gram."""

    weights: Vector
    squares: Vector
    bias: float
    strength: float
    calibration: Calibration

    def margins(self, found: Ngrams) -> Vector:
        """What the exported model computes, but for its rounding of weights."""
        norms = np.sqrt(np.maximum(_sums(self.squares[found.numbers], found.ends), 1e-9))
        return np.asarray(_sums(self.weights[found.numbers], found.ends) / norms + self.bias)


def fit_text(texts: pl.Series, labels: Mask) -> TextFit:
    """A classifier of texts (String, no NULL), in the order of time. Both classes must be among the first four fifths and
    among the last, else ValueError. O(n-grams) a step, some 50 steps for each of four fits.
    """
    cut = len(labels) - max(1, len(labels) // 5)
    if any(part.all() or not part.any() for part in (labels[:cut], labels[cut:])):
        raise ValueError(
            f"of {len(labels):,} texts, the first {cut:,} or the last {len(labels) - cut:,} are all of one class: label more texts of the other"
        )
    found = ngrams(texts)
    earlier, later = _Design.of(_first(found, cut), labels[:cut]), _rest(found, cut)
    fits, start = [], None
    for strength in STRENGTHS:
        fit = earlier.fit(strength, start)
        start = earlier.last
        fits.append((_weighted_loss(fit.margins(later), labels[cut:]), fit))
    best = min(fits, key=lambda one: one[0])[1]
    calibration = platt(best.margins(later), labels[cut:])
    whole = _Design.of(found, labels).fit(best.strength, None)
    return TextFit(whole.weights, whole.squares, whole.bias, whole.strength, calibration)


def _weighted_loss(margins: Vector, labels: Mask) -> float:
    """The loss that was minimised, on other texts."""
    return float((_class_weights(labels) * np.logaddexp(0, np.where(labels, -margins, margins))).sum())


def _class_weights(labels: Mask) -> Vector:
    """A weight for each text: the root of what would make both classes weigh the same in all."""
    positives = labels.mean()
    return np.asarray(np.sqrt(np.where(labels, 0.5 / positives, 0.5 / (1 - positives))))


def _ratios(columns: Places, ends: Places, labels: Mask, count: int) -> Vector:
    """Of each column: the logarithm of how much likelier its n-gram is in a text of the one class than of the other."""
    said = np.repeat(labels, np.diff(ends, prepend=0))
    positive = np.bincount(columns[said], minlength=count)
    negative = np.bincount(columns[~said], minlength=count)
    return np.asarray(
        np.log((positive + 1) / (labels.sum() + 2)) - np.log((negative + 1) / ((~labels).sum() + 2)), np.float64
    )


@dataclass(slots=True)
class _Design:
    """Texts as a sparse matrix: only n-grams that occur have a column, the last column is the bias."""

    columns: Places
    """Column of each n-gram of each text."""
    ends: Places
    values: Vector
    """Of an n-gram, by column, with what it is held back less."""
    norms: Vector
    """Of a text."""
    numbers: npt.NDArray[np.int32]
    """The n-gram of each column."""
    squares: Vector
    labels: Mask
    last: Vector

    @classmethod
    def of(cls, found: Ngrams, labels: Mask) -> "_Design":
        frequency = np.bincount(found.numbers, minlength=1 << BITS)
        values = np.log((1 + len(labels)) / (1 + frequency)) + 1
        numbers = np.flatnonzero(frequency).astype(np.int32)
        place = np.zeros(1 << BITS, np.int64)
        place[numbers] = np.arange(len(numbers))
        columns = place[found.numbers]
        norms = np.sqrt(np.maximum(_sums((values**2)[found.numbers], found.ends), 1e-9))
        telling = 1 + np.abs(_ratios(columns, found.ends, labels, len(numbers)))
        start = np.zeros(len(numbers) + 1)
        return cls(columns, found.ends, values[numbers] * telling, norms, numbers, values**2, labels, start)

    def fit(self, strength: float, start: Vector | None) -> TextFit:
        weights = strength * _class_weights(self.labels)
        lengths = np.diff(self.ends, prepend=0)

        def loss(at: Vector) -> tuple[float, Vector]:
            margins = _sums((at[:-1] * self.values)[self.columns], self.ends) / self.norms + at[-1]
            signed = np.where(self.labels, -margins, margins)
            off = weights * np.where(self.labels, -1.0, 1.0) / (1 + np.exp(-np.clip(signed, -500, 500)))
            shares = np.repeat(off / self.norms, lengths)
            gradient = np.bincount(self.columns, weights=shares, minlength=len(self.values)) * self.values
            value = float(weights @ np.logaddexp(0, signed) + 0.5 * at[:-1] @ at[:-1])
            return value, np.append(gradient + at[:-1], off.sum())

        self.last = minimum(loss, self.last if start is None else start)
        full = np.zeros(1 << BITS)
        full[self.numbers] = self.last[:-1] * self.values
        return TextFit(full, self.squares, float(self.last[-1]), strength, Calibration())


def _sums(values: Vector, ends: Places) -> Vector:
    """The sum of each text's values."""
    total = np.append(0.0, np.cumsum(values))
    return np.asarray(total[ends] - total[np.append(0, ends[:-1])])


def _first(found: Ngrams, count: int) -> Ngrams:
    return Ngrams(found.numbers[: found.ends[count - 1]], found.ends[:count])


def _rest(found: Ngrams, count: int) -> Ngrams:
    start = found.ends[count - 1]
    return Ngrams(found.numbers[start:], found.ends[count:] - start)
