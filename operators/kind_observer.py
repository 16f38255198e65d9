"""The state of one entity kind: rows in, answers out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.calibration import Calibration
from operators.entity_table import EntityTable, heads
from operators.labels.part import LabelPart
from operators.layout import Layout, Rows
from operators.plan import KindPlan
from operators.scatter import Part
from operators.store import Store
from operators.windows import KERNELS
from operators.windows.cells import Cells, put, take
from operators.windows.labelled import Labelled, labelled
from operators.windows.segments import MOST_ROWS, Bools, Floats, Ints, Segments

_LEAST_CUT = 256


@dataclass(slots=True)
class PartAnswer:
    """What a part's events see, aligned with the part.

    values        by feature: float64, NaN for NULL
    flags         uint64, bits of the entity's lists
    coverage      float32, share of the panes that still counted for the event, of the window with the least; None
                  where it is 1 everywhere
    late_dropped  rows that were too old for a window
    """

    values: dict[str, Floats]
    flags: npt.NDArray[np.uint64]
    coverage: npt.NDArray[np.float32] | None
    late_dropped: int
    unknown: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Changes of labels, by their number, that came for an entity that was not known."""
    too_late: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Changes of labels that no window reaches any more."""


class KindObserver:
    """Keeps the rows of one entity kind over a store.

    The store is only read here: the owner writes what `take_dirty` gives, together with `layouts`, at a moment of its
    choice, but soon after `needs_flush`. Answers and rows depend on the order of the events alone, not on how they are
    cut into parts or on the cache.
    """

    def __init__(self, plan: KindPlan, store: Store, cache_bytes: int = 256 << 20) -> None:
        self.plan = plan
        self.layouts: dict[int, Layout] = {}
        """Every layout that a stored row may have, by fingerprint."""
        layout = Layout.of(plan)
        self.know(layout)
        self._table = EntityTable(layout, store, cache_bytes, self.layouts)
        self._calibration = Calibration(store)

    def know(self, layout: Layout) -> None:
        """Adds a layout that rows in the store may have."""
        self.layouts[layout.fingerprint] = layout

    def replan(self, plan: KindPlan) -> None:
        """Goes on under another plan: features with an equal fingerprint keep their state, new ones start empty."""
        layout = Layout.of(plan)
        self.know(layout)
        self._table.relayout(layout)
        self.plan = plan

    # events

    def update(self, part: Part, labels: LabelPart | None = None) -> PartAnswer:
        """Counts the events of a part, and the labels among them, and gives what each event sees.

        O(rows log rows), Python only once an entity.
        """
        answer = self._count(part, labels)
        if self.plan.tests:
            answer.values.update(self._calibration.update(self.plan.tests, part, answer.values))
        return answer

    def _count(self, part: Part, labels: LabelPart | None) -> PartAnswer:
        # Rows in use cannot be evicted, so what is looked at together is a quarter of the cache at most.
        size = min(MOST_ROWS, max(_LEAST_CUT, self._table.cache_bytes // (4 * self._table.row_bytes)))
        pieces = list(_pieces(part, labels, size))
        if len(pieces) <= 1:
            return self._update(part, labels) if pieces else self._nothing()
        return one_answer([self._update(*piece) for piece in pieces])

    def _nothing(self) -> PartAnswer:
        values = {feature.name: np.empty(0) for feature in self.plan.features}
        return PartAnswer(values, np.empty(0, np.uint64), None, 0)

    def _update(self, part: Part, labels: LabelPart | None) -> PartAnswer:
        if labels is None or not len(labels):
            slots, codes = self._locate(part.keys)
            seen = self._labelled(part, _no_labels(part), slots[codes])
        else:
            both, places = self._locate(pl.concat([labels.keys, part.keys]))
            seen = self._labelled(part, labels, both[places])
            found, codes = np.unique(places[len(labels) :], return_inverse=True)
            slots, codes = both[found], codes.astype(np.uint16)
        answer = _run(self.plan, self._table.rows, slots, codes, part, seen) if len(part) else self._nothing()
        self._table.mark_dirty(slots)
        if seen is not None:
            self._table.mark_dirty(seen.slots)
            answer.unknown, answer.too_late = seen.unknown, seen.late
        return answer

    def _locate(self, keys: pl.Series) -> tuple[Ints, npt.NDArray[np.uint16]]:
        """Rows of the different entities, and the number of each key's among them."""
        encoded = keys.to_arrow().dictionary_encode()
        slots = self._table.locate(pl.Series(encoded.dictionary, dtype=pl.Binary).to_list())
        return slots, encoded.indices.to_numpy().astype(np.uint16)

    def _labelled(self, part: Part, labels: LabelPart, slots: Ints) -> Labelled | None:
        if not self.plan.reads_labels:
            return None
        return labelled(self.plan, self._table.rows, slots, part, labels)

    # lists

    def mark_list(self, name: str, add: Sequence[bytes] = (), remove: Sequence[bytes] = ()) -> None:
        """Puts entities on a list and takes others off; O(keys).

        Give long lists in pieces, and take the dirty rows between them.

        Raises ValueError for a list that the kind does not have.
        """
        if name not in self.plan.lists:
            raise ValueError(
                f"entity {self.plan.name} has no list {name}: it has {', '.join(self.plan.lists) or 'none'}"
            )
        bit = np.uint64(1 << self.plan.lists.index(name))
        for keys, on in ((add, True), (remove, False)):
            slots = self._table.locate(list(dict.fromkeys(keys)))
            flags = self._table.rows["head"]["flags"][slots]
            changed = (flags & bit == 0) == on
            self._table.rows["head"]["flags"][slots] = flags | bit if on else flags & ~bit
            self._table.mark_dirty(slots[changed])

    # what the owner writes, sweeps and shows

    @property
    def cached(self) -> int:
        """Entities with a row in memory."""
        return len(self._table)

    @property
    def dirty_bytes(self) -> int:
        """Memory of the rows that changed since they were last taken."""
        return self._table.dirty_bytes

    @property
    def needs_flush(self) -> bool:
        """True when half of the cache may not be evicted before it is written."""
        return 2 * self.dirty_bytes > self._table.cache_bytes

    def take_dirty(self) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of the rows that changed since the last call, and of what p-values are made of."""
        keys, values = self._table.take_dirty()
        for key, value in self._calibration.take_dirty():
            keys.append(key)
            values.append(value)
        return keys, values

    def expired(self, values: Sequence[bytes], now_ms: int) -> Bools:
        """Which stored values can be deleted: idle on the ingest clock for twice the longest window, and on no list."""
        head = heads(values)
        idle = (head["used"] == 0) | (now_ms - head["last_ingest"] > 2 * self.plan.longest_ms)
        gone: Bools = idle & (head["flags"] == 0)
        return gone

    def read(self, key: bytes, at_ms: int) -> dict[str, object]:
        """One entity as an event at `at_ms`, in which nothing counts, would see it. Changes nothing.

        `features` by name (None for NULL), `lists`, `first_seen`, `last_seen` (event times in ms, None for an entity
        that is not known or idle for longer than its longest window), `late_dropped`.
        """
        row = self._table.peek(key)
        head = row["head"][0].copy()
        at = np.array([at_ms], np.int64)
        part, slot = Part(pl.Series([key]), at, at, at, {}), np.zeros(1, np.int64)
        seen = labelled(self.plan, row, slot, part, _no_labels(part), mute=True) if self.plan.reads_labels else None
        known = bool(head["used"]) and at_ms - int(head["last_ingest"]) <= self.plan.longest_ms
        answer = _run(self.plan, row, slot, np.zeros(1, np.uint16), part, seen, mute=True)
        features = {name: None if np.isnan(value[0]) else float(value[0]) for name, value in answer.values.items()}
        return {
            "features": features,
            "lists": [name for bit, name in enumerate(self.plan.lists) if int(head["flags"]) >> bit & 1],
            "first_seen": int(head["first_seen"]) if known else None,
            "last_seen": int(head["t_max"]) if known else None,
            "late_dropped": int(head["late_dropped"]) if known else 0,
        }


def one_answer(answers: Sequence[PartAnswer]) -> PartAnswer:
    """The answer of a part from those of its pieces, in their order and under one plan; there is one at least."""
    if len(answers) == 1:
        return answers[0]
    coverage = None
    if any(a.coverage is not None for a in answers):
        whole = (np.ones(len(a.flags), np.float32) if a.coverage is None else a.coverage for a in answers)
        coverage = np.concatenate(list(whole))
    return PartAnswer(
        {name: np.concatenate([a.values[name] for a in answers]) for name in answers[0].values},
        np.concatenate([a.flags for a in answers]),
        coverage,
        sum(a.late_dropped for a in answers),
        np.concatenate([a.unknown for a in answers]),
        np.concatenate([a.too_late for a in answers]),
    )


def _pieces(part: Part, labels: LabelPart | None, size: int) -> Iterator[tuple[Part, LabelPart | None]]:
    """A part, and the labels among its rows, in pieces of at most `size` rows and labels together."""
    if labels is None or not len(labels):
        for start in range(0, len(part), size):
            yield part.cut(start, min(start + size, len(part))) if len(part) > size else part, None
        return
    together = np.arange(len(labels)) + labels.before
    begin_row = begin_label = 0
    for stop in range(size, len(part) + len(labels) + size, size):
        end_label = int(np.searchsorted(together, stop))
        end_row = min(stop - end_label, len(part))
        yield part.cut(begin_row, end_row), labels.cut(begin_label, end_label, begin_row)
        begin_row, begin_label = end_row, end_label


def _no_labels(part: Part) -> LabelPart:
    none, nothing = np.empty(0, np.int64), np.empty(0, np.float64)
    return LabelPart(part.keys.clear(), none, none, none, none, np.empty(0, object), nothing, nothing, none)


def _run(
    plan: KindPlan,
    rows: Rows,
    slots: Ints,
    codes: npt.NDArray[np.uint16],
    part: Part,
    seen: Labelled | None = None,
    mute: bool = False,
) -> PartAnswer:
    """Counts a part in `rows` at `slots`, one for each of the entities that `codes` number, and gives its answer.

    `seen`: what its events see of labels, which are counted before."""
    head = take(rows, "head", slots)
    segments = Segments(codes, part.time, part.ingest, part.columns, head, plan.longest_ms, mute, part.since)
    cells = Cells(rows, slots, segments)
    back = np.empty_like(segments.order)
    back[segments.order] = np.arange(len(back))
    found: dict[str, Floats] = {} if seen is None else dict(seen.values)
    if seen is not None and seen.dropped is not None:
        cells.drop(seen.dropped[segments.order])
    for feature in plan.features:
        if feature.fingerprint not in found:
            found[feature.fingerprint] = KERNELS[feature.aggregate](feature, segments, cells)[back]
    answer = PartAnswer(
        values={feature.name: found[feature.fingerprint] for feature in plan.features},
        flags=head["flags"][codes],
        coverage=_coverage(cells, back, seen),
        late_dropped=0 if cells.dropped is None else int(np.count_nonzero(cells.dropped)),
    )
    put(rows, "head", slots, _after(head, segments, cells))
    return answer


def _coverage(cells: Cells, back: Ints, seen: Labelled | None) -> npt.NDArray[np.float32] | None:
    least = None if seen is None or seen.share is None else seen.share[cells.segments.order]
    for grid in cells.grids.values():
        share = grid.share()
        if share is not None:
            least = share if least is None else np.minimum(least, share)
    return None if least is None else least[back]


def _after(head: Rows, segments: Segments, cells: Cells) -> Rows:
    """The headers behind a part."""
    final = segments.final
    fresh = segments.fresh[final]
    head["first_seen"] = np.where(fresh, segments.time[segments.start[final]], head["first_seen"])
    head["t_max"] = segments.until[final]
    head["last_ingest"] = segments.last_ingest
    head["used"] = 1
    dropped = np.where(fresh, 0, head["late_dropped"]).astype(np.int64)
    if cells.dropped is not None:
        dropped += np.add.reduceat(cells.dropped.astype(np.int64), segments.start)[final]
    head["late_dropped"] = np.minimum(dropped, np.iinfo(np.uint32).max)
    return head
