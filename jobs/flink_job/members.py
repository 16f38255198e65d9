"""Who is on lists by the lists topic: kept by the shard of the entity, so that an entity is listed in one place only.

A record counts from when the broker took it, for events that were not judged before. Every start, a restore included,
reads the topic to its end before the first event, from where its shards have read it; what the job's source brings
again is passed over.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import orjson
import polars as pl

from integration.kafka.client import KafkaError
from jobs.flink_job.kind_clock import KindClock, Times
from jobs.flink_job.map_store import KeyedMap
from jobs.flink_job.packets import ListRecord
from jobs.flink_job.shards import shard_names
from jobs.member_record import MemberEntry
from operators.documents import Json
from operators.kind_observer import KindObserver
from operators.members import Members, turn_lists
from operators.scatter import Part
from operators.shards import shards_of

_READ = "read"
_LISTS = "lists"
_NOW = "now/"
_COMING = "coming/"


class KindMembers:
    """The members of one kind's lists in the shards of a subtask. `state`, by shard, holds

    read                          the topic's id, and by partition the offset behind the last record that was taken
    lists                         the lists that the rows have bits of
    now/<list>/<key>              until when it is on the list
    coming/<partition>/<offset>   a record that does not count yet

    Keys of entities are Latin-1 text.
    """

    def __init__(
        self,
        kind: str,
        lists: Sequence[str],
        topic: str,
        state: Mapping[str, KeyedMap],
        files: Mapping[str, Mapping[str, Sequence[bytes]]],
        clock: KindClock,
    ) -> None:
        """`lists`: those of the kind, `topic`: its id, `files`: by shard and list, whom list files name.

        Raises KafkaError for a state of another topic.
        """
        self._names = shard_names(kind)
        self._lists = lists
        self._topic = topic
        self._state = state
        self._files = {name: {key for of in files.values() for key in of.get(name, ())} for name in lists}
        self._members = Members()
        self._clock = clock
        self._coming: list[tuple[int, str, str]] = []
        """A heap of (when it counts, shard, row) of records in the state that do not count yet."""
        self._read: dict[str, dict[str, int]] = {}
        self._restore()

    @property
    def position(self) -> dict[int, int]:
        """By partition: from where the topic has to be read for all shards."""
        known = set.intersection(*map(set, self._read.values())) if self._read else set()
        return {int(n): min(offsets[n] for offsets in self._read.values()) for n in known}

    def take(self, records: Sequence[ListRecord], end: Mapping[int, int] | None = None) -> None:
        """Takes records of these shards, in the order of their partitions, but not twice. `end`: by partition, up to
        where they are all that there are."""
        added: dict[str, dict[str, bytes]] = {shard: {} for shard in self._state} if end is not None else {}
        for record, shard in zip(records, self._shards(record.entry.key for record in records), strict=True):
            read = self._read[shard]
            if record.offset < read.get(str(record.partition), 0):
                continue
            read[str(record.partition)] = record.offset + 1
            entry = record.entry
            now = self._clock.now
            at_ms = record.appended_ms if now is None else max(record.appended_ms, now + 1)
            row = f"{_COMING}{record.partition}/{record.offset}"
            text = entry.key.decode("latin-1")
            added.setdefault(shard, {})[row] = orjson.dumps([at_ms, entry.list, text, entry.until_ms, entry.on])
            self._offer(at_ms, shard, row, entry)
        for shard, rows in added.items():
            read = self._read[shard]
            for partition, offset in (end or {}).items():
                read[str(partition)] = max(offset, read.get(str(partition), 0))
            rows[_READ] = orjson.dumps({"topic": self._topic, "offsets": read})
            self._state[shard].put_all(rows)

    def listed(self, name: str, key: bytes) -> bool:
        """Whether an entity is on a list by the topic."""
        return (name, key) in self._members.now

    def stand(self, observer: KindObserver) -> None:
        """Brings the bits of rows in step: those of a list that the policy did not have were lost."""
        for shard, state in self._state.items():
            known = orjson.loads(state.get(_LISTS) or b"[]")
            for name in self._lists:
                if name in observer.plan.lists and name not in known:
                    rows = self._rows(shard, f"{_NOW}{name}/")
                    observer.mark_list(name, [row.removeprefix(f"{_NOW}{name}/").encode("latin-1") for row in rows])
            state.put_all({_LISTS: orjson.dumps(list(self._lists))})

    def pieces(self, part: Part, clock: Times) -> list[tuple[Part, Times]]:
        """A part and the clock at its rows in pieces during which no list changes."""
        moments = self._members.due(int(clock[-1]))
        rows = np.unique(np.searchsorted(clock, moments, side="left")) if moments else np.empty(0, np.int64)
        cuts = [0, *rows[(rows > 0) & (rows < len(clock))].tolist(), len(clock)]
        if len(cuts) == 2:
            return [(part, clock)]
        return [(part.cut(a, b), clock[a:b]) for a, b in pairwise(cuts)]

    def advance(self, observer: KindObserver, ingest_ms: int) -> Iterator[Json]:
        """Puts entities on lists and takes them off, up to a moment; status documents."""
        for turn in self._members.advance(ingest_ms):
            yield from turn_lists(turn, observer.mark_list, lambda name, key: key in self._files[name])
        changed = self._members.take_changed()
        on: dict[str, dict[str, bytes]] = {}
        for (name, key), shard in zip(changed, self._shards(key for _, key in changed), strict=True):
            row = f"{_NOW}{name}/{key.decode('latin-1')}"
            if (until := self._members.now.get((name, key))) is None:
                self._state[shard].remove([row])
            else:
                on.setdefault(shard, {})[row] = until.to_bytes(8, "big")
        for shard, rows in on.items():
            self._state[shard].put_all(rows)
        while self._coming and self._coming[0][0] <= ingest_ms:
            _, shard, row = heapq.heappop(self._coming)
            self._state[shard].remove([row])

    def _restore(self) -> None:
        now, coming = {}, []
        for shard, state in self._state.items():
            saved = orjson.loads(state.get(_READ) or b"null")
            if saved is not None and saved["topic"] != self._topic:
                raise KafkaError(
                    "the state of this job follows another lists topic, or the topic was deleted and made again: who is "
                    "on a list would be a mixture of both. Start the job again without its state, or bring the old topic back."
                )
            self._read[shard] = {} if saved is None else saved["offsets"]
            for row in self._rows(shard, _NOW):
                name, _, text = row.removeprefix(_NOW).partition("/")
                now[name, text.encode("latin-1")] = int.from_bytes(state.get(row) or b"", "big")
            for row in self._rows(shard, _COMING):
                at_ms, name, text, until_ms, on = orjson.loads(state.get(row) or b"")
                partition, _, offset = row.removeprefix(_COMING).partition("/")
                entry = MemberEntry(name, "", text.encode("latin-1"), until_ms, on)
                coming.append((at_ms, int(partition), int(offset), shard, row, entry))
        # A list that the policy has no more keeps its rows, and nobody is told of it.
        self._members.restore({key: until for key, until in now.items() if key[0] in self._lists}, [])
        for at_ms, _, _, shard, row, entry in sorted(coming, key=lambda found: found[:3]):
            self._offer(at_ms, shard, row, entry)

    def _offer(self, at_ms: int, shard: str, row: str, entry: MemberEntry) -> None:
        if entry.list in self._lists:
            self._members.offer(at_ms, entry.list, entry.key, entry.until_ms, entry.on)
            heapq.heappush(self._coming, (at_ms, shard, row))

    def _rows(self, shard: str, prefix: str) -> list[str]:
        return [row for row in self._state[shard].keys() if row.startswith(prefix)]  # noqa: SIM118

    def _shards(self, keys: Iterator[bytes]) -> list[str]:
        series = pl.Series(list(keys), dtype=pl.Binary)
        return [self._names[number] for number in shards_of(series).tolist()]


def without_lists(state: Mapping[str, KeyedMap]) -> None:
    """The policy has no list of a kind: rows may lose the bits of those that it had. `state` as `KindMembers` has it."""
    for each in state.values():
        if each.get(_LISTS) is not None:
            each.remove([_LISTS])
