"""stamp: the timeline of one subtask. Events come from the batcher, config records by broadcast.

State, as broadcast state of which each subtask keeps its own copy: the timeline, and the offset up to which it is
folded. Config records before that offset come again at every start and are passed over.
"""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import structlog
from pyflink.common import Row, Types
from pyflink.datastream import BroadcastProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from integration.kafka.client import KafkaError
from jobs.flink_job.config_log import ConfigEntry, ForeignTimelineError, read_config
from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.packets import PAYLOAD, Arrived, Events, Stretches, packed, unpacked
from jobs.flink_job.programs import compile_document, document_of
from jobs.flink_job.records import status_rows
from jobs.flink_job.shards import lane_name
from operators.batch import Batch, DeadRecord
from operators.documents import Json, dead_letter
from operators.stamp import stamp
from operators.timeline import Timeline

log = structlog.get_logger("watchgate")

TIMELINE = MapStateDescriptor("timeline", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
_KEY = "timeline"


class Stamp(BroadcastProcessFunction):
    """Packets in, (lane, packet) out; status by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.lane = lane_name(self.here.index, self.here.of)
        self.programs = self.job.programs()
        self.policy = self.programs.base.name
        self.timeline = Timeline(self.programs.base, compile_document, self.job.timeline, configured=True)
        self.folded = 0  # the header
        self.begun = False
        self.unread: KafkaError | None = None
        self.log: list[ConfigEntry] = []
        try:
            topic = self.job.topic("config")
            self.log = read_config(self.job.kafka, topic, self.job.timeline, self.job.properties)
        except ForeignTimelineError:
            raise
        except KafkaError as error:
            self.unread = error

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        yield from self._begin(ctx)
        arrived = unpacked(value[0], Arrived)
        stretches, refused = stamp(arrived.batch, self.timeline)
        self._keep(ctx)
        dead = [*arrived.dead, *letters(self.policy, arrived.batch, refused)]
        events = [
            Events.of(one, self._document(one.program), _rank(one.epochs[one.epoch_index[0]].id)) for one in stretches
        ]
        if events or dead:
            yield Row(self.lane, packed(Stretches(events, dead)))

    def process_broadcast_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        yield from self._begin(ctx)
        if self.unread is not None:
            self.unread = None
            yield from self._status(self.timeline.unavailable(False))
        taken_ms = int(datetime.fromisoformat(value[1]).replace(tzinfo=UTC).timestamp() * 1000)
        yield from self._fold(ConfigEntry(value[0], taken_ms, bytes(value[2] or b"")))
        self._keep(ctx)

    def _begin(self, ctx: Any) -> Iterator[Any]:
        """Goes on from the state, if there is one, and folds what the topic holds beyond it."""
        if self.begun:
            return
        self.begun = True
        saved = ctx.get_broadcast_state(TIMELINE).get(_KEY)
        if saved is not None:
            state = pickle.loads(saved)
            if self.unread is not None:
                raise self.unread
            yield from self._status(
                notice for notice in self.timeline.restore(state["timeline"]) if notice["kind"] != "policy_applied"
            )
            self.folded = state["folded"]
        if self.unread is not None:
            log.warning("the config topic cannot be read: every rule is shadow", error=str(self.unread))
            yield from self._status(self.timeline.unavailable(True))
        for entry in self.log:
            yield from self._fold(entry)
        self.log = []
        self._keep(ctx)

    def _fold(self, entry: ConfigEntry) -> Iterator[Any]:
        if entry.offset > self.folded:
            yield from self._status(self.timeline.offer(entry.value, entry.appended_ms))
            self.folded = entry.offset

    def _keep(self, ctx: Any) -> None:
        """Into the state. PyFlink lets only config records write it; the clock and the ages of features go on with
        events, so its own writable view of the same state is taken."""
        from pyflink.fn_execution.datastream.embedded.process_function import InternalBroadcastProcessFunctionContext

        writable = InternalBroadcastProcessFunctionContext(ctx._j_context, ctx._j_operator_state_backend)
        saved = pickle.dumps({"timeline": self.timeline.snapshot(), "folded": self.folded})
        writable.get_broadcast_state(TIMELINE).put(_KEY, saved)

    def _document(self, program: Any) -> bytes | None:
        return None if program.digest == self.programs.base.digest else document_of(program)

    def _status(self, documents: Any) -> Iterator[Any]:
        return status_rows(self.job, self.policy, self.here, documents)


def letters(policy: str, batch: Batch, refused: list[DeadRecord]) -> Iterator[Json]:
    """Dead letters of rows of a batch that were refused after decoding, with the record's bytes."""
    for record in refused:
        origin = record.origin
        source = batch.sources.index((origin.name, origin.partition))
        row = batch.frame.filter((pl.col("__source") == source) & (pl.col("__offset") == origin.offset))
        yield dead_letter(policy, replace(record, payload=row[PAYLOAD][0]))


def _rank(epoch: str) -> int:
    return int(epoch.rpartition(":")[2])
