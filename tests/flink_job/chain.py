"""The operators of the cluster runtime without Flink: their parts, joined in one process."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.engine import Outcome
from jobs.flink_job.batcher import Batcher
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.gather import Gather, joined
from jobs.flink_job.ids import Shards as IdMemory
from jobs.flink_job.judge import add, by_rule
from jobs.flink_job.kind_clock import KindClock
from jobs.flink_job.label_feed import by_entity, by_event, labels_reader
from jobs.flink_job.labels import KindLabels
from jobs.flink_job.list_feed import by_subtask, read_batch
from jobs.flink_job.map_store import KeyedMap, MapStore
from jobs.flink_job.members import KindMembers, without_lists
from jobs.flink_job.observe import Kind
from jobs.flink_job.outside import Outside, OutsideState
from jobs.flink_job.packets import (
    Answer,
    Answers,
    Arrived,
    ChangeShare,
    Events,
    IdShare,
    LabelBatch,
    Share,
    Shares,
    Sighted,
    Stretches,
    Waiting,
    packed,
    unpacked,
)
from jobs.flink_job.record_batcher import Given
from jobs.flink_job.scatter import Lane, drop_repeats, seen, shares_of
from jobs.flink_job.shards import shards_at
from jobs.flink_job.stamp import id_shares, letters, rank_of, timeline_of
from operators.act import Actor
from operators.judge import judge
from operators.labels.desk import LabelDesk
from operators.labels.part import count_unread
from operators.observe import join
from operators.stamp import stamp

PARALLELISM = 3
"""Subtasks of observe."""
Record = tuple[int, bytes | None]
"""Append time in ms, and value."""


class FakeState(dict[str, bytes]):
    """MapState of one key."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value

    def put_all(self, values: dict[str, bytes]) -> None:
        self.update(values)

    def remove(self, key: str) -> None:
        self.pop(key, None)


class FakeContext:
    """Of a function, and its metric group, which forgets everything."""

    def get_metric_group(self) -> "FakeContext":
        return self

    def add_group(self, name: str, extra: str | None = None) -> "FakeContext":
        return self

    def counter(self, name: str) -> "FakeContext":
        return self

    def inc(self, number: int) -> None:
        pass


class FakeKeyed:
    """Which key is set."""

    def __init__(self) -> None:
        self.current = ""

    def to(self, name: str) -> None:
        self.current = name


class FakeMap:
    """MapState of the key that is set."""

    def __init__(self, keyed: FakeKeyed) -> None:
        self.keyed = keyed
        self.by_key: dict[str, FakeState] = {}

    def __getattr__(self, name: str) -> Any:
        # The key counts that is set when a method is called, not when it is looked up.
        return lambda *given: getattr(self.by_key.setdefault(self.keyed.current, FakeState()), name)(*given)


class Chain:
    """One lane, and all shards. What would cross a wire is packed and unpacked."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job
        self.programs = job.programs()
        self.batcher = Batcher(job)
        self.batcher.open(FakeContext())
        self.timeline = timeline_of(self.programs, job.timeline)
        self.batches = 0
        self.lane = Lane()
        self.ids: dict[str, IdMemory] = {}
        self.kinds: dict[tuple[str, int], Kind] = {}
        self.keyed = FakeKeyed()
        self.rows, self.notes, self.listed, self.by_topic = (FakeMap(self.keyed) for _ in range(4))
        self.waiting, self.told, self.desks, self.sights = (FakeMap(self.keyed) for _ in range(4))
        self.outside: dict[tuple[str, int], Outside] = {}
        self.read_labels = labels_reader(job)
        self.topic: list[Given] = []
        """What the lists topic holds."""
        self.gather: Gather[Waiting, Answers] = Gather()
        self.actors: dict[str, Actor] = {}
        self.sequence = 0
        self.offset = 0
        self.out = Outcome()
        self.labels: Counter[str] = Counter()
        self.swept = 0

    def restart(self) -> None:
        """As after a failure: state stays, memory goes."""
        self.kinds, self.outside, self.gather, self.sequence = {}, {}, Gather(), 0
        self.ids, self.lane, self.batches = {}, Lane(), 0

    def tell(self, listings: Sequence[Given]) -> None:
        """The source brings records of the lists topic."""
        records = read_batch(self.programs.base, listings).records
        for (kind, subtask), mine in by_subtask(records, PARALLELISM).items():
            members = self._outside(kind, subtask).members
            assert members is not None
            members.take(mine)

    def label(self, labels: Sequence[Given]) -> None:
        """The source brings records of the labels topic."""
        if not labels:
            return
        program = self.programs.base
        batch = unpacked(packed(self.read_labels(labels)), LabelBatch)
        for document in batch.dead:
            self.out.add("deadletter", document)
        for shard, share in by_event(batch.labels):
            self.keyed.to(shard)
            store = MapStore(self.desks)
            desk = LabelDesk(store, program.label_memory_ms)
            changes, counts = desk.take(share, tuple(program.kinds))
            self.labels.update(counts + count_unread(changes, program.kinds))
            store.change(list(zip(*desk.take_dirty(), strict=True)))
            for (kind, subtask), mine in by_entity(changes, program, PARALLELISM).items():
                self._outside(kind, subtask).labels.take(unpacked(packed(ChangeShare(kind, mine)), ChangeShare).changes)

    def _outside(self, kind: str, subtask: int) -> Outside:
        """As `open` makes it: the lists topic is read to its end."""
        found = self.outside.get((kind, subtask))
        if found is None:
            plan, names = self.programs.base.kinds[kind], shards_at(kind, subtask, PARALLELISM)
            state = OutsideState(self.by_topic, self.waiting, self.told, self.keyed.to)
            labels = KindLabels(kind, state.of(self.waiting, names), state.of(self.told, names))
            found = self.outside[kind, subtask] = Outside(KindClock(labels.clock), labels)
            if not plan.lists:
                without_lists(state.of(self.by_topic, names))
                return found
            files = {name: self.job.lists.get(name, {}) for name in names}
            by_shard = state.of(self.by_topic, names)
            found.members = members = KindMembers(kind, plan.lists, "topic", by_shard, files, found.clock)
            unread = [one for one in self.topic if one[3] >= members.position.get(one[2], 0)]
            records = by_subtask(read_batch(self.programs.base, unread).records, PARALLELISM)
            ends: dict[int, int] = {}
            for _, _, partition, offset, _ in self.topic:
                ends[partition] = offset + 1
            members.take(records.get((kind, subtask), []), ends)
        return found

    def feed(self, records: Sequence[Record], notes: Sequence[str | None] | None = None) -> None:
        """Runs one batch through."""
        values = np.array([value for _, value in records] + [None], dtype=object)[:-1]
        remarks = np.array([*(notes or [None] * len(records)), None], dtype=object)[:-1]
        origin, offsets = np.zeros(len(records)), np.arange(self.offset, self.offset + len(records))
        self.offset += len(records)
        taken = np.array([at for at, _ in records], dtype=np.int64)
        arrived = unpacked(packed(self.batcher.decode(values, remarks, origin, offsets, taken)), Arrived)
        stretches, refused = stamp(arrived.batch, self.timeline)
        name = self.programs.base.name
        for document in (*arrived.dead, *letters(name, arrived.batch, refused)):
            self.out.add("deadletter", document)
        shares = id_shares("lane", self.batches, stretches, PARALLELISM)
        events = [Events.of(one, self.programs.ref(one.program), rank_of(one.epochs[0].id)) for one in stretches]
        batch = Stretches(self.batches, len(shares), events, [])
        for shard, share in shares:
            if shard not in self.ids:
                self.ids[shard] = IdMemory(self.programs.base.policy.repeats, self.sights, self.keyed.to)
            self._scatter(self.ids[shard].check(unpacked(packed(share), IdShare)))
        self.batches += 1
        self._scatter(unpacked(packed(batch), Stretches))

    def _scatter(self, packet: Stretches | Sighted) -> None:
        for batch, sighted in self.lane.add(packet):
            begin = 0
            for events in batch.stretches:
                end = begin + events.frame.height
                self._stretch(events, *seen(sighted, begin, end))
                begin = end

    def _stretch(self, events: Events, first: Any, same: Any) -> None:
        stamped = events.stamped(self.programs)
        for document in drop_repeats(self.programs.base.name, stamped, first, same):
            self.out.add("deadletter", document)
        if not stamped.frame.height:
            return
        shares, asked = shares_of("lane", self.sequence, events, stamped, PARALLELISM)
        waiting = Waiting(self.sequence, len(shares), asked, Events.of(stamped, events.program, events.rank))
        self.sequence += 1
        for shard, packet in reversed(shares):  # answers come in any order
            subtask = self._subtask(shard)
            answers = [self._answer(share, subtask) for share in unpacked(packed(packet), Shares).shares]
            self._judge(unpacked(packed(Answers(packet.sequence, answers)), Answers))
        self._judge(waiting)

    def _subtask(self, shard: str) -> int:
        """The subtask of observe that has a shard, of whatever kind."""
        kinds = self.programs.base.kinds
        return next(n for n in range(PARALLELISM) for kind in kinds if shard in shards_at(kind, n, PARALLELISM))

    def _answer(self, share: Share, subtask: int) -> Answer:
        made = self.kinds.get((share.kind, subtask))
        if made is None:
            names = shards_at(share.kind, subtask, PARALLELISM)
            outside = self._outside(share.kind, subtask)
            made = Kind(share, self.programs, self.rows, self.notes, self.keyed.to, names, 1 << 20, False, outside)
            for name in names:
                made.load_lists(self.job.lists.get(name, {}), KeyedMap(self.listed, self.keyed.to, name))
            self.kinds[share.kind, subtask] = made
        answer = made.update(share, self.programs)
        for document in made.notices:
            self.out.add("status", document)
        made.notices = []
        self.swept += made.sweep(self.timeline.clock_ms, len(share.at))
        return Answer(share.kind, share.at, answer)

    def _judge(self, packet: Any) -> None:
        for waiting, parts in add(self.gather, packet):
            answers = [answer for part in parts for answer in part.answers]
            stamped = waiting.events.stamped(self.programs)
            answered = {kind: joined(asked, kind, answers) for kind, asked in waiting.asked.items()}
            judged = judge(stamped, join(stamped.frame, stamped.program, answered), self.job.emit, self.job.pii_key)
            for mode, document in judged.verdicts:
                self.out.add("verdicts" if mode == "live" else "verdicts.shadow", document)
            for rule, hits in by_rule(judged.hits).items():
                acted = self.actors.setdefault(rule, Actor(stamped.program.name)).act(hits)
                for mode, document in acted.enforcement:
                    self.out.add("enforcement" if mode == "live" else "enforcement.shadow", document)
