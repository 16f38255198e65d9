"""The minimum of a smooth convex function, by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5)."""

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
_REMEMBERED = 10
_ENOUGH, _STEEP = 1e-4, 0.9
"""A step must lower the value by this share of what its slope promises, and leave at most this share of the slope."""


def minimum(
    function: Callable[[Vector], tuple[float, Vector]], start: Vector, tolerance: float = 1e-4, most: int = 300
) -> Vector:
    """Where `function` (value and gradient) is least: until the gradient has fallen to `tolerance` of its first norm.

    `most` evaluations at most; what was best then is good enough for a classifier.
    """
    x, (value, gradient) = start, function(start)
    goal = tolerance * max(1e-12, float(np.linalg.norm(gradient)))
    pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=_REMEMBERED)
    step = min(1.0, 1.0 / max(1e-12, float(np.linalg.norm(gradient))))
    while most > 0 and np.linalg.norm(gradient) > goal:
        direction = -_scaled(gradient, pairs)
        slope = float(direction @ gradient)
        low, high = 0.0, np.inf
        while True:  # weak Wolfe conditions by bisection
            near, (found, turned) = x + step * direction, function(x + step * direction)
            most -= 1
            if found > value + _ENOUGH * step * slope:
                high = step
            elif turned @ direction < _STEEP * slope:
                low = step
            else:
                break
            if most <= 0 or high - low < 1e-12:
                break
            step = 2 * step if high == np.inf else (low + high) / 2
        if found > value:
            break  # rounding is all that is left
        change, bend = near - x, turned - gradient
        if change @ bend > 0:
            pairs.append((change, bend, 1.0 / float(change @ bend)))
        x, value, gradient, step = near, found, turned, 1.0
    return x


def _scaled(gradient: Vector, pairs: deque[tuple[Vector, Vector, float]]) -> Vector:
    """The gradient times the inverse curvature that the last steps have shown."""
    result, shares = gradient.copy(), []
    for change, bend, rho in reversed(pairs):
        shares.append(rho * float(change @ result))
        result -= shares[-1] * bend
    if pairs:
        change, bend, rho = pairs[-1]
        result /= rho * float(bend @ bend)
    for (change, bend, rho), share in zip(pairs, reversed(shares), strict=True):
        result += (share - rho * float(bend @ result)) * change
    return result
