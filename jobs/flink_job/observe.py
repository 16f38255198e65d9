"""observe: the entities of one shard of one kind. Keyed by shard.

State: each entity's packed row; the layouts that rows may have; the policy that the rows were last written under; who
is on which list. All of a share is read before it is counted, row by row where it is not cached, and all changes are written in one call.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.lists import mark
from jobs.flink_job.map_store import MapStore
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import Answer, Share, packed, unpacked
from jobs.flink_job.programs import ProgramRef, Programs
from jobs.flink_job.records import key_of
from operators.choices import NO_CHOICES
from operators.kind_observer import KindObserver, PartAnswer
from operators.layout import Layout
from operators.plan import KindPlan
from operators.shards import SHARDS

_CACHE_BYTES = 256 << 20
"""Memory for the rows of hot entities, of all shards of a job together."""
_POLICY = "policy"


class Shard:
    """The observer of one shard. It computes with the newest plan that it has seen, so rows never migrate back."""

    def __init__(self, share: Share, programs: Programs, rows: Any, notes: Any, cache_bytes: int) -> None:
        self.notes = notes
        self.rank, self.program = share.rank, share.program
        saved = notes.get(_POLICY)
        if saved is not None and orjson.loads(saved)["rank"] > share.rank:
            note = orjson.loads(saved)
            policy = None if note["policy"] is None else note["policy"].encode()
            self.rank, self.program = note["rank"], ProgramRef(note["digest"], policy, NO_CHOICES)
        self.store = MapStore(rows)
        self.observer = KindObserver(programs.of(self.program).kinds[share.kind], self.store, cache_bytes)
        for name in list(notes.keys()):
            if name != _POLICY:
                self.observer.know(Layout.from_description(orjson.loads(notes.get(name))))
        self._note()

    def load_lists(self, lists: Mapping[str, Sequence[bytes]], state: Any) -> None:
        """Puts the entities of list files on their lists, and takes off those that the files do not name any more."""
        mark(self.observer, lists, state)
        self.store.put_many(*self.observer.take_dirty())

    def update(self, share: Share, programs: Programs) -> PartAnswer:
        """Counts a share, and writes what changed."""
        plan = programs.of(share.program).kinds[share.kind]
        if share.program.digest != self.program.digest and share.rank >= self.rank:
            self.observer.replan(plan)
            self.rank, self.program = share.rank, share.program
            self._note()
        answer = self.observer.update(share.part)
        self.store.put_many(*self.observer.take_dirty())
        if share.program.digest != self.program.digest:
            kept = same_features(plan, self.observer.plan)
            answer.values = {name: values for name, values in answer.values.items() if name in kept}
        return answer

    def _note(self) -> None:
        layout = Layout.of(self.observer.plan)
        policy = None if self.program.policy is None else self.program.policy.decode()
        note = {"rank": self.rank, "digest": self.program.digest, "policy": policy}
        described = orjson.dumps(layout.describe())
        self.notes.put_all({_POLICY: orjson.dumps(note), f"{layout.fingerprint:016x}": described})


def same_features(plan: KindPlan, other: KindPlan) -> set[str]:
    """Features and tests that both plans have under one name with one meaning: others would answer something else."""
    prints = {feature.name: feature.fingerprint for feature in other.features}
    features = {feature.name for feature in plan.features if prints.get(feature.name) == feature.fingerprint}
    tests = {(test.name, test.print, test.fingerprint) for test in other.tests}
    return features | {test.name for test in plan.tests if (test.name, test.print, test.fingerprint) in tests}


class Observe(KeyedProcessFunction):
    """(shard, share) in, (lane, answer) out."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.programs = self.job.programs()
        kinds = sum(kind.stateful for kind in self.programs.base.kinds.values())
        self.cache_bytes = _CACHE_BYTES // (SHARDS * max(1, kinds))
        self.meters = Meters(runtime_context.get_metrics_group())
        self.cached: Counter[str] = Counter()
        self.shards: dict[str, Shard] = {}
        self.rows = runtime_context.get_map_state(
            MapStateDescriptor("rows", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        )
        self.notes = runtime_context.get_map_state(
            MapStateDescriptor("notes", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        )
        self.listed = runtime_context.get_map_state(
            MapStateDescriptor("listed", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        )

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        share = unpacked(value, Share)
        name = key_of(ctx)
        shard = self.shards.get(name)
        if shard is None:
            shard = Shard(share, self.programs, self.rows, self.notes, self.cache_bytes)
            shard.load_lists(self.job.lists.get(name, {}), self.listed)
            self.cached[share.kind] += shard.observer.cached
            self.shards[name] = shard
        before = shard.observer.cached
        with self.meters.timed("observe"):
            answer = shard.update(share, self.programs)
        self.cached[share.kind] += shard.observer.cached - before
        self.meters.set("cached_rows", self.cached[share.kind], kind=share.kind)
        yield Row(share.lane, packed(Answer(share.sequence, share.kind, share.at, answer)))
