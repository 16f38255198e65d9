"""The panes of a window that ends some time before the event: `delay:`.

An event counts in the pane of its own time, and asks for the panes of an earlier one. So the ring is longer than the
window by the panes of the delay, and what an event asks for is a range inside it.
"""

import numpy as np
import numpy.typing as npt

from operators.windows.grid import Keys, PaneGrid
from operators.windows.late import LateRanges
from operators.windows.ranges import RangeGreatest
from operators.windows.segments import Bools, Ints, Segments


class DelayedGrid(PaneGrid):
    """As `PaneGrid`, for a window of `panes` that ends `delay_ms` before each event.

    With p = (time - delay) // pane_ms and P = (newest - delay) // pane_ms the answer covers the panes [P - panes, p].
    `dropped` are events whose own window is gone (p < P - panes); `refused` those whose pane is in no window any more.
    """

    def __init__(self, segments: Segments, pane_ms: int, panes: int, delay_ms: int) -> None:
        self.segments = segments
        self.panes = panes
        self.width = panes + 1 + -(-delay_ms // pane_ms)
        self.pane = segments.time // pane_ms
        self.begin = segments.before // pane_ms
        self.end = segments.until // pane_ms
        self.still = bool((self.begin == self.end).all())
        self.lag = None
        self._high: Ints = (segments.time - delay_ms) // pane_ms
        self._low: Ints = (segments.newest - delay_ms) // pane_ms - panes
        self.dropped = _some(self._high < self._low)
        self.refused = _some(self.pane < self._low)
        ring = self.begin[segments.seg]
        self._near = np.minimum(np.maximum(ring - self._high, 0), self.width)
        self._far = np.minimum(ring - self._low, self.width - 1)
        self._ranges = self._brought()

    def _brought(self) -> tuple[Ints, Ints, LateRanges] | None:
        """Ranges over what the part itself brought, where a window reaches that far: rows, those that ask, answers."""
        seg = self.segments.seg.astype(np.int64)
        lowest = np.minimum.reduceat(self.pane, self.segments.start)
        asks = self._high >= np.maximum(lowest[seg], self._low)
        if self.segments.silent is not None:
            asks &= ~self.segments.silent
        if not asks.any():
            return None
        busy = np.zeros(len(self.segments), np.bool_)
        busy[seg[asks]] = True
        rows = np.flatnonzero(busy[seg])
        seg, pane = seg[rows], self.pane[rows]
        base, span = int(pane.min()), int(pane.max() - pane.min()) + 1
        shelves, rank = np.unique(seg * span + (pane - base), return_inverse=True)
        asking = np.flatnonzero(asks[rows])
        seg = seg[asking] * span
        low = np.clip(self._low[rows[asking]] - base, 0, span)
        high = np.clip(self._high[rows[asking]] + 1 - base, 0, span)
        ranges = LateRanges(rank, asking, np.searchsorted(shelves, seg + low), np.searchsorted(shelves, seg + high))
        return rows, rows[asking], ranges

    def sums(self, ring: Ints, added: Ints) -> Ints:
        """The window's total at each row; `ring` over (segment, lag), `added` over rows, 0 where refused."""
        upto = np.zeros((len(ring), self.width + 1), np.int64)
        np.cumsum(ring, axis=1, out=upto[:, 1:])
        first = self.segments.seg * np.int64(self.width + 1)
        flat = upto.reshape(-1)
        total: Ints = flat[first + np.maximum(self._far + 1, self._near)] - flat[first + self._near]
        if self._ranges is not None:
            rows, asking, ranges = self._ranges
            total[asking] += ranges.sums(added[rows])
        return total

    def held(self, ring: Keys) -> Keys:
        """The greatest key of the ring, as it was before the part, in each row's window; 0 where none."""
        first = self.segments.seg * np.int64(self.width)
        return RangeGreatest(ring.reshape(-1)).between(first + self._near, first + self._far)

    def brought(self, keys: Keys) -> Keys:
        """The greatest key of the part in each row's window; `keys` over rows, 0 where none or refused."""
        greatest = np.zeros(len(keys), np.uint64)
        if self._ranges is not None:
            rows, asking, ranges = self._ranges
            greatest[asking] = ranges.greatest(keys[rows])
        return greatest

    def share(self) -> npt.NDArray[np.float32] | None:
        """Share of its window's panes that each event could see; None where all have all."""
        if self.segments.ordered:
            return None
        seen = np.maximum(self._high - self._low + 1, 0)
        return (seen / (self.panes + 1)).astype(np.float32)

    def admit(self, counted: Bools | None) -> Bools | None:
        """Rows that count in some window, of those that a filter lets through; None for all."""
        if self.refused is None:
            return counted
        return ~self.refused if counted is None else counted & ~self.refused


def _some(rows: Bools) -> Bools | None:
    return rows if rows.any() else None
