"""How good scores are, on events that the model has not seen. NumPy only; ties count as scikit-learn counts them."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def average_precision(scores: Floats, labels: Mask) -> float:
    """Precision at each distinct score, weighted with the recall that it adds; O(n log n)."""
    flagged, caught = counts(scores, labels)
    return float(np.sum(np.diff(caught, prepend=0) * caught / flagged) / labels.sum())


def auc(scores: Floats, labels: Mask) -> float:
    """The chance that a positive event scores above a negative one, ties half."""
    flagged, caught = counts(scores, labels)
    wrong = np.append(0, flagged - caught)
    right = np.append(0, caught)
    area = np.sum(np.diff(wrong) * (right[1:] + right[:-1]) / 2)
    return float(area / (labels.sum() * (~labels).sum()))


def brier(scores: Floats, labels: Mask) -> float:
    """Mean squared distance of scores from what happened."""
    return float(np.mean((scores - labels) ** 2))


def log_loss(scores: Floats, labels: Mask) -> float:
    """Mean negative log likelihood, scores kept 1e-6 from 0 and 1."""
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(labels, np.log(p), np.log1p(-p))))


def macro_f1(scores: Floats, labels: Mask, threshold: float = 0.5) -> float:
    """Mean of the F1 of both classes when everything from `threshold` on is flagged."""
    said = scores >= threshold
    found = []
    for truth, told in ((labels, said), (~labels, ~said)):
        both = int((truth & told).sum())
        found.append(2 * both / max(1, int(truth.sum()) + int(told.sum())))
    return float(np.mean(found))


def measured(scores: Floats, labels: Mask) -> dict[str, float]:
    """Every figure by name, and the share of positive events. Scores are not NaN; both classes are there."""
    return {
        "average_precision": round(average_precision(scores, labels), 6),
        "auc": round(auc(scores, labels), 6),
        "brier": round(brier(scores, labels), 6),
        "log_loss": round(log_loss(scores, labels), 6),
        "macro_f1": round(macro_f1(scores, labels), 6),
        "positives": round(float(labels.mean()), 6),
        "events": float(len(labels)),
    }


def counts(scores: Floats, labels: Mask) -> tuple[Floats, Floats]:
    """Events and positive events at or above each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return (ends + 1).astype(np.float64), np.cumsum(labels[order].astype(np.float64))[ends]
