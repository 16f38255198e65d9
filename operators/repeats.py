"""Which event ids were seen before: a bounded memory of hashes in two generations, a whole batch at once.

A producer that retries sends the same record again: it is dropped. An id that comes back with another record is a
defect or an attempt to slip past a rule: it is a dead letter. Both are told from a first sight by 64-bit hashes of id
and record.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from operators.batch import DeadRecord, Origin
from operators.hashing import hash_series

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]
RECORD_HASH = "__record"
"""Column of a frame: the hash of each row's record."""
_REPEATED = "the id was seen before with another record"
_REPEATED_HINT = "fix the producer: an id names one event; or set `repeats: 0` in the policy to take every record"
_SALT = 0x9E3779B97F4A7C15


def id_hashes(frame: pl.DataFrame) -> Hashes:
    """The hash of (event type, event id) of each row: an id belongs to its type."""
    joined = frame.select(
        pl.concat_str(pl.col("event_type").cast(pl.String), pl.lit("\0"), pl.col("event_id"))
    ).to_series()
    return hash_series(joined)


@dataclass(frozen=True, slots=True)
class Sights:
    """Of a frame: which rows show a new id (`first`), which rows bring a known id with another record (`again`), and how
    many were the same record again."""

    first: Mask
    again: Indices
    repeated: int


def look(frame: pl.DataFrame, recent: "RecentIds") -> Sights:
    """Tells first sights from repeats and remembers them; O(rows). Without a column `__record` every repeat is the same."""
    payloads = frame[RECORD_HASH].to_numpy() if RECORD_HASH in frame.columns else None
    first, same = recent.check(id_hashes(frame), payloads)
    return Sights(first, np.flatnonzero(~first & ~same), int(same.sum()))


def repeated_id(origin: Origin, event_id: str, ingest_ms: int) -> DeadRecord:
    """The dead letter of a known id with another record; the runtime adds its bytes."""
    return DeadRecord(origin, "decode", "repeated_id", None, _REPEATED, _REPEATED_HINT, b"", event_id, ingest_ms)


@dataclass(frozen=True, slots=True)
class Block:
    """Ids that were new since the last block, all of one generation: what a runtime appends to its state."""

    generation: int
    ids: Hashes
    payloads: Hashes


class RecentIds:
    """Remembers at least the last `capacity` ids, at most twice as many; 0 remembers nothing.

    At every `capacity`-th new id a generation ends, the one before it is forgotten. That is a property of the stream,
    not of its batches. Memory: 64 to 128 bytes an id of capacity. `salt` (odd) places hashes in the tables, so that
    nobody who knows the hash can make ids that crowd one place; answers do not depend on it.
    """

    def __init__(self, capacity: int, salt: int = _SALT) -> None:
        self.capacity = capacity
        self.generation = 0
        self._salt = np.uint64(salt | 1)
        self._now = _Table(capacity, self._salt)
        self._before = _Table(0, self._salt)
        self._new: list[Block] = []

    @property
    def oldest(self) -> int:
        """The oldest generation that is still remembered: blocks before it may be deleted."""
        return max(self.generation - 1, 0)

    def check(self, ids: Hashes, payloads: Hashes | None) -> tuple[Mask, Mask]:
        """For each row in order: whether its id is new (`first`), else whether it came with the same record (`same`).

        Rows of one call count for those after them. Without payload hashes every repeat is the same. O(n) expected.
        """
        first = np.ones(len(ids), dtype=np.bool_)
        same = np.zeros(len(ids), dtype=np.bool_)
        if not self.capacity:
            return first, same
        # 0 marks a free place in a table.
        ids = np.where(ids == 0, np.uint64(1), ids)
        payloads = np.zeros(len(ids), dtype=np.uint64) if payloads is None else payloads
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + max(4 * self._left, 1_024))
            done = self._check_some(ids[start:stop], payloads[start:stop], first[start:stop], same[start:stop])
            start += done
        return first, same

    @property
    def _left(self) -> int:
        return self.capacity - self._now.count

    def _check_some(self, ids: Hashes, payloads: Hashes, first: Mask, same: Mask) -> int:
        """Answers up to the row that ends a generation, in place; how many rows that were."""
        found_now, known_now = self._now.find(ids)
        found_before, known_before = self._before.find(ids)
        _, where, inverse = np.unique(ids, return_index=True, return_inverse=True)
        earlier = where[inverse]
        known = np.where(found_now, known_now, np.where(found_before, known_before, payloads[earlier]))
        new = ~found_now & ~found_before & (earlier == np.arange(len(ids)))
        accepted = np.cumsum(new)
        done = len(ids) if accepted[-1] < self._left else int(np.searchsorted(accepted, self._left)) + 1
        first[:done] = new[:done]
        same[:done] = ~new[:done] & (known[:done] == payloads[:done])
        chosen = np.flatnonzero(new[:done])
        if len(chosen):
            self._remember(ids[chosen], payloads[chosen])
        return done

    def _remember(self, ids: Hashes, payloads: Hashes) -> None:
        self._now.put(ids, payloads)
        self._new.append(Block(self.generation, ids, payloads))
        if not self._left:
            self.generation += 1
            self._before, self._now = self._now, _Table(self.capacity, self._salt)

    def take_new(self) -> list[Block]:
        """The ids that are new since the last call, oldest first, one block a generation."""
        taken, self._new = self._new, []
        return [
            Block(
                generation,
                np.concatenate([block.ids for block in taken if block.generation == generation]),
                np.concatenate([block.payloads for block in taken if block.generation == generation]),
            )
            for generation in sorted({block.generation for block in taken})
        ]

    def restore(self, blocks: list[Block]) -> None:
        """Goes back to where the blocks (all since `oldest`, in order) end. Only on a new object, before the first
        `check`."""
        for block in blocks:
            if block.generation > self.generation:
                self.generation = block.generation
            self._remember(block.ids, block.payloads)
        self._new = []


class _Table:
    """Open addressing with linear probing in arrays of at least twice the capacity, probed for many ids at once."""

    def __init__(self, capacity: int, salt: np.uint64) -> None:
        self.count = 0
        bits = max((2 * capacity - 1).bit_length(), 4) if capacity else 1
        self._shift = np.uint64(64 - bits)
        self._mask = np.int64((1 << bits) - 1)
        self._salt = salt
        self._ids = np.zeros(1 << bits, dtype=np.uint64)
        self._payloads = np.zeros(1 << bits, dtype=np.uint64)

    def _places(self, ids: Hashes) -> np.ndarray[Any, np.dtype[np.int64]]:
        return ((ids * self._salt) >> self._shift).astype(np.int64)

    def find(self, ids: Hashes) -> tuple[Mask, Hashes]:
        """Which ids are in the table, and their payloads (0 for the others)."""
        found = np.zeros(len(ids), dtype=np.bool_)
        payloads = np.zeros(len(ids), dtype=np.uint64)
        if not self.count:
            return found, payloads
        places = self._places(ids)
        open_rows = np.arange(len(ids))
        while len(open_rows):
            at = places[open_rows]
            there = self._ids[at]
            hit = there == ids[open_rows]
            found[open_rows[hit]] = True
            payloads[open_rows[hit]] = self._payloads[at[hit]]
            open_rows = open_rows[~hit & (there != 0)]
            places[open_rows] = (places[open_rows] + 1) & self._mask
        return found, payloads

    def put(self, ids: Hashes, payloads: Hashes) -> None:
        """Adds ids that are not in the table, each once."""
        self.count += len(ids)
        places = self._places(ids)
        open_rows = np.arange(len(ids))
        while len(open_rows):
            at = places[open_rows]
            free = self._ids[at] == 0
            # Several may want one free place: all write, the one that is read back has it.
            self._ids[at[free]] = ids[open_rows[free]]
            placed = self._ids[at] == ids[open_rows]
            self._payloads[at[placed]] = payloads[open_rows[placed]]
            open_rows = open_rows[~placed]
            places[open_rows] = (places[open_rows] + 1) & self._mask
