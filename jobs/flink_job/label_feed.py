"""labels and desk: label records to the subtasks of observe that have their entities.

The desk is keyed by shard of the event's id: whatever partition a repeat or a correction comes by, it meets what is known
of its event.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from pyflink.common import Row, Time, Types
from pyflink.datastream import KeyedProcessFunction, ProcessFunction
from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.map_store import MapStore
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import ChangeShare, LabelBatch, LabelChange, LabelShare, packed, unpacked
from jobs.flink_job.record_batcher import Given, Read
from jobs.flink_job.records import RECORDS, rows
from jobs.flink_job.shards import ID_SHARDS, shard_names, shards_at, subtask_of
from operators.clock import AHEAD_MS
from operators.decode import Sources
from operators.documents import dead_letter
from operators.hashing import hash_series
from operators.labels.decode import LabelDecoder
from operators.labels.desk import Changes, LabelDesk
from operators.labels.part import changed_keys, count_unread
from operators.plan import Program
from operators.shards import shards_of, split, spread


def label_state(name: str, program: Program) -> MapStateDescriptor:
    """A map of what is known of labels. It goes by the wall clock, as labels have no other that is always there: twice as
    long after it was written as any window could need it, it is gone."""
    found = MapStateDescriptor(name, Types.STRING(), Types.PICKLED_BYTE_ARRAY())
    life = StateTtlConfig.new_builder(Time.milliseconds(2 * program.label_memory_ms))
    life.set_update_type(StateTtlConfig.UpdateType.OnCreateAndWrite)
    # Flink's defaults for cleaning up, written out: PyFlink asks a JVM for them, and would start one in the TaskManager.
    life.disable_cleanup_in_background().cleanup_incrementally(5, False)
    life.cleanup_in_rocksdb_compact_filter(1_000, Time.days(30))
    found.enable_time_to_live(life.build())
    return found


def labels_reader(job: JobFacts) -> Read:
    """Reads records of the labels topic. No label is known more than five minutes after the broker took it."""
    program, topic = job.programs().base, job.topic("labels")
    decoder = LabelDecoder(program)

    def read(given: Sequence[Given]) -> LabelBatch:
        _, values, partitions, offsets, at = zip(*given, strict=True)
        found, index = np.unique(np.array(partitions, np.int64), return_inverse=True)
        sources = Sources(tuple((topic, number) for number in found.tolist()), index.astype(np.uint32))
        latest = np.array(at, np.int64) + AHEAD_MS
        records = [value or b"" for value in values]
        labels, dead = decoder.records(records, np.array(offsets, np.int64), sources, latest)
        counted = labels.drop("__offset").with_columns(at_ms="known_ms")
        return LabelBatch(counted, [dead_letter(program.name, record) for record in dead])

    return read


class Labels(ProcessFunction):
    """Packets in, (shard of the event's id, labels) out; dead letters by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.meters = Meters(runtime_context.get_metrics_group())
        self.policy = self.job.programs().base.name

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        batch = unpacked(value[0], LabelBatch)
        for shard, labels in by_event(batch.labels):
            yield Row(shard, packed(LabelShare(labels)))
        self.meters.letters(batch.dead)
        for row in rows(self.job, self.policy, "deadletter", batch.dead):
            yield RECORDS, row


class Desk(KeyedProcessFunction):
    """(shard, labels) in, (shard of the entity, changes) out."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.program = self.job.programs().base
        self.store = MapStore(runtime_context.get_map_state(label_state("labels", self.program)))
        self.desk = LabelDesk(self.store, self.program.label_memory_ms)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        with self.meters.timed("labels"):
            changes, counts = self.desk.take(unpacked(value, LabelShare).labels, tuple(self.program.kinds))
            counts += count_unread(changes, self.program.kinds)
            written, values = self.desk.take_dirty()
            self.store.change(list(zip(written, values, strict=True)))
        for name, number in counts.items():
            self.meters.count("labels_total", number, outcome=name.removeprefix("labels").strip("_") or "read")
        for (kind, subtask), mine in by_entity(changes, self.program, self.here.of).items():
            yield Row(shards_at(kind, subtask, self.here.of)[0], packed(ChangeShare(kind, mine)))


def by_event(labels: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Labels by shard of the desk, in their order."""
    shards = spread(hash_series(labels["event_id"]), ID_SHARDS)
    for shard, at in split(shards, ID_SHARDS):
        yield shard_names("labels", ID_SHARDS)[shard], labels[at]


def by_entity(changes: Changes, program: Program, parallelism: int) -> Mapping[tuple[str, int], list[LabelChange]]:
    """Changes by the kind and subtask of observe that they concern, in their order."""
    found: dict[tuple[str, int], list[LabelChange]] = defaultdict(list)
    for kind, plan in program.kinds.items() if len(changes) else ():
        entities = changed_keys(changes, plan)
        for row, key, shard in zip(entities.row, entities.keys, shards_of(entities.keys), strict=True):
            change = LabelChange(
                key, changes.name[row], changes.event[row], changes.at_ms[row], changes.event_ms[row], changes.old[row],
                changes.new[row],
            )  # fmt: skip
            found[kind, subtask_of(int(shard), parallelism)].append(change)
    return found
