"""From what a model says to a probability: fitted on events that the model was not trained on."""

import numpy as np
import numpy.typing as npt

from models.minimum import minimum
from schemas.manifest import Calibration

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ENOUGH_FOR_STEPS = 500
"""Events of each class from which on isotonic steps are fitted; fewer would be learnt by heart."""
NEAREST = 1e-5
"""How near to 0 and 1 a probability is taken to be: beyond it 32-bit numbers do not tell log-odds apart."""


def calibrated(outputs: Vector, labels: Mask) -> Calibration:
    """For outputs that are probabilities: isotonic where both classes have 500 events, else Platt's sigmoid of their log-odds.
    Both classes must be there.

    A sigmoid of the probabilities themselves would end at a score of sigmoid(slope + offset), however sure the model is.
    """
    if min(labels.sum(), (~labels).sum()) >= ENOUGH_FOR_STEPS:
        return isotonic(outputs, labels)
    return _platt_of_log_odds(outputs, labels)


def applied(calibration: Calibration, outputs: Vector) -> Vector:
    """The scores of outputs; NaN stays NaN."""
    if calibration.method == "platt":
        x = log_odds(outputs) if calibration.of == "log_odds" else outputs
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-(calibration.slope * x + calibration.offset))))
    if calibration.method == "isotonic":
        return np.asarray(np.interp(outputs, calibration.x, calibration.y))
    return outputs


def log_odds(probabilities: Vector) -> Vector:
    """log(p / (1 - p)), of p within 0.00001 and 0.99999."""
    p = np.clip(probabilities, NEAREST, 1 - NEAREST)
    return np.asarray(np.log(p) - np.log1p(-p))


def _platt_of_log_odds(outputs: Vector, labels: Mask) -> Calibration:
    return platt(log_odds(outputs), labels).model_copy(update={"of": "log_odds"})


def platt(outputs: Vector, labels: Mask) -> Calibration:
    """A sigmoid that does not fall, with the targets that Platt gives small sets (Platt 1999, equation 6)."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = float(outputs.mean()), float(outputs.std()) or 1.0
    x = (outputs - centre) / spread

    def loss(at: Vector) -> tuple[float, Vector]:
        z = at[0] * x + at[1]
        off = 1 / (1 + np.exp(-np.clip(z, -500, 500))) - targets
        # A little of a penalty: classes that are parted leave the slope without an end.
        value = float(np.sum(np.logaddexp(0, z) - targets * z) + 1e-3 * at[0] ** 2)
        return value, np.array([off @ x + 2e-3 * at[0], off.sum()])

    slope, offset = minimum(loss, np.array([1.0, 0.0]), 1e-8)
    slope = max(float(slope), 0.0) / spread
    return Calibration(method="platt", slope=slope, offset=float(offset) - slope * centre)


def isotonic(outputs: Vector, labels: Mask) -> Calibration:
    """The steps that never fall and are nearest to the labels, by pooling neighbours; Platt's sigmoid where it is one step.
    O(n log n).
    """
    order = np.argsort(outputs, kind="stable")
    x, first = np.unique(outputs[order], return_index=True)
    weights = np.diff(np.append(first, len(order))).astype(np.float64)
    means = np.add.reduceat(labels[order].astype(np.float64), first) / weights
    blocks: list[list[float]] = []  # mean, weight, values
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        blocks.append([mean, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            above, below = blocks.pop(), blocks[-1]
            total = below[1] + above[1]
            below[:] = [(below[0] * below[1] + above[0] * above[1]) / total, total, below[2] + above[2]]
    if len(blocks) < 2:
        return _platt_of_log_odds(outputs, labels)
    ends = np.cumsum([int(block[2]) for block in blocks])
    starts = np.append(0, ends[:-1])
    # The middle of each step: between two of them the score rises, so fewer scores are equal.
    middles = (x[starts] + x[ends - 1]) / 2
    return Calibration(method="isotonic", x=middles.tolist(), y=[block[0] for block in blocks])
