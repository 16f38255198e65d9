"""observe: the entities whose shards belong to this subtask. Keyed by shard.

A batch comes as one packet a subtask, with a share for each kind, under the key of one of the subtask's shards: what a packet costs
beside its rows is paid once, not once a shard. State stays each shard's own, so that shards can move to other subtasks when the
job is started with another parallelism: each entity's packed row; the layouts that rows may have; the policy that the
rows were last written under; who is on which list, by files and by the lists topic; labels that wait for their time, and
when labels were counted.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.label_feed import label_state
from jobs.flink_job.lists import mark
from jobs.flink_job.map_store import KeyedMap, KeySwitch, PlainMap, ShardedStore, walks_last
from jobs.flink_job.meters import Meters
from jobs.flink_job.outside import Outside, OutsideState, open_outside
from jobs.flink_job.packets import Answer, Answers, ChangeShare, ListShare, Share, Shares, packed
from jobs.flink_job.programs import ProgramRef, Programs
from jobs.flink_job.records import status_rows
from jobs.flink_job.shards import shards_at
from jobs.flink_job.sweep import Sweep
from operators.choices import NO_CHOICES
from operators.documents import Json
from operators.kind_observer import KindObserver, PartAnswer, one_answer
from operators.layout import Layout
from operators.plan import KindPlan
from operators.scatter import Part

_CACHE_BYTES = 256 << 20
"""Memory for the rows of hot entities, of all kinds of a subtask together."""
_POLICY = "policy"


class Kind:
    """The observer of one kind. It computes with the newest plan that it has seen, so rows never migrate back.

    `rows`, `notes` and `listed` are MapStates, `switch` sets the key under which they are read and written, `shards` are
    the keys that are this subtask's; `lasting`: see `walks_last`.
    """

    def __init__(
        self,
        share: Share,
        programs: Programs,
        rows: Any,
        notes: Any,
        switch: Callable[[str], None],
        shards: Sequence[str],
        cache_bytes: int,
        lasting: bool,
        outside: Outside,
    ) -> None:
        self.outside = outside
        self.notices: list[Json] = []
        """Status documents that nobody has taken yet."""
        self.notes = [KeyedMap(notes, switch, name) for name in shards]
        self.rank, self.program = share.rank, share.program
        for notes_of in self.notes:
            saved = orjson.loads(notes_of.get(_POLICY) or b"null")
            if saved is not None and saved["rank"] > self.rank:
                policy = None if saved["policy"] is None else saved["policy"].encode()
                self.rank, self.program = saved["rank"], ProgramRef(saved["digest"], policy, NO_CHOICES)
        self.store = store = ShardedStore(share.kind, rows, switch)
        self._sweep = Sweep(store, lambda: store.walk(shards, lasting))
        self.observer = KindObserver(programs.of(self.program).kinds[share.kind], self.store, cache_bytes)
        known = {name: notes_of for notes_of in self.notes for name in notes_of.keys() if name != _POLICY}  # noqa: SIM118
        for name, notes_of in known.items():
            self.observer.know(Layout.from_description(orjson.loads(notes_of.get(name) or b"")))
        self._note()
        if outside.members is not None:
            outside.members.stand(self.observer)

    def load_lists(self, lists: Mapping[str, Sequence[bytes]], listed: KeyedMap) -> None:
        """Puts the entities of list files of one shard on their lists, and takes off those that the files do not name
        any more."""
        if self.outside.members is None:
            mark(self.observer, lists, listed)
        else:
            mark(self.observer, lists, listed, self.outside.members.listed)
        self.store.put_many(*self.observer.take_dirty())

    def update(self, share: Share, programs: Programs) -> PartAnswer:
        """Counts a share, and writes what changed."""
        plan = programs.of(share.program).kinds[share.kind]
        if share.program.digest != self.program.digest and share.rank >= self.rank:
            self.observer.replan(plan)
            self.rank, self.program = share.rank, share.program
            self._note()
        answer = self._count(share.part)
        self.store.put_many(*self.observer.take_dirty())
        if share.program.digest != self.program.digest:
            kept = same_features(plan, self.observer.plan)
            answer.values = {name: values for name, values in answer.values.items() if name in kept}
        return answer

    def sweep(self, watermark: int, packet: int) -> int:
        """Deletes rows that read as new for every event to come; returns how many. `packet`: rows of the share."""
        return self._sweep.go_on(watermark, self.observer.plan.longest_ms, packet, self.observer.expired)

    def _count(self, part: Part) -> PartAnswer:
        """Counts a part; lists change between its rows, and labels come among them."""
        before_ms, clock = self.outside.clock.now, self.outside.clock.over(part.ingest)
        members, labels = self.outside.members, self.outside.labels
        answers = []
        for piece, times in [(part, clock)] if members is None else members.pieces(part, clock):
            if members is not None:
                self.notices += members.advance(self.observer, int(times[0]))
            due = labels.due(times, before_ms, self.observer.plan.reads_labels)
            answers.append(self.observer.update(piece, due))
        return one_answer(answers)

    def _note(self) -> None:
        layout = Layout.of(self.observer.plan)
        policy = None if self.program.policy is None else self.program.policy.decode()
        note = orjson.dumps({"rank": self.rank, "digest": self.program.digest, "policy": policy})
        described = {f"{known:016x}": orjson.dumps(one.describe()) for known, one in self.observer.layouts.items()}
        described[f"{layout.fingerprint:016x}"] = orjson.dumps(layout.describe())
        for notes_of in self.notes:
            notes_of.put_all({_POLICY: note, **described})


def same_features(plan: KindPlan, other: KindPlan) -> set[str]:
    """Features and tests that both plans have under one name with one meaning: others would answer something else."""
    prints = {feature.name: feature.fingerprint for feature in other.features}
    features = {feature.name for feature in plan.features if prints.get(feature.name) == feature.fingerprint}
    tests = {(test.name, test.print, test.fingerprint) for test in other.tests}
    return features | {test.name for test in plan.tests if (test.name, test.print, test.fingerprint) in tests}


class Observe(KeyedProcessFunction):
    """(shard, shares of events, lists or labels) in, (lane, answers) out; status by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.programs = self.job.programs()
        kinds = sum(kind.stateful for kind in self.programs.base.kinds.values())
        self.cache_bytes = _CACHE_BYTES // max(1, kinds)
        self.kinds: dict[str, Kind] = {}
        self.switch = KeySwitch(runtime_context)
        self.lasting = walks_last(runtime_context)
        rows, self.notes, self.listed, members, waiting = (
            runtime_context.get_map_state(MapStateDescriptor(name, Types.STRING(), Types.PICKLED_BYTE_ARRAY()))
            for name in ("rows", "notes", "listed", "members", "waiting")
        )
        self.rows = PlainMap(rows)
        told = runtime_context.get_map_state(label_state("told", self.programs.base))
        state = OutsideState(members, waiting, told, self.switch.to)
        self.outside = open_outside(self.job, self.programs.base, self.here, state)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        packet = pickle.loads(bytes(value))
        self.switch.begin()
        if not isinstance(packet, Shares):
            self._take(packet)
            return
        with self.meters.timed("observe"):
            answers = [self._answer(share) for share in packet.shares]
        yield Row(packet.lane, packed(Answers(packet.sequence, answers)))
        for share in packet.shares:
            yield from self._status(self.kinds[share.kind])
        watermark = ctx.timer_service().current_watermark()
        with self.meters.timed("sweep"):
            for share in packet.shares:
                swept = self.kinds[share.kind].sweep(watermark, len(share.at))
                self.meters.count("swept_total", swept, kind=share.kind)

    def _answer(self, share: Share) -> Answer:
        kind = self._kind(share)
        answer = kind.update(share, self.programs)
        self.meters.set("cached_rows", kind.observer.cached, kind=share.kind)
        self.meters.count("labels_total", len(answer.unknown), outcome="unknown")
        self.meters.count("labels_total", len(answer.too_late), outcome="late")
        return Answer(share.kind, share.at, answer)

    def _take(self, share: ListShare | ChangeShare) -> None:
        """Takes what comes beside events."""
        outside = self.outside[share.kind]
        if isinstance(share, ChangeShare):
            if self._begun(share.kind):
                outside.labels.take(share.changes)
        elif outside.members is not None:
            outside.members.take(share.records)

    def _begun(self, kind: str) -> bool:
        """Whether there are windows of a kind, or will be: one without features has none, until a policy record gives it some."""
        if kind in self.kinds or self.programs.base.kinds[kind].stateful:
            return True
        first = shards_at(kind, self.here.index, self.here.of)[0]
        return KeyedMap(self.notes, self.switch.to, first).get(_POLICY) is not None

    def _status(self, kind: Kind) -> Iterator[Any]:
        notices, kind.notices = kind.notices, []
        return status_rows(self.job, self.programs.base.name, self.here, self.meters, notices)

    def _kind(self, share: Share) -> Kind:
        found = self.kinds.get(share.kind)
        if found is None:
            shards = shards_at(share.kind, self.here.index, self.here.of)
            found = Kind(
                share,
                self.programs,
                self.rows,
                self.notes,
                self.switch.to,
                shards,
                self.cache_bytes,
                self.lasting,
                self.outside[share.kind],
            )
            for name in shards:
                found.load_lists(self.job.lists.get(name, {}), KeyedMap(self.listed, self.switch.to, name))
            self.kinds[share.kind] = found
        return found
