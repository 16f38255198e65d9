"""The panes of a part in windows of one shape, and the two things a window does with them: add, and find the greatest.

Time is cut into panes of `pane_ms`. A ring holds an entity's newest pane and `panes` before it, the newest first. The
answer to an event covers the panes from its own back to the oldest of the ring, in what the row held and in what the
part brought before it.
"""

from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from operators.windows.late import LateRanges
from operators.windows.ranges import RangeGreatest
from operators.windows.segments import Bools, Ints, Segments

T = TypeVar("T", bound=np.generic)
Keys = npt.NDArray[np.uint64]


class PaneGrid:
    """Where each row of a part stands among the panes. Arrays over rows and segments are those of `Segments`.

    lag      int64 or None: panes between an event's own and the newest one of its entity; None where every event is in
             the newest
    dropped  bool or None: events older than the ring, whose answer is NULL; None where there are none
    refused  bool or None: events that count in no window, the same ones
    """

    def __init__(self, segments: Segments, pane_ms: int, panes: int) -> None:
        self.segments = segments
        self.panes = panes
        self.width = panes + 1
        seg = segments.seg
        self.pane = segments.time // pane_ms
        newest = self.pane if segments.ordered else segments.newest // pane_ms
        self.begin = segments.before // pane_ms
        self.end = segments.until // pane_ms
        self.still = bool((self.begin == self.end).all())
        """No pane leaves a ring inside the part."""
        self.lag: Ints | None = None
        self.dropped: Bools | None = None
        if not segments.ordered:
            lag = newest - self.pane
            self.lag = lag if lag.any() else None
            dropped = lag > panes
            self.dropped = dropped if dropped.any() else None
        self.refused = self.dropped
        self._newest = newest
        # Lags of the ring as it was before the part that an event still sees: [nearest, farthest], empty where
        # farthest < nearest.
        self._farthest = np.full(len(seg), panes) if self.still else panes - (newest - self.begin[seg])
        self._nearest = None if self.lag is None else np.maximum(self.begin[seg] - self.pane, 0)
        self._late: tuple[Ints, Ints, LateRanges] | None = None
        self._left = segments.start[seg]
        self._cut_expired()

    def _cut_expired(self) -> None:
        """Finds what an event sees of the part: rows [left, itself], or, out of order, ranges over panes."""
        s, seg = self.segments, self.segments.seg
        if self.lag is None:
            wide = self.end - self.pane[s.start] > self.panes
            late = np.zeros(len(s), np.bool_)
            lowest = self.pane[s.start]
        else:
            admitted = self.pane if self.dropped is None else np.where(self.dropped, np.iinfo(np.int64).max, self.pane)
            lowest = np.minimum.reduceat(admitted, s.start)
            late = np.logical_or.reduceat(self.lag > 0, s.start)
            wide = ~late & (self.end - lowest > self.panes)
        if wide.any():
            rows = np.flatnonzero(wide[seg])
            base = int(self.begin.min())
            span = int(self.end.max()) - base + 1
            axis = seg[rows] * np.int64(span) + (self._newest[rows] - base)
            oldest = np.maximum(self._newest[rows] - self.panes - base, 0)
            self._left[rows] = rows[np.searchsorted(axis, seg[rows] * np.int64(span) + oldest)]
        if self.lag is not None:
            self._order_late(np.flatnonzero(late[seg]), lowest)

    def _order_late(self, rows: Ints, lowest: Ints) -> None:
        """Prepares out-of-order segments; rows whose window is all that came before need no more than `left`."""
        assert self.lag is not None
        seg, pane, newest = self.segments.seg[rows].astype(np.int64), self.pane[rows], self._newest[rows]
        asks = (self.lag[rows] > 0) | (newest - self.panes > lowest[seg])
        if self.dropped is not None:
            asks &= ~self.dropped[rows]
        base = int(pane.min())
        span = int(newest.max()) - base + 1
        shelf = seg * span + (pane - base)
        shelves, rank = np.unique(shelf, return_inverse=True)
        asking = np.flatnonzero(asks)
        seg, pane, newest = seg[asking] * span - base, pane[asking], newest[asking]
        lowest_shelf = np.searchsorted(shelves, seg + np.maximum(newest - self.panes, base))
        highest_shelf = np.searchsorted(shelves, seg + pane, side="right")
        self._late = rows, rows[asking], LateRanges(rank, asking, lowest_shelf, highest_shelf)

    # what a window adds up

    def sums(self, ring: Ints, added: Ints) -> Ints:
        """The window's total at each row; `ring` over (segment, lag), `added` over rows, 0 where dropped."""
        seg = self.segments.seg
        if self.still and self.lag is None:
            held = ring.sum(axis=1)[seg]
        else:
            upto = np.zeros((len(ring), self.width + 1), np.int64)
            np.cumsum(ring, axis=1, out=upto[:, 1:])
            flat, first = upto.reshape(-1), seg * np.int64(self.width + 1)
            held = flat[first + np.maximum(self._farthest + 1, 0)]
            if self._nearest is not None:
                # A dropped row may lie before the ring; its answer is NULL.
                held -= flat[first + np.minimum(self._nearest, self.width)]
        upto = np.zeros(len(seg) + 1, np.int64)
        np.cumsum(added, out=upto[1:])
        brought = upto[1:] - upto[self._left]
        if self._late is not None:
            rows, asking, ranges = self._late
            brought[asking] = ranges.sums(added[rows])
        total: Ints = held + brought
        return total

    def add(self, ring: Ints, added: Ints) -> Ints:
        """The ring as it is after the part."""
        moved = self.advance(ring)
        kept, home = self.home
        np.add.at(moved.reshape(-1), home, added if kept is None else added[kept])
        return moved

    # what a window finds the greatest of

    def held(self, ring: Keys) -> Keys:
        """The greatest key of the ring, as it was before the part, that each row still sees; 0 where none."""
        seg = self.segments.seg
        if self.still and self.lag is None:
            newest: Keys = ring.max(axis=1)[seg]
            return newest
        first = seg * np.int64(self.width)
        nearest = first if self._nearest is None else first + self._nearest
        return RangeGreatest(ring.reshape(-1)).between(nearest, first + self._farthest)

    def brought(self, keys: Keys) -> Keys:
        """The greatest key of the part that each row sees; `keys` over rows, 0 where none or dropped."""
        greatest = RangeGreatest(keys).between(self._left, np.arange(len(keys)))
        if self._late is not None:
            rows, asking, ranges = self._late
            greatest[asking] = ranges.greatest(keys[rows])
        return greatest

    def raise_to(self, ring: Keys, keys: Keys) -> Keys:
        """The ring as it is after the part: the greater of what it held and what came."""
        moved = self.advance(ring)
        kept, home = self.home
        np.maximum.at(moved.reshape(-1), home, keys if kept is None else keys[kept])
        return moved

    # the ring after the part

    def advance(self, ring: npt.NDArray[T]) -> npt.NDArray[T]:
        """A copy of `ring` turned to each segment's last pane; panes that left are gone, new ones are 0."""
        ring = ring.copy()
        if not self.still:
            turned = np.flatnonzero(self.end > self.begin)
            source = np.arange(self.width) - np.minimum(self.end - self.begin, self.width)[turned, None]
            ring[turned] = np.where(source >= 0, np.take_along_axis(ring[turned], np.maximum(source, 0), axis=1), 0)
        return ring

    @cached_property
    def home(self) -> tuple[Ints | None, Ints]:
        """Rows that are still in the ring at the end (None for all), and the flat cell (segment, lag) of each."""
        seg = self.segments.seg
        lag = self.end[seg] - self.pane
        cell = seg * np.int64(self.width) + lag
        if not len(lag) or int(lag.max()) < self.width:
            return None, cell
        kept = np.flatnonzero(lag < self.width)
        return kept, cell[kept]

    def share(self) -> npt.NDArray[np.float32] | None:
        """Share of the window's panes that each event could see; None where all have all."""
        if self.lag is None:
            return None
        return (np.maximum(self.width - self.lag, 0) / self.width).astype(np.float32)

    def admit(self, counted: Bools | None) -> Bools | None:
        """Rows that count in this window, of those that a filter lets through; None for all."""
        if self.dropped is None:
            return counted
        return ~self.dropped if counted is None else counted & ~self.dropped
