"""count, rate, sum and mean: what a window adds up, in whole numbers, so that neither order nor batches show."""

import numpy as np

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.grid import PaneGrid
from operators.windows.saturation import saturate
from operators.windows.segments import Bools, Floats, Ints, Segments

LARGEST = 2.0**46
"""Of one value in its fixed point; greater ones never get here."""


def count(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Events in the window."""
    grid = cells.grid(feature)
    answers = _count(feature, cells, grid, grid.admit(segments.counted(feature.filter))).astype(np.float64)
    return _nulled(answers, grid)


def rate(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Events in the window for each `per_ms` of it: count * per_ms / over_ms."""
    return count(feature, segments, cells) * feature.per_ms / feature.over_ms


def total(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Sum of a column in the window, exact at `scale` decimals; 0 where the window is empty."""
    grid = cells.grid(feature)
    sums, _ = _sum(feature, segments, cells, grid)
    return _nulled(sums / 10.0**feature.scale, grid)


def mean(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Mean of a column over the values in the window; NULL where there are none."""
    grid = cells.grid(feature)
    sums, valued = _sum(feature, segments, cells, grid)
    counts = _count(feature, cells, grid, valued)
    means = np.full(segments.rows, np.nan)
    np.divide(sums / 10.0**feature.scale, counts, out=means, where=counts > 0)
    return _nulled(means, grid)


def _count(feature: FeaturePlan, cells: Cells, grid: PaneGrid, counted: Bools | None) -> Ints:
    field = f"{feature.fingerprint}.count"
    ring = cells.read(field).astype(np.int64)
    added = np.ones(grid.segments.rows, np.int64) if counted is None else counted.astype(np.int64)
    cells.write(field, grid.add(ring, added))
    return grid.sums(ring, added)


def _sum(feature: FeaturePlan, segments: Segments, cells: Cells, grid: PaneGrid) -> tuple[Ints, Bools]:
    """Totals in fixed point, and the rows that have a value which counts."""
    field = f"{feature.fingerprint}.sum"
    values = segments.numbers(feature.column)
    valued = ~np.isnan(values)
    counted = grid.admit(segments.counted(feature.filter))
    if counted is not None:
        valued &= counted
    fixed = np.rint(np.where(valued, values, 0.0) * 10.0**feature.scale)
    ring = cells.read(field).astype(np.int64, copy=False)
    added = saturate(grid, ring, np.clip(fixed, -LARGEST, LARGEST).astype(np.int64))
    cells.write(field, grid.add(ring, added))
    return grid.sums(ring, added), valued


def _nulled(answers: Floats, grid: PaneGrid) -> Floats:
    if grid.dropped is not None:
        answers[grid.dropped] = np.nan
    return answers
