"""A part in the order of its entities: the common ground of all window kernels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.scatter import hash_name

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_ROWS = 32_768
"""Rows that are ordered at once: their positions fit 16 bits, which sort by radix and pack beside a time in 64 bits."""


class Segments:
    """Rows of a part sorted by (entity, arrival) and cut into segments.

    A segment is a run of one entity's events between which its state does not lapse; only an entity's first segment
    may begin with what its row holds, and only its last one is written back. Arrays over rows are in sorted order:

    order    position in the part of each row
    seg      uint16, segment of each row; segments are numbered in this order
    time     event time, ms
    newest   greatest event time of the segment so far, this event and the row's state included

    Arrays over segments: `entity` (index of the entity), `start` and `stop` (rows), `fresh` (nothing is remembered),
    `before` (greatest event time before the segment, the first event's time where fresh), `until` (greatest event time
    at its end). `final` are the segments that are written back, one for each entity, in the order of the entities.
    """

    def __init__(
        self,
        codes: npt.NDArray[np.uint16],
        time: Ints,
        ingest: Ints,
        columns: Mapping[str, npt.NDArray[Any]],
        head: npt.NDArray[np.void],
        longest_ms: int,
        mute: bool = False,
        since: Mapping[str, int] | None = None,
    ) -> None:
        """`codes` number the entities 0..len(head)-1, each of which occurs; `mute`: events only ask, none counts; `since`: see
        `Part`."""
        rows = len(codes)
        self.columns = columns
        self.since = since or {}
        self.silent: Bools | None = None
        """Rows that only add and have no answer; None for none."""
        self.mute = mute
        self.order = np.argsort(codes, kind="stable")
        self.time = time[self.order]
        ingest = ingest[self.order]
        codes = codes[self.order]
        begins = np.empty(rows, np.bool_)
        begins[0] = True
        np.not_equal(codes[1:], codes[:-1], out=begins[1:])
        first = np.flatnonzero(begins)
        known = head["used"] != 0
        lapsed = ~known | (ingest[first] - head["last_ingest"] > longest_ms)
        ingest = running(ingest, begins, np.where(known, head["last_ingest"], ingest[first]))
        self.last_ingest = ingest[np.append(first[1:], rows) - 1]
        if rows > 1 and int(ingest.max()) - int(ingest.min()) > longest_ms:
            gap = np.flatnonzero((ingest[1:] - ingest[:-1] > longest_ms) & ~begins[1:]) + 1
            begins[gap] = True
        self.start = np.flatnonzero(begins)
        self.stop = np.append(self.start[1:], rows)
        self.seg = np.repeat(np.arange(len(self.start), dtype=np.uint16), self.stop - self.start)
        self.entity = codes[self.start].astype(np.int64)
        self.whole = len(self.start) == len(head)
        """No state lapses inside the part: one segment for each entity."""
        self.fresh = lapsed
        self.final = np.arange(len(head))
        if not self.whole:
            opens = np.append(True, self.entity[1:] != self.entity[:-1])
            self.fresh = ~opens | lapsed[self.entity]
            self.final = np.flatnonzero(np.append(opens[1:], True))
        self.before = np.where(self.fresh, self.time[self.start], head["t_max"][self.entity])
        self.newest = running(self.time, begins, self.before)
        self.ordered = self.newest is self.time
        """No event is older than one before it."""
        self.until = self.newest[self.stop - 1]
        self._axis: Ints | None = None
        self._base = self._span = 0

    def __len__(self) -> int:
        return len(self.start)

    @property
    def rows(self) -> int:
        return len(self.seg)

    def column(self, name: str) -> npt.NDArray[Any] | None:
        """A column of the part in sorted order; None where the part, cut for an older program, does not have it."""
        values = self.columns.get(name)
        return None if values is None else values[self.order]

    def numbers(self, name: str | None) -> Floats:
        """A numeric column in sorted order: NaN for NULL, and everywhere where the part does not have the column."""
        values = self.column(name) if name is not None else None
        return np.full(self.rows, np.nan) if values is None else values.astype(np.float64, copy=False)

    def hashes(self, name: str | None) -> npt.NDArray[np.uint64]:
        """Hashes of a column in sorted order: 0 for NULL, and everywhere where the part does not have the column."""
        values = self.column(hash_name(name)) if name is not None else None
        return np.zeros(self.rows, np.uint64) if values is None else values.astype(np.uint64, copy=False)

    def counted(self, name: str | None) -> Bools | None:
        """Rows that a filter lets through; None for all."""
        if self.mute:
            return np.zeros(self.rows, np.bool_)
        if name is None:
            return None
        mask = self.column(name)
        return np.zeros(self.rows, np.bool_) if mask is None else mask.astype(np.bool_, copy=False)

    def first_reaching(self, seg: npt.NDArray[np.integer[Any]], time: Ints) -> Ints:
        """The first row of each segment whose `newest` reaches `time`, its stop where none does; O(k log rows)."""
        if self._axis is None:
            self._base = int(self.before.min())
            self._span = int(self.newest.max()) - self._base + 2
            self._axis = self.seg.astype(np.int64) * self._span + (self.newest - self._base)
        clipped = np.clip(time - self._base, 0, self._span - 1)
        return np.searchsorted(self._axis, seg.astype(np.int64) * self._span + clipped)


def running(values: Ints, begins: Bools, initial: Ints) -> Ints:
    """Running maximum from `initial` in each run of rows; `values` itself where nothing falls."""
    first = np.flatnonzero(begins)
    rises = (values[1:] >= values[:-1]) | begins[1:]
    if rises.all() and (values[first] >= initial).all():
        return values
    base = min(int(values.min()), int(initial.min()))
    span = max(int(values.max()), int(initial.max())) - base + 1
    raised = values - base
    raised[first] = np.maximum(raised[first], initial - base)
    shift = (np.cumsum(begins) - 1) * span
    running: Ints = np.maximum.accumulate(raised + shift) - shift + base
    return running
