"""stamp: the timeline of one subtask. Events come from the batcher, config records by broadcast.

State: the timeline and the offset up to which it is folded, as broadcast state of which each subtask keeps its own
copy; and how far the subtask's lane has come, which changes with every batch. Config records before that offset come
again at every start and are passed over.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import structlog
from pyflink.common import Row, Types
from pyflink.datastream import BroadcastProcessFunction
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from integration.kafka.client import KafkaError
from integration.kafka.existing import topic_idents
from integration.kafka.topics import job_topics
from jobs.flink_job.config_log import ConfigEntry, ForeignTimelineError, read_config
from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import PAYLOAD, Arrived, Events, IdShare, Stretches, packed, unpacked
from jobs.flink_job.programs import Programs
from jobs.flink_job.python_threads import python_threads
from jobs.flink_job.records import STAMPED, status_rows
from jobs.flink_job.shards import ID_SHARDS, by_subtask, lane_name, shards_at
from operators.ages import NEVER, Ages
from operators.batch import Batch, DeadRecord
from operators.documents import Json, dead_letter
from operators.model_gate import settle_models
from operators.repeats import RECORD_HASH, id_hashes
from operators.shards import spread
from operators.stamp import Stamped, stamp
from operators.timeline import Timeline

log = structlog.get_logger("watchgate")

TIMELINE = MapStateDescriptor("timeline", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
_TIMELINE = "timeline"
_AGES = ListStateDescriptor("ages", Types.PICKLED_BYTE_ARRAY())


class Stamp(BroadcastProcessFunction):
    """Packets in, (lane, packet) out; status by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.lane = lane_name(self.here.index, self.here.of)
        self.programs = self.job.programs()
        self.policy = self.programs.base.name
        self.timeline = timeline_of(self.programs, self.job.timeline)
        self.remembers = self.programs.base.policy.repeats > 0
        self.sequence = 0
        self.folded = 0  # the header
        self.begun = False
        self.kept: object = None
        self.unread: KafkaError | None = None
        self.log: list[ConfigEntry] = []
        self.topics: dict[str, str] = {}
        job = self.job
        with python_threads():
            try:
                self.log = read_config(job.kafka, job.topic("config"), job.timeline, job.properties)
            except ForeignTimelineError:
                raise
            except KafkaError as error:
                self.unread = error
                return
            idents = topic_idents(job.kafka, job_topics(job.prefix, job.events), job.properties)
        self.topics = {name: idents[name] for name in job.events}

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        yield from self._begin(ctx)
        arrived = unpacked(value[0], Arrived)
        yield from self._status(self._await_models(arrived.batch))
        with self.meters.timed("stamp"):
            stretches, refused = stamp(arrived.batch, self.timeline)
        self._keep(ctx)
        dead = [*arrived.dead, *letters(self.policy, arrived.batch, refused)]
        if not stretches and not dead:
            return
        shares = id_shares(self.lane, self.sequence, stretches, self.here.of) if self.remembers else []
        for shard, share in shares:
            yield Row(shard, packed(share))
        events = [
            Events.of(one, self.programs.ref(one.program), rank_of(one.epochs[one.epoch_index[0]].id))
            for one in stretches
        ]
        yield STAMPED, Row(self.lane, packed(Stretches(self.sequence, len(shares), events, dead)))
        self.sequence += 1

    def process_broadcast_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        yield from self._begin(ctx)
        if self.unread is not None:
            self.unread = None
            self.meters.set("config_unavailable", 0)
            yield from self._status(self.timeline.unavailable(False))
        taken_ms = int(datetime.fromisoformat(value[1]).replace(tzinfo=UTC).timestamp() * 1000)
        yield from self._fold(ConfigEntry(value[0], taken_ms, bytes(value[2] or b"")))
        self._keep(ctx)

    def _await_models(self, batch: Batch) -> list[Json]:
        """A version that a record brought is there, or was refused, before the first event that it would score."""
        latest = batch.frame["ingest_time"].to_physical().max()
        scorers = self.programs.policies.scorers
        return settle_models(self.timeline, scorers, int(latest)) if isinstance(latest, int) else []

    def _begin(self, ctx: Any) -> Iterator[Any]:
        """Goes on from the state, if there is one, and folds what the topic holds beyond it."""
        if self.begun:
            return
        self.begun = True
        self.ages = _union(ctx)
        state = ctx.get_broadcast_state(TIMELINE)
        saved = state.get(_TIMELINE)
        if saved is not None:
            if self.unread is not None:
                raise self.unread
            known = pickle.loads(saved)
            refuse_others(known.get("topics", {}), self.topics)
            notices = self.timeline.restore(known["timeline"], self._come())
            yield from self._status(notice for notice in notices if notice["kind"] != "policy_applied")
            self.folded, self.kept = known["folded"], self.timeline.revision
        self.meters.set("config_unavailable", int(self.unread is not None))
        if self.unread is not None:
            log.warning("the config topic cannot be read: every rule is shadow", error=str(self.unread))
            yield from self._status(self.timeline.unavailable(True))
        for entry in self.log:
            yield from self._fold(entry)
        self.log = []
        self._keep(ctx)

    def _fold(self, entry: ConfigEntry) -> Iterator[Any]:
        if entry.offset > self.folded:
            yield from self._status(self.timeline.offer(entry.value, entry.appended_ms, entry.appended_ms))
            self.folded = entry.offset

    def _come(self) -> Ages:
        """How far this lane had come; with another parallelism all lanes together, whose partitions are dealt anew."""
        saved = [pickle.loads(bytes(element)) for element in self.ages.get()]
        mine = [ages for here, ages in saved if here == self.here]
        return Ages.joined(Ages.from_bytes(ages) for ages in mine or [ages for _, ages in saved])

    def _keep(self, ctx: Any) -> None:
        """Into the state. PyFlink lets only config records write it; the clock and the ages of features go on with
        events, so its own writable view of the same state is taken."""
        from pyflink.fn_execution.datastream.embedded.process_function import InternalBroadcastProcessFunctionContext

        writable = InternalBroadcastProcessFunctionContext(ctx._j_context, ctx._j_operator_state_backend)
        state = writable.get_broadcast_state(TIMELINE)
        self.ages.update([pickle.dumps((self.here, self.timeline.ages.to_bytes()))])
        if self.timeline.clock_ms != NEVER:
            self.meters.set("ingest_clock_seconds", self.timeline.clock_ms // 1_000)
            self.meters.set("epoch", rank_of(self.timeline.at(self.timeline.clock_ms).id))
        if self.kept != self.timeline.revision:
            self.kept = self.timeline.revision
            known = {"timeline": self.timeline.snapshot(), "folded": self.folded, "topics": self.topics}
            state.put(_TIMELINE, pickle.dumps(known))

    def _status(self, documents: Any) -> Iterator[Any]:
        return status_rows(self.job, self.policy, self.here, self.meters, documents)


def refuse_others(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises KafkaError where an events topic was made again: its records up to the old offset would be passed over."""
    for name, ident in before.items():
        if now.get(name, ident) != ident:
            raise KafkaError(
                f"the events topic {name} was deleted and made again since the state of this job was written: its offsets "
                "say nothing about the new one. Cancel the job and submit it without --from-savepoint: it reads the new topic "
                "from its beginning, and its windows begin empty"
            )


def _union(ctx: Any) -> Any:
    """A list of one element a subtask, of which each subtask gets all when it starts. PyFlink has no such state, so
    Java's is taken. A subtask leaves only its own element as soon as it begins, which is with the config topic's first
    record, so that there are never more than there were subtasks."""
    from pyflink.fn_execution.embedded.java_utils import to_java_state_descriptor

    return ctx._j_operator_state_backend.getUnionListState(to_java_state_descriptor(_AGES))


def timeline_of(programs: Programs, name: str) -> Timeline:
    """The timeline that a job begins with."""
    policies = programs.policies
    choose = None if policies.shelf is None else policies.choose
    return Timeline(programs.base, policies.of_document, name, configured=True, choose=choose)


def id_shares(lane: str, sequence: int, stretches: list[Stamped], parallelism: int) -> list[tuple[str, IdShare]]:
    """What each subtask of ids is asked about a batch, by the key of its first shard. Takes the hashes of records out of the
    frames: nobody else reads them."""
    ids, records = [], []
    for one in stretches:
        ids.append(id_hashes(one.frame))
        records.append(one.frame[RECORD_HASH].to_numpy())
        one.frame = one.frame.drop(RECORD_HASH)
    if not ids:
        return []
    hashes, known = np.concatenate(ids), np.concatenate(records)
    return [
        (shards_at("ids", subtask, parallelism, ID_SHARDS)[0], IdShare(lane, sequence, at, hashes[at], known[at]))
        for subtask, at in by_subtask(spread(hashes, ID_SHARDS), parallelism, ID_SHARDS)
    ]


def letters(policy: str, batch: Batch, refused: list[DeadRecord]) -> Iterator[Json]:
    """Dead letters of rows of a batch that were refused after decoding, with the record's bytes."""
    for record in refused:
        origin = record.origin
        source = batch.sources.index((origin.name, origin.partition))
        row = batch.frame.filter((pl.col("__source") == source) & (pl.col("__offset") == origin.offset))
        yield dead_letter(policy, replace(record, payload=row[PAYLOAD][0]))


def rank_of(epoch: str) -> int:
    return int(epoch.rpartition(":")[2])
