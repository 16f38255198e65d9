"""The tables of distinct values in packed rows: the `cap` newest values as (hash, newest time), sorted by hash.

Only used entries are ever touched, so a large `cap` costs room but no time. Beside the table a row holds how many
entries are used and the oldest of their times, which tells without a look at them whether one has lapsed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.layout import ENTRY
from operators.plan import FeaturePlan
from operators.windows.cells import Cells, blocks
from operators.windows.segments import Bools, Ints, Segments

Hashes = npt.NDArray[np.uint64]
NEVER = np.iinfo(np.int64).min // 2


@dataclass(slots=True)
class Groups:
    """Different values of a part, in the order (segment, hash).

    `entry` is the value's place in its segment's table, or where it would be inserted if it is not `known`; `held` its
    time there (`NEVER` if not known); `newest` its newest time at the end of the segment.
    """

    seg: Ints
    hash: Hashes
    entry: Ints
    known: Bools
    held: Ints
    newest: Ints


class ValueTables:
    """The tables of one feature for the segments of a part."""

    def __init__(self, feature: FeaturePlan, segments: Segments, cells: Cells) -> None:
        self.cap = feature.cap
        self.segments = segments
        self.slot = cells.slot
        self.floor = segments.until - feature.over_ms
        """By segment: what is not newer has lapsed at its end."""
        self._used = cells.rows[f"{feature.fingerprint}.used"]
        self._oldest = cells.rows[f"{feature.fingerprint}.oldest"]
        table = cells.rows[f"{feature.fingerprint}.table"]
        self._hash, self._time = table["hash"], table["time"]
        self._table = blocks(cells.rows, f"{feature.fingerprint}.table", self.cap)
        self.used = cells.read(f"{feature.fingerprint}.used").astype(np.int64)
        self.oldest = self._oldest[self.slot]
        self._lapses = (self.used > 0) & (self.oldest <= self.floor)

    def find(self, seg: npt.NDArray[np.integer[Any]], hashes: Hashes) -> Groups:
        """Looks every value up in its segment's table by bisection; O(values log entries)."""
        slot, used = self.slot[seg], self.used[seg]
        low, high = np.zeros(len(seg), np.int64), used.copy()
        for _ in range(int(used.max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            below = self._hash[slot, np.minimum(middle, self.cap - 1)] < hashes
            below &= low < high
            high = np.where(below, high, middle)
            low = np.where(below, middle + 1, low)
        place = np.minimum(low, self.cap - 1)
        known = (low < used) & (self._hash[slot, place] == hashes)
        held = np.where(known, self._time[slot, place], NEVER)
        return Groups(seg.astype(np.int64), hashes, low, known, held, held)

    def entries(self, segs: Ints) -> tuple[Ints, Ints, Hashes]:
        """Segment, time and hash of all that the tables of some segments hold, in the order of the segments."""
        flat = _Flat(segs, self.used)
        slot = self.slot[flat.seg]
        return flat.seg, self._time[slot, flat.entry], self._hash[slot, flat.entry]

    def lapsing(self, groups: Groups) -> tuple[Ints, Ints]:
        """Segment and time of the entries that lapse inside the part without being seen in it."""
        flat = _Flat(np.flatnonzero(self._lapses), self.used)
        time = self._time[self.slot[flat.seg], flat.entry]
        lapses = time <= self.floor[flat.seg]
        seen = groups.known & self._lapses[groups.seg]
        lapses[flat.at(groups.seg[seen], groups.entry[seen])] = False
        return flat.seg[lapses], time[lapses]

    def settle(self, groups: Groups) -> None:
        """Leaves each entity's table as it is at the end of its last segment."""
        s = self.segments
        final = np.zeros(len(s), np.bool_)
        final[s.final] = True
        lives = groups.newest > self.floor[groups.seg]
        rebuilt = self._lapses | (s.fresh & (self._used[self.slot] > 0))
        rebuilt[groups.seg[lives & ~groups.known]] = True
        rebuilt &= final
        kept = groups.known & final[groups.seg] & ~rebuilt[groups.seg]
        self._renew(groups.seg[kept], groups.entry[kept], groups.held[kept], groups.newest[kept])
        if rebuilt.any():
            self._rebuild(np.flatnonzero(rebuilt), groups, lives, rebuilt)

    def _renew(self, seg: Ints, entry: Ints, held: Ints, newest: Ints) -> None:
        """Newer times for values that stay where they are."""
        self._time[self.slot[seg], entry] = newest
        aged = np.unique(seg[(held == self.oldest[seg]) & (newest > held)])
        if len(aged):
            flat = _Flat(aged, self.used)
            times = self._time[self.slot[flat.seg], flat.entry]
            self._oldest[self.slot[aged]] = np.minimum.reduceat(times, flat.first)

    def _rebuild(self, segs: Ints, groups: Groups, lives: Bools, rebuilt: Bools) -> None:
        """Tables that gain or lose values, written again."""
        flat = _Flat(segs, self.used)
        held = self._table[self.slot[flat.seg], flat.entry].view(ENTRY)
        hashes, times = held["hash"], held["time"]
        known = groups.known & rebuilt[groups.seg]
        times[flat.at(groups.seg[known], groups.entry[known])] = groups.newest[known]
        new = np.flatnonzero(lives & ~groups.known & rebuilt[groups.seg])

        # Both runs are sorted by (segment, hash); a new value goes before the entry at its place.
        stride = 2 * self.cap + 2
        place = np.append(flat.seg * stride + 2 * flat.entry + 1, groups.seg[new] * stride + 2 * groups.entry[new])
        order = np.argsort(place, kind="stable")
        seg = np.append(flat.seg, groups.seg[new])[order]
        hashes, times = np.append(hashes, groups.hash[new])[order], np.append(times, groups.newest[new])[order]
        alive = times > self.floor[seg]
        if not alive.all():
            seg, hashes, times = seg[alive], hashes[alive], times[alive]
        keep = self._newest(seg, times)
        seg, times = seg[keep], times[keep]

        used = np.bincount(seg, minlength=len(self.used))
        stored = self._used[self.slot].astype(np.int64)
        surplus = _Flat(segs, np.maximum(stored - used, 0))
        self._table[self.slot[surplus.seg], surplus.entry + used[surplus.seg]] = np.zeros(1, ENTRY).view("V16")
        written = _Flat(segs, used)
        entries = np.empty(len(times), ENTRY)
        entries["hash"], entries["time"] = hashes[keep], times
        self._table[self.slot[written.seg], written.entry] = entries.view("V16")
        self._used[self.slot[segs]] = used[segs]
        oldest = np.zeros(len(segs), np.int64)
        filled = np.flatnonzero(used[segs])
        if len(filled):
            oldest[filled] = np.minimum.reduceat(times, written.first[filled])
        self._oldest[self.slot[segs]] = oldest

    def _newest(self, seg: Ints, times: Ints) -> Bools | slice:
        """Which entries, sorted by (segment, hash), are among the `cap` newest (time, then hash) of their segment."""
        counts = np.bincount(seg, minlength=len(self.used))
        crowded = np.flatnonzero(counts > self.cap)
        if not len(crowded):
            return slice(None)
        # (segment, time, place in the order of hashes) in 64 bits, as 15 + 33 + 16: a window has less than 2^33 ms,
        # and a segment no more entries than a table and the rows of a part.
        number = np.full(len(self.used), -1)
        number[crowded] = np.arange(len(crowded))
        stops = np.cumsum(counts)
        at = np.flatnonzero(number[seg] >= 0)
        own = seg[at]
        place = at - (stops - counts)[own]
        key = (number[own] << 49).astype(np.uint64) | ((times[at] - self.floor[own]) << 16 | place).astype(np.uint64)
        stops = np.cumsum(counts[crowded])
        oldest = np.sort(key)[stops - self.cap]
        keep = np.ones(len(seg), np.bool_)
        keep[at] = key >= oldest[number[own]]
        return keep


class _Flat:
    """Entries of some segments' tables, one after the other: `seg` and `entry` of each, `first` of each table."""

    def __init__(self, segs: Ints, used: Ints) -> None:
        counts = used[segs]
        stops = np.cumsum(counts)
        self.first = stops - counts
        self.seg = np.repeat(segs, counts)
        self.entry = np.arange(len(self.seg)) - np.repeat(self.first, counts)
        self._segs = segs

    def at(self, seg: Ints, entry: Ints) -> Ints:
        """Where the given entries stand; their segments must be among those of the table."""
        place: Ints = self.first[np.searchsorted(self._segs, seg)] + entry if len(seg) else entry
        return place
