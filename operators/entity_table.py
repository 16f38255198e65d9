"""Rows of hot entities in one array; the others stay in the store and come in one call a batch."""

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from operators.layout import HEAD, Layout, LayoutError, Rows
from operators.store import Store

Slots = npt.NDArray[np.int64]

_PER_ROW = 200
"""Bytes of memory that a cached row costs beside itself: the key, its entry in the index, the columns of this table."""
_LEAST_ROWS = 64


class EntityTable:
    """A bounded cache of rows over a store, written back only by `take_dirty`.

    A slot is the position of an entity's row in `rows`; it holds until the next call of `locate`. Dirty rows are never
    evicted, so the table grows past its bound until they are taken. What a row holds never depends on what is cached.
    """

    def __init__(self, layout: Layout, store: Store, cache_bytes: int, layouts: Mapping[int, Layout]) -> None:
        self.layout = layout
        self.store = store
        self.cache_bytes = cache_bytes
        self.layouts = layouts
        self.rows: Rows = layout.empty(0)
        self._index: dict[bytes, int] = {}
        self._keys = np.empty(0, object)
        self._touched = np.empty(0, np.int64)
        self._dirty = np.empty(0, np.bool_)
        self._free = np.empty(0, np.int64)
        self._turn = 0

    def __len__(self) -> int:
        return len(self._index)

    @property
    def row_bytes(self) -> int:
        """Memory of one cached row."""
        return self.layout.dtype.itemsize + _PER_ROW

    @property
    def dirty_bytes(self) -> int:
        return int(np.count_nonzero(self._dirty)) * self.row_bytes

    def locate(self, keys: Sequence[bytes]) -> Slots:
        """The slot of each of `keys` (all different); rows that are not cached are loaded in one call. O(keys)."""
        self._turn += 1
        slots = np.fromiter(map(self._index.get, keys, repeat(-1)), np.int64, len(keys))
        missing = np.flatnonzero(slots < 0)
        if len(missing):
            self._touched[slots[slots >= 0]] = self._turn
            absent = list(keys) if len(missing) == len(keys) else [keys[i] for i in missing.tolist()]
            rows = self.decode(self.store.get_many(absent))
            free = self._take_slots(len(absent))
            as_bytes(self.rows)[free] = as_bytes(rows)
            self._keys[free] = absent
            self._index.update(zip(absent, free.tolist(), strict=True))
            slots[missing] = free
        self._touched[slots] = self._turn
        return slots

    def mark_dirty(self, slots: Slots) -> None:
        self._dirty[slots] = True

    def take_dirty(self) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of every row that changed since the last call, which are clean from here on."""
        slots = np.flatnonzero(self._dirty)
        self._dirty[slots] = False
        return self._keys[slots].tolist(), as_bytes(self.rows)[slots].tolist()

    def peek(self, key: bytes) -> Rows:
        """A copy of one entity's row, without a change to the cache."""
        slot = self._index.get(key)
        return self.decode(self.store.get_many([key])) if slot is None else self.rows[slot : slot + 1].copy()

    def relayout(self, layout: Layout) -> None:
        """Moves every cached row to another layout; rows in the store move when they are next loaded."""
        self.rows = layout.migrate(self.rows, self.layout)
        self.layout = layout

    def decode(self, values: Sequence[bytes | None]) -> Rows:
        """Rows of stored values, in this table's layout; empty rows where the value is None.

        Raises LayoutError when a value is in a layout that nobody described.
        """
        empty = self.layout.fingerprint.to_bytes(8, "little")
        filled = [empty if value is None else value for value in values]
        rows = _padded(filled, self.layout)
        foreign = np.flatnonzero(rows["head"]["layout"] != self.layout.fingerprint)
        if len(foreign):
            found = rows["head"]["layout"][foreign]
            for fingerprint in np.unique(found).tolist():
                at = foreign[found == fingerprint]
                if fingerprint not in self.layouts:
                    raise LayoutError(
                        f"rows of entity {self.layout.kind} are in layout {fingerprint:016x}, "
                        "which the state does not describe: "
                        "the layouts and the rows are from different states; restore both from one copy"
                    )
                old = self.layouts[fingerprint]
                moved = self.layout.migrate(_padded([filled[i] for i in at.tolist()], old), old)
                as_bytes(rows)[at] = as_bytes(moved)
        return rows

    def _take_slots(self, count: int) -> Slots:
        if len(self._free) < count:
            self._make_room(count)
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def _make_room(self, count: int) -> None:
        """Frees `count` slots: grows to the bound, then evicts, and grows past it when the rest is dirty or in use."""
        bound = max(self.cache_bytes // self.row_bytes, _LEAST_ROWS)
        lacking = count - len(self._free)
        if len(self.rows) + lacking > bound:
            # One eviction of a sixteenth of the cache costs less than many of a few rows.
            self._evict(max(lacking, bound // 16))
            lacking = count - len(self._free)
        if lacking > 0:
            size = len(self.rows)
            grown = max(size + lacking, min(2 * size, bound))
            rows = np.zeros(grown, self.layout.dtype)  # not concatenate, which would pack the fields
            as_bytes(rows)[:size] = as_bytes(self.rows)
            self.rows = rows
            self._keys = np.concatenate([self._keys, np.empty(grown - size, object)])
            self._touched = np.concatenate([self._touched, np.full(grown - size, -1)])
            self._dirty = np.concatenate([self._dirty, np.zeros(grown - size, np.bool_)])
            self._free = np.concatenate([self._free, np.arange(size, grown)])

    def _evict(self, count: int) -> None:
        """Frees up to `count` clean rows that the current batch does not use, those touched longest ago first."""
        candidates = np.flatnonzero(~self._dirty & (self._touched >= 0) & (self._touched < self._turn))
        if len(candidates) > count:
            candidates = candidates[np.argpartition(self._touched[candidates], count)[:count]]
        for key in self._keys[candidates].tolist():
            del self._index[key]
        self._keys[candidates] = None
        self._touched[candidates] = -1
        self._free = np.concatenate([self._free, candidates])


def as_bytes(rows: Rows) -> npt.NDArray[np.bytes_]:
    """Rows as byte strings of fixed length, the same memory. Copies of it keep the bytes between fields, which copies
    of rows do not.

    As Python bytes each loses the zeros at its end: that is the form in which a row is stored.
    """
    return rows.view(f"S{rows.dtype.itemsize}")


def heads(values: Sequence[bytes]) -> Rows:
    """The headers of stored values of any layout."""
    return np.array([value[: HEAD.itemsize] for value in values], f"S{HEAD.itemsize}").view(HEAD)


def _padded(values: list[bytes], layout: Layout) -> Rows:
    return np.array(values, f"S{layout.dtype.itemsize}").view(layout.dtype)
