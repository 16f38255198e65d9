"""min, max and last: what a window finds the greatest of.

Values become unsigned keys whose order is that of the values, 0 for none.
"""

import numpy as np

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.grid import Keys, PaneGrid
from operators.windows.segments import Bools, Floats, Segments

_SIGN = np.uint64(1 << 63)
_ALL = np.uint64((1 << 64) - 1)


def maximum(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Greatest value of a column in the window; NULL where there is none."""
    return _extreme(feature, segments, cells, np.uint64(0))


def minimum(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Least value of a column in the window; NULL where there is none."""
    return _extreme(feature, segments, cells, _ALL)


def last(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """The value with the greatest (event time, then arrival) in the window; NULL where there is none.

    Each pane keeps its newest value and that value's time plus 1, 0 where it has none.
    """
    grid = cells.grid(feature)
    values = segments.numbers(feature.column)
    base = int(segments.time.min())
    keys = ((segments.time - base + 1).astype(np.uint64) << np.uint64(16)) | np.arange(segments.rows).astype(np.uint64)
    keys[~_valued(feature, segments, grid, values)] = 0
    times = cells.read(f"{feature.fingerprint}.time")
    held = cells.read(f"{feature.fingerprint}.value")

    nearer = np.arange(grid.width, 0, -1).astype(np.uint64)
    pane = grid.held(np.where(times != 0, nearer, np.uint64(0)))
    lag = np.where(pane > 0, grid.width - pane.astype(np.int64), 0)
    held_time = np.where(pane > 0, times[segments.seg, lag], 0)
    held_value = np.where(pane > 0, held[segments.seg, lag], np.nan)
    brought = grid.brought(keys)
    row = (brought & np.uint64(0xFFFF)).astype(np.int64)
    newer = (brought > 0) & (segments.time[row] + 1 >= held_time)
    answers = np.where(newer, values[row], held_value)
    if grid.dropped is not None:
        answers[grid.dropped] = np.nan

    times, held = grid.advance(times), grid.advance(held)
    newest = grid.raise_to(np.zeros(times.shape, np.uint64), keys).reshape(-1)
    cell = np.flatnonzero(newest)
    row = (newest[cell] & np.uint64(0xFFFF)).astype(np.int64)
    wins = segments.time[row] + 1 >= times.reshape(-1)[cell]
    times.reshape(-1)[cell[wins]] = segments.time[row[wins]] + 1
    held.reshape(-1)[cell[wins]] = values[row[wins]]
    cells.write(f"{feature.fingerprint}.time", times)
    cells.write(f"{feature.fingerprint}.value", held)
    return answers


def _extreme(feature: FeaturePlan, segments: Segments, cells: Cells, flip: np.uint64) -> Floats:
    grid = cells.grid(feature)
    field = f"{feature.fingerprint}.greatest"
    values = segments.numbers(feature.column)
    bits = values.view(np.uint64)
    keys = np.where(bits & _SIGN, ~bits, bits | _SIGN) ^ flip
    keys[~_valued(feature, segments, grid, values)] = 0
    ring: Keys = cells.read(field).astype(np.uint64, copy=False)
    cells.write(field, grid.raise_to(ring, keys))
    found = np.maximum(grid.held(ring), grid.brought(keys))
    none = found == 0
    if grid.dropped is not None:
        none |= grid.dropped
    found ^= flip
    answers = np.where(found & _SIGN, found ^ _SIGN, ~found).view(np.float64)
    answers[none] = np.nan
    return answers


def _valued(feature: FeaturePlan, segments: Segments, grid: PaneGrid, values: Floats) -> Bools:
    valued = ~np.isnan(values)
    counted = grid.admit(segments.counted(feature.filter))
    return valued if counted is None else valued & counted
