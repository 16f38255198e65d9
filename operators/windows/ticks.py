"""The ticks of a part: how kernels that look back tick by tick walk through them without a loop over events or entities.

Time is cut into ticks of `tick_ms`. An event belongs to the newest tick that its entity had reached when it came, also
when the event itself is older: what is scored is what arrives. One that lies more than `MOST_LATE` ticks back is in none.
"""

from collections.abc import Iterator

import numpy as np

from operators.windows.segments import Bools, Ints, Segments

FEW = 8
"""A step of so many segments costs in NumPy what it costs in Python, one after the other."""
MOST_LATE = 10
"""Ticks that an event may lie behind the newest of its entity and still count."""


class Ticks:
    """Runs of rows of one segment in one tick, in the order of the rows.

    Arrays over rows: `group`, the run of each; `dropped`, those too old for any (None where there are none). Arrays over
    runs: `seg`, `tick`, `start`, and `rank`, the place among the runs of its segment.
    """

    def __init__(self, segments: Segments, tick_ms: int) -> None:
        self.segments = segments
        newest = segments.newest // tick_ms
        begins = np.empty(segments.rows, np.bool_)
        begins[0] = True
        np.not_equal(newest[1:], newest[:-1], out=begins[1:])
        begins[segments.start] = True
        self.group: Ints = np.cumsum(begins) - 1
        self.start = np.flatnonzero(begins)
        self.seg = segments.seg[self.start].astype(np.int64)
        self.tick: Ints = newest[self.start]
        first = self.group[segments.start]
        self.rank = np.arange(len(self.start)) - first[self.seg]
        self.last = np.append(first[1:], len(self.start)) - 1
        """By segment: its last run."""
        self.dropped: Bools | None = None
        if not segments.ordered:
            dropped = newest - segments.time // tick_ms > MOST_LATE
            self.dropped = dropped if dropped.any() else None

    def rounds(self, least: int = FEW) -> list[Ints]:
        """The first runs of all segments, then all second ones, and so on, as long as there are `least` segments left. In a
        round no segment occurs twice.
        """
        if len(self.start) == len(self.segments):
            return [np.arange(len(self.start))]
        sizes = np.bincount(self.rank)
        wide = max(1, int(np.count_nonzero(sizes >= least)))
        order = np.argsort(self.rank, kind="stable")
        return np.split(order, np.cumsum(sizes[:wide]))[:-1]

    def tails(self, rounds: int) -> Iterator[tuple[int, slice]]:
        """Segments that have more runs than there were rounds, and these runs."""
        for seg in np.flatnonzero(self.rank[self.last] >= rounds).tolist():
            last = int(self.last[seg])
            yield seg, slice(last - int(self.rank[last]) + rounds, last + 1)

    def counted(self, name: str | None) -> Bools | None:
        """Rows that count, of those that a filter lets through; None for all."""
        counted = self.segments.counted(name)
        if self.dropped is None:
            return counted
        return ~self.dropped if counted is None else counted & ~self.dropped

    def running(self, added: Ints) -> Ints:
        """Sum of `added`, over rows, from the start of each row's run up to the row itself."""
        upto: Ints = np.cumsum(added)
        before = upto[self.start] - added[self.start]
        running: Ints = upto - before[self.group]
        return running

    def sums(self, added: Ints) -> Ints:
        """Sum of `added`, over rows, in each run."""
        total: Ints = np.add.reduceat(added, self.start)
        return total
