"""distinct: how many different values an entity showed within the window, exact below `cap`; first_seen: whether one of
them is new.

A value lives while its newest time is later than `newest event time of the entity - over`. That a row keeps no more
than the `cap` newest values never shows: while a forgotten value would live, `cap` newer ones do. So an answer is the
number of lives that cover an event, counted by where lives begin and end.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.crowded import newer_values
from operators.windows.segments import Bools, Floats, Ints, Segments
from operators.windows.value_tables import NEVER, Groups, ValueTables


def distinct(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Different values in (newest event time - over, newest event time], at most `cap`; O(rows log rows + entries)."""
    answers: Floats = np.minimum(_lives(feature, segments, cells, False).alive, feature.cap).astype(np.float64)
    return answers


def first_seen(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """1 where an event shows a value that did not live before it, 0 where it is one of the `cap` newest that did; NULL for an
    event without a value, and for any other value where `cap` lived: it may be one that the table forgot.

    As costly as `distinct`; for entities with more than `cap` values O(rows log rows) more.
    """
    lives = _lives(feature, segments, cells, True)
    answers = np.full(segments.rows, np.nan)
    new = lives.born & (lives.alive[lives.row] <= feature.cap)
    answers[lives.row[new]] = 1.0
    answers[lives.row[lives.known]] = 0.0
    return answers


@dataclass(slots=True)
class _Lives:
    """`alive`: by row, the values that live behind it (true at least up to `cap`); `row`, `born` and `known`: the rows that
    show a value, whether it did not live before, and whether it did and was one of the `cap` newest."""

    alive: Ints
    row: Ints
    born: Bools
    known: Bools


def _lives(feature: FeaturePlan, segments: Segments, cells: Cells, ranked: bool) -> _Lives:
    """`known` is told only if `ranked`."""
    over = feature.over_ms
    if not segments.ordered:
        old = segments.time <= segments.newest - over
        cells.drop(old if old.any() else None)
    tables = ValueTables(feature, segments, cells)
    seen = _sightings(feature, segments)
    groups = tables.find(segments.seg[seen.row[seen.first]], seen.hash)
    newest = _running(segments, seen, groups)

    earlier = np.empty_like(newest)
    earlier[1:] = newest[:-1]
    earlier[seen.first] = groups.held
    born = earlier <= segments.newest[seen.row] - over
    change = np.bincount(seen.row[born], minlength=segments.rows)

    def ends(seg: npt.NDArray[np.integer[Any]], time: Ints) -> None:
        # Each of these ends before its segment does.
        if len(time):
            np.subtract.at(change, segments.first_reaching(seg, time + over), 1)

    again = np.flatnonzero(born & (earlier > NEVER))
    ends(segments.seg[seen.row[again]], earlier[again])
    groups.newest = newest[seen.stop - 1]
    gone = np.flatnonzero(groups.newest + over <= segments.until[groups.seg])
    ends(groups.seg[gone], groups.newest[gone])
    ends(*tables.lapsing(groups))

    running = np.append(0, np.cumsum(change))
    alive = running[1:] + (tables.used - running[segments.start])[segments.seg]
    known = ~born
    crowded = np.flatnonzero(known & (alive[seen.row] > feature.cap))
    if ranked and len(crowded):
        known[crowded] = _newer(segments, tables, seen, earlier, newest, crowded) < feature.cap
    tables.settle(groups)
    return _Lives(alive, seen.row, born, known)


def _newer(segments: Segments, tables: ValueTables, seen: "_Sightings", earlier: Ints, newest: Ints, at: Ints) -> Ints:
    """How many values were newer than that of each of the sightings `at`, just before it."""
    seg = segments.seg[seen.row].astype(np.int64)
    concerned = np.zeros(len(segments), np.bool_)
    concerned[seg[at]] = True
    picked = np.flatnonzero(concerned[seg])
    picked = picked[np.argsort(seen.row[picked], kind="stable")]
    place = np.empty(len(seg), np.int64)
    place[picked] = np.arange(len(picked))
    hashes = np.repeat(seen.hash, seen.stop - seen.first)
    kept = tables.entries(np.flatnonzero(concerned))
    return newer_values(seg[picked], earlier[picked], newest[picked], hashes[picked], kept, place[at])


@dataclass(slots=True)
class _Sightings:
    """Rows whose value counts, by (segment, hash, arrival); [first, stop) are the groups of one segment and hash."""

    row: Ints
    first: Ints
    stop: Ints
    hash: npt.NDArray[np.uint64]


def _sightings(feature: FeaturePlan, segments: Segments) -> _Sightings:
    hashes = segments.hashes(feature.column)
    counts = hashes != 0
    if not segments.ordered:
        counts &= segments.time > segments.newest - feature.over_ms
    filtered = segments.counted(feature.filter)
    if filtered is not None:
        counts &= filtered
    row = np.flatnonzero(counts)
    if not len(row):
        nothing = np.empty(0, np.int64)
        return _Sightings(nothing, nothing, nothing, np.empty(0, np.uint64))
    hashes = hashes[row]
    # Ranks of the hashes fit 16 bits, which sort by radix and so keep the order of arrival.
    by_hash = np.argsort(hashes)
    rises = np.append(0, np.cumsum(hashes[by_hash][1:] != hashes[by_hash][:-1]))
    rank = np.empty(len(row), np.uint16)
    rank[by_hash] = rises
    order = np.argsort(rank, kind="stable")
    order = order[np.argsort(segments.seg[row[order]], kind="stable")]
    row, rank, hashes = row[order], rank[order], hashes[order]
    seg = segments.seg[row]
    first = np.flatnonzero(np.append(True, (rank[1:] != rank[:-1]) | (seg[1:] != seg[:-1])))
    return _Sightings(row, first, np.append(first[1:], len(row)), hashes[first])


def _running(segments: Segments, seen: _Sightings, groups: Groups) -> Ints:
    """Newest time of its value behind each sighting."""
    time = segments.time[seen.row]
    if segments.ordered or not len(time):
        return time
    base = int(segments.time.min())
    time -= base
    # An older time that the row holds is below all of the part, so it is only cut off, never raised.
    time[seen.first] = np.maximum(time[seen.first], groups.held - base)
    span = int(time.max()) + 1
    shift = np.repeat(np.arange(len(seen.first)) * span, seen.stop - seen.first)
    newest: Ints = np.maximum.accumulate(time + shift) - shift + base
    return newest
