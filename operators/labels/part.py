"""The way from changed labels to what one entity kind needs of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.keys import EntityKeys, entity_keys
from operators.labels.desk import Changes
from operators.plan import KindPlan
from operators.scatter import Part

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class LabelPart:
    """Changed labels of one kind's entities, in the order in which they became known; arrays are aligned.

    keys    Binary, no NULL
    before  int64, ascending: the row of the part before which the change is counted
    at      int64, when it is counted, ms on the ingest clock
    time    int64, time of the event
    told    int64, when windows were last told of `old`
    name    object, the label
    old     float64, NaN where there was none
    new     float64, NaN where it was taken back
    change  int64: which of the changes it is
    """

    keys: pl.Series
    before: Ints
    at: Ints
    time: Ints
    told: Ints
    name: npt.NDArray[np.object_]
    old: Floats
    new: Floats
    change: Ints

    def __len__(self) -> int:
        return len(self.before)

    def cut(self, start: int, stop: int, rows: int) -> "LabelPart":
        """Changes [start, stop) for a part that begins at row `rows`."""
        to = slice(start, stop)
        return LabelPart(
            self.keys[to], self.before[to] - rows, self.at[to], self.time[to], self.told[to], self.name[to], self.old[to],
            self.new[to], self.change[to],
        )  # fmt: skip


def scatter_labels(changes: Changes, plan: KindPlan, part: Part) -> LabelPart:
    """The changes that concern entities of kind `plan`, placed among the rows of its part."""
    found = changed_keys(changes, plan)
    row = found.row
    at = np.array(changes.at_ms, np.int64)[row]
    return LabelPart(
        keys=found.keys,
        # An event counts as later than a label where it was taken in at the moment the label became known.
        before=np.searchsorted(part.ingest, at, side="left").astype(np.int64),
        at=at,
        time=np.array(changes.event_ms, np.int64)[row],
        told=np.array(changes.told_ms, np.int64)[row],
        name=np.array(changes.name, object)[row],
        old=np.array(changes.old, np.float64)[row],
        new=np.array(changes.new, np.float64)[row],
        change=row,
    )


def changed_keys(changes: Changes, plan: KindPlan) -> EntityKeys:
    """The entities of kind `plan` that the changes concern."""
    return entity_keys(_frame([keys.get(plan.name) for keys in changes.keys], plan), plan)


def count_unread(changes: Changes, kinds: Mapping[str, KindPlan]) -> Counter[str]:
    """How many values that labels bring no window can count, whatever is known of their entities: `labels_unread`, of a
    name that no feature reads, and `labels_keyless`, of no entity that a feature reads for that name.

    They are kept all the same. Repeats and what is taken back are not counted again. O(changes).
    """
    old, new = np.array(changes.old, np.float64), np.array(changes.new, np.float64)
    news = ~np.isnan(new) & (old != new)
    names = np.array(changes.name, object)
    read, reached = np.zeros(len(changes), np.bool_), np.zeros(len(changes), np.bool_)
    for plan in kinds.values() if news.any() else ():
        if not plan.reads_labels:
            continue
        mine = np.isin(names, list({feature.label for feature in plan.features if feature.label is not None}))
        named = np.zeros(len(changes), np.bool_)
        named[changed_keys(changes, plan).row] = True
        read |= mine
        reached |= mine & named
    counts = {"labels_unread": int((news & ~read).sum()), "labels_keyless": int((news & read & ~reached).sum())}
    return Counter({name: number for name, number in counts.items() if number})


def _frame(named: list[str | list[str] | None], plan: KindPlan) -> pl.DataFrame:
    """The key columns of a kind, as an event would have them."""
    if plan.each is not None:
        lists = [[key] if isinstance(key, str) else key for key in named]
        return pl.DataFrame({plan.each: pl.Series(lists, dtype=pl.List(pl.String))})
    width = len(plan.key)
    rows = [[key] if isinstance(key, str) else key for key in named]
    fits = [row if row is not None and len(row) == width else [None] * width for row in rows]
    return pl.DataFrame(
        {column: pl.Series([row[i] for row in fits], dtype=pl.String) for i, column in enumerate(plan.key)}
    )
