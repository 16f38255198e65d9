"""lists: records of the lists topic to the subtasks of observe that have their entities."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl
from pyflink.common import Row
from pyflink.datastream import ProcessFunction

from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError
from integration.kafka.following import FollowedTopic
from integration.kafka.member_topic import follow_members
from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.members import KindMembers
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import ListBatch, ListRecord, ListShare, packed, unpacked
from jobs.flink_job.record_batcher import Given, Read
from jobs.flink_job.records import status_rows
from jobs.flink_job.shards import shards_at, subtask_of
from jobs.member_record import Refusals, read_entry
from operators.plan import Program
from operators.shards import shards_of
from schemas.members import MemberError

_WAIT_S = 60.0


def lists_reader(job: JobFacts) -> Read:
    """Reads records of the lists topic."""
    return partial(read_batch, job.programs().base)


class Lists(ProcessFunction):
    """Packets in, (shard, share) out; status by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.policy = self.job.programs().base.name
        self.refusals = Refusals()

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        batch = unpacked(value[0], ListBatch)
        for (kind, subtask), records in by_subtask(batch.records, self.here.of).items():
            yield Row(shards_at(kind, subtask, self.here.of)[0], packed(ListShare(kind, records)))
        topic = self.job.topic("lists")
        for partition, offset, at_ms, why in batch.refused:
            refused = self.refusals.of(topic, partition, offset, why, at_ms)
            yield from status_rows(self.job, self.policy, self.here, self.meters, refused)


def read_batch(program: Program, records: Iterable[Given]) -> ListBatch:
    """What records say."""
    batch = ListBatch([], [])
    for key, value, partition, offset, at_ms in records:
        try:
            batch.records.append(ListRecord(partition, offset, at_ms, read_entry(program, key, value)))
        except MemberError as error:
            batch.refused.append((partition, offset, at_ms, str(error)))
    return batch


def by_subtask(records: list[ListRecord], parallelism: int) -> Mapping[tuple[str, int], list[ListRecord]]:
    """Records by the kind and subtask of observe that they concern, in their order."""
    found: dict[tuple[str, int], list[ListRecord]] = defaultdict(list)
    shards = shards_of(pl.Series([record.entry.key for record in records], dtype=pl.Binary))
    for record, shard in zip(records, shards, strict=True):
        found[record.entry.kind, subtask_of(int(shard), parallelism)].append(record)
    return found


def follow_lists(job: JobFacts, seconds: float = _WAIT_S) -> FollowedTopic:
    """The lists topic. Tries again for `seconds`: a broker that has just started may not know its topics yet. Raises
    KafkaError."""
    until = time.monotonic() + seconds
    while True:
        try:
            return follow_members(KafkaPlace(job.kafka, job.topic("lists")), job.properties)
        except KafkaError:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


def read_to_end(topic: FollowedTopic, program: Program, members: Mapping[str, KindMembers], here: Subtask) -> None:
    """Tells `members`, by kind, what the topic holds beyond what they have read. Who reads the topic as a source says
    what is refused."""
    positions = [each.position for each in members.values()]
    known = set.intersection(*map(set, positions))
    topic.seek({n: min(position[n] for position in positions) for n in known})
    given = ((r.key, r.value, r.partition, r.offset, r.timestamp) for r in topic.read_to_end())
    found = by_subtask(read_batch(program, given).records, here.of)
    for kind, each in members.items():
        each.take(found.get((kind, here.index), []), topic.offsets)
