"""The cells of the entities of a part: read by segment, written back by entity."""

from typing import Any

import numpy as np
import numpy.typing as npt

from operators.layout import Rows
from operators.plan import FeaturePlan
from operators.windows.delayed import DelayedGrid
from operators.windows.grid import PaneGrid
from operators.windows.segments import Bools, Ints, Segments


class Cells:
    """Fields of packed rows as arrays over segments, and what several kernels of a part share."""

    def __init__(self, rows: Rows, slots: Ints, segments: Segments) -> None:
        """`slots` are the rows of the entities."""
        self.rows = rows
        self.slots = slots
        self.segments = segments
        self.slot = slots if segments.whole else slots[segments.entity]
        """Row of each segment's entity."""
        self.grids: dict[tuple[int, int, int], PaneGrid] = {}
        self.dropped: Bools | None = None
        """Events that were too old for some window."""
        self._fresh = segments.fresh if segments.fresh.any() else None

    def grid(self, feature: FeaturePlan) -> PaneGrid:
        """The panes of a feature's window; features with equal windows share one."""
        shape = feature.pane_ms, feature.panes, feature.delay_ms
        if shape not in self.grids:
            grid = DelayedGrid(self.segments, *shape) if feature.delay_ms else PaneGrid(self.segments, *shape[:2])
            self.drop(grid.dropped)
            self.drop(grid.refused)
            self.grids[shape] = grid
        return self.grids[shape]

    def drop(self, rows: Bools | None) -> None:
        """Notes events that a window did not take."""
        if rows is not None:
            self.dropped = rows if self.dropped is None else self.dropped | rows

    def read(self, field: str) -> npt.NDArray[Any]:
        """A copy of one field, first axis segments; zeros where a segment is fresh."""
        values = take(self.rows, field, self.slot)
        if self._fresh is not None:
            values[self._fresh] = 0
        return values

    def write(self, field: str, values: npt.NDArray[Any]) -> None:
        """Writes one field of every entity from `values` over segments: what its last segment has."""
        put(self.rows, field, self.slots, values if self.segments.whole else values[self.segments.final])


def take(rows: Rows, field: str, slots: Ints) -> npt.NDArray[Any]:
    """A copy of one field of some rows."""
    dtype = rows.dtype[field]
    return blocks(rows, field)[slots].view(dtype.base).reshape(len(slots), *dtype.shape)


def put(rows: Rows, field: str, slots: Ints, values: npt.NDArray[Any]) -> None:
    """Writes one field of some rows."""
    view = blocks(rows, field)
    view[slots] = np.ascontiguousarray(values, rows.dtype[field].base).reshape(-1).view(view.dtype)


def blocks(rows: Rows, field: str, parts: int | None = None) -> npt.NDArray[np.void]:
    """A field as plain bytes, or as `parts` of equal size (second axis): the same memory.

    NumPy copies plain bytes in one piece, structures field by field.
    """
    fields: Any = rows.dtype.fields
    dtype, offset = fields[field][:2]
    block = f"V{dtype.itemsize // (parts or 1)}"
    described: Any = {
        "names": ["block"],
        "formats": [block if parts is None else (block, (parts,))],
        "offsets": [offset],
        "itemsize": rows.dtype.itemsize,
    }
    view: npt.NDArray[np.void] = rows.view(np.dtype(described))["block"]
    return view
