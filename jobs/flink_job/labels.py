"""Labels of one entity kind in the shards of a subtask: they wait until the ingest clock reaches what they are known
from, and are counted among the events of the next share.

A label that comes when the clock has passed that is counted from now on, never looking back. So when a shard was told
of a value, which a correction has to take back or not, is known here only, and kept here.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import polars as pl

from jobs.flink_job.kind_clock import Times
from jobs.flink_job.map_store import KeyedMap
from jobs.flink_job.packets import LabelChange
from jobs.flink_job.shards import shard_names
from operators.labels.part import LabelPart
from operators.shards import shards_of

NEVER = np.iinfo(np.int64).min
"""When a shard was told of a value that it was not told of."""


_CLOCK = "clock"


class KindLabels:
    """`waiting`, by shard, holds changes that are not counted yet, by number, and the clock up to which they were; `told`,
    by label, event and entity, when a value was counted. Keys of entities are Latin-1 text."""

    def __init__(self, kind: str, waiting: Mapping[str, KeyedMap], told: Mapping[str, KeyedMap]) -> None:
        self._names = shard_names(kind)
        self._waiting = waiting
        self._told = told
        self._queue: list[tuple[int, int, str, LabelChange]] = []
        self.clock: int | None = None
        """Where the ingest clock stood when changes were last counted."""
        for shard, state in waiting.items():
            if (stood := state.get(_CLOCK)) is not None:
                self.clock = max(int(stood), int(stood) if self.clock is None else self.clock)
            for row in state.keys():  # noqa: SIM118
                if row == _CLOCK:
                    continue
                key, name, event, at_ms, event_ms, old, new = orjson.loads(state.get(row) or b"")
                change = LabelChange(key.encode("latin-1"), name, event, at_ms, event_ms, _float(old), _float(new))
                self._queue.append((at_ms, int(row), shard, change))
        heapq.heapify(self._queue)
        self._number = max((number for _, number, _, _ in self._queue), default=0)

    def take(self, changes: Sequence[LabelChange]) -> None:
        """Takes changes of entities of these shards, in the order in which the labels came."""
        shards = shards_of(pl.Series([change.key for change in changes], dtype=pl.Binary))
        rows: dict[str, dict[str, bytes]] = defaultdict(dict)
        for change, number in zip(changes, shards, strict=True):
            shard = self._names[number]
            self._number += 1
            heapq.heappush(self._queue, (change.at_ms, self._number, shard, change))
            row = (change.key.decode("latin-1"), change.name, change.event, change.at_ms, change.event_ms)
            rows[shard][str(self._number)] = orjson.dumps((*row, change.old, change.new))
        for shard, added in rows.items():
            self._waiting[shard].put_all(added)

    def due(self, clock: Times, before_ms: int | None, wanted: bool) -> LabelPart | None:
        """Changes that are known at the last of some events, placed among them; None where there are none.

        `clock`: at each event, `before_ms`: before the first. Where no window reads labels they are not `wanted`, and
        are done with.
        """
        until = int(clock[-1])
        if wanted:
            for state in self._waiting.values():  # of each shard, as it may be with others after the next start
                state.put_all({_CLOCK: str(until).encode()})
        found = []
        while self._queue and self._queue[0][0] <= until:
            found.append(heapq.heappop(self._queue))
        for shard, numbers in _by_shard(found).items():
            self._waiting[shard].remove(numbers)
        if not found or not wanted:
            return None
        changes = [change for _, _, _, change in found]
        known = np.array([change.at_ms for change in changes], np.int64)
        # Just behind the clock: a window that began with the last event counts them, and what it counts can be told.
        at = known if before_ms is None else np.maximum(known, before_ms + 1)
        return LabelPart(
            keys=pl.Series([change.key for change in changes], dtype=pl.Binary),
            # An event counts as later than a label where it was taken in at the moment the label became known.
            before=np.searchsorted(clock, at, side="left").astype(np.int64),
            at=at,
            time=np.array([change.event_ms for change in changes], np.int64),
            told=self._tell([shard for _, _, shard, _ in found], changes, at),
            name=np.array([change.name for change in changes], object),
            old=np.array([change.old for change in changes], np.float64),
            new=np.array([change.new for change in changes], np.float64),
            change=np.arange(len(changes)),
        )

    def _tell(self, shards: Sequence[str], changes: Sequence[LabelChange], at: Times) -> Times:
        """When each change's old value was counted; from here on its new one is."""
        now: dict[tuple[str, str], int | None] = {}
        told = np.empty(len(changes), np.int64)
        for i, (shard, change) in enumerate(zip(shards, changes, strict=True)):
            row = f"{change.name}\0{change.event}\0{change.key.decode('latin-1')}"
            if (shard, row) not in now:
                saved = self._told[shard].get(row)
                now[shard, row] = None if saved is None else int.from_bytes(saved, "big", signed=True)
            before = now[shard, row]
            told[i] = NEVER if before is None else before
            now[shard, row] = None if np.isnan(change.new) else int(at[i])
        rows: dict[str, dict[str, bytes]] = defaultdict(dict)
        for (shard, row), at_ms in now.items():
            if at_ms is None:
                self._told[shard].remove([row])
            else:
                rows[shard][row] = at_ms.to_bytes(8, "big", signed=True)
        for shard, added in rows.items():
            self._told[shard].put_all(added)
        return told


def _by_shard(found: Sequence[tuple[int, int, str, LabelChange]]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = defaultdict(list)
    for _, number, shard, _ in found:
        rows[shard].append(str(number))
    return rows


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)
