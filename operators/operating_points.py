"""Operating points: the score from which on a model has a wanted precision, recall, or number of alerts a day.

Taken from the counts of the calibration set that the manifest holds, at the scores that it holds them for.
"""

from dataclasses import dataclass

from schemas.manifest import Curve, Point

POINTS: tuple[Point, ...] = ("precision", "recall", "alerts_per_day")


class UnreachableError(ValueError):
    """The calibration set has no such point; the text says what is the nearest."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what it did on the calibration set."""

    threshold: float
    flagged: int
    caught: int
    positives: int
    alerts_per_day: float


def point_name(point: str, wanted: float) -> str:
    """How an operating point is written in records and verdicts.

    >>> point_name("precision", 0.95)
    'precision=0.95'
    """
    return f"{point}={wanted:.12g}"


def operating_point(curve: Curve, point: Point, wanted: float) -> OperatingPoint:
    """The point of a curve that meets the wish and flags most (precision, alerts_per_day) or least (recall).

    Raises UnreachableError where none does. O(points).
    """
    found = [
        OperatingPoint(score, flagged, caught, curve.positives, flagged / curve.days)
        for score, flagged, caught in zip(curve.scores, curve.flagged, curve.caught, strict=True)
    ]
    if point == "precision":
        meeting = [one for one in found if one.caught >= wanted * one.flagged]
        best = max(found, key=lambda one: (one.caught / one.flagged, one.flagged))
        nearest = f"the best is {best.caught / best.flagged:.3g}, from {best.threshold:.6g} on ({best.flagged} events)"
    elif point == "recall":
        if not curve.positives:
            raise UnreachableError("its calibration set has no positive event")
        meeting = [one for one in reversed(found) if one.caught >= wanted * curve.positives]
        nearest = f"the most is {found[-1].caught / curve.positives:.3g}"
    else:
        meeting = [one for one in found if one.alerts_per_day <= wanted]
        nearest = f"the fewest are {found[0].alerts_per_day:.3g}, from {found[0].threshold:.6g} on"
    if not meeting:
        raise UnreachableError(f"{point_name(point, wanted)} is not reached on its calibration set: {nearest}")
    return meeting[-1]
