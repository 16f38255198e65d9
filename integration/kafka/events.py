"""A Kafka topic as a source of events: partitions merged by the time at which the broker took each record.

A topic has no end: an empty chunk says that nothing new is there. Records come in the order of their partition, and
between partitions by append time as far as that is known, so that reading a backlog takes them in about the order in
which they happened. Bytes that are read ahead are bounded by what one fetch of each partition holds.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError, arguments, explained, opened
from integration.kafka.existing import events_spec, existing_topics
from integration.kafka.merging import Merged
from integration.kafka.properties import ClientProperties
from integration.sources.chunk import Chunk
from operators.batch import Origin, tombstone

_POLL_MS = 100
_FETCH_BYTES = 4 << 20
_ALL = 1 << 30
_WAIT_S = 1.0
"""So long a partition that should have records is waited for: one that is stuck must not hold up the others."""
_LOOK_S = 5.0
"""How often partitions are counted: a topic may get more."""
_GONE_S = 15.0
"""A broker that has just started may not know its topics yet."""
_BROKER_TIME = 1


class KafkaEvents:
    """`integration.sources.Source` on a topic. Raises KafkaError where it cannot be read, and where going on would
    silently leave records out."""

    def __init__(
        self,
        place: KafkaPlace,
        properties: ClientProperties | None = None,
        *,
        allow_create_time: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        from kafka import KafkaConsumer

        self.name = place.name
        self.broker_time = not allow_create_time
        self.missing: list[tuple[int, int, int]] = []
        """(partition, first, after the last): records that the broker had deleted before they were read."""
        self._brokers = place.brokers
        self._now = now
        found = existing_topics(place.brokers, {place.name: events_spec(allow_create_time)}, properties)
        self.cluster = found.cluster
        self._topic_id = found.idents[place.name]
        self._offsets: dict[int, int] = {}
        self._merged = Merged()
        self._stuck: dict[int, int] = {}
        """By partition: the position at which nothing came although something should have."""
        self._looked = self._seen = now()
        with explained(place.brokers):
            self._client = opened(
                KafkaConsumer,
                **arguments(place.brokers, properties)
                | {"isolation_level": "read_committed", "enable_auto_commit": False, "group_id": None}
                | {
                    "auto_offset_reset": "none",
                    "max_partition_fetch_bytes": _FETCH_BYTES,
                    "metadata_max_age_ms": 10_000,
                },
            )
            self._assign(set(range(found.partitions[place.name])))

    @property
    def offsets(self) -> dict[int, int]:
        """By partition: the offset behind the last record that was handed over."""
        return dict(self._offsets)

    def lag(self) -> dict[int, int]:
        """By partition: records that are in the topic and were not handed over, as far as the last fetch knows."""
        from kafka import TopicPartition

        ends = {n: self._client.highwater(TopicPartition(self.name, n)) for n in self._offsets}
        return {n: max(0, end - self._offsets[n]) for n, end in ends.items() if end is not None}

    def position(self) -> dict[str, Any]:
        return {"topic": self._topic_id, "offsets": {str(n): offset for n, offset in sorted(self._offsets.items())}}

    def seek(self, position: dict[str, Any]) -> None:
        if position["topic"] != self._topic_id:
            raise KafkaError(
                f"topic {self.name} at {self._brokers} was deleted and made again since this state read it: its offsets "
                "mean other records now. Start with an empty --state, or name the topic that the state was made with."
            )
        numbers = set(self._offsets)
        self._offsets = {int(n): offset for n, offset in position["offsets"].items()}
        with explained(self._brokers):
            self._check_bounds()
            self._assign(set(self._offsets) | numbers)

    def read(self, max_records: int) -> Chunk:
        self._look()
        began = self._now()
        while (behind := self._behind()) or not len(self._merged):
            with explained(self._brokers):
                self._poll(max_records)
            if not behind:
                break
            if self._now() - began > _WAIT_S:
                self._stuck |= {n: self._position(n) for n in self._behind()}
        unfinished = {n for n in self._offsets if self._more(n)}
        return self._chunk(self._merged.take(max_records, unfinished))

    def unfinished(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._client.close(autocommit=False)

    # reading

    def _poll(self, most: int) -> None:
        from kafka import TopicPartition, errors

        for n in self._offsets:
            partition = TopicPartition(self.name, n)
            if self._merged.size(n) >= most:
                self._client.pause(partition)
            else:
                self._client.resume(partition)
        try:
            # All that was fetched: kafka-python never comes back to a paused partition of which it gave out a part.
            polled = self._client.poll(timeout_ms=_POLL_MS, max_records=_ALL)
        except (errors.OffsetOutOfRangeError, errors.NoOffsetForPartitionError, errors.LogTruncationError) as error:
            raise KafkaError(
                f"topic {self.name} no longer has the records at which reading stood ({type(error).__name__}): they "
                "were deleted, by retention or with the topic, or lost by the cluster."
            ) from error
        for partition, records in polled.items():
            self._merged.add(partition.partition, records)

    def _behind(self) -> set[int]:
        """Partitions without a record at hand although there is one, except those that were waited for in vain."""
        return {
            n
            for n in self._offsets
            if not self._merged.size(n) and self._more(n) and self._stuck.get(n) != self._position(n)
        }

    def _more(self, n: int) -> bool:
        """Whether the partition has records that were not fetched, as far as is known."""
        from kafka import TopicPartition

        end = self._client.highwater(TopicPartition(self.name, n))
        return end is None or end > self._position(n)

    def _position(self, n: int) -> int:
        from kafka import TopicPartition

        return int(self._client.position(TopicPartition(self.name, n)))

    def _chunk(self, taken: list[tuple[int, Any]]) -> Chunk:
        """The chunk of these records; those without a value are dead."""
        records = [record for _, record in taken]
        for n, record in taken:
            self._offsets[n] = record.offset + 1
        if self.broker_time:
            _check_times(records)
        dead = [
            tombstone(Origin(self.name, record.partition, record.offset), record.timestamp)
            for record in records
            if record.value is None
        ]
        kept = [record for record in records if record.value is not None] if dead else records
        names = sorted({n for n, _ in taken})
        place = {n: i for i, n in enumerate(names)}
        return Chunk(
            "records",
            tuple((self.name, n) for n in names) or ((self.name, 0),),
            np.array([record.offset for record in kept], dtype=np.int64),
            np.array([place[record.partition] for record in kept], dtype=np.uint32),
            np.zeros(len(kept), dtype=np.int64),
            [record.value for record in kept],
            dead=dead,
            ingest=np.array([record.timestamp for record in kept], dtype=np.int64),
        )

    # partitions

    def _look(self) -> None:
        if self._now() - self._looked < _LOOK_S:
            return
        self._looked = self._now()
        with explained(self._brokers):
            numbers = self._client.partitions_for_topic(self.name)
            if numbers:
                self._seen = self._looked
                if numbers - set(self._offsets):
                    self._assign(numbers | set(self._offsets))
            elif self._looked - self._seen > _GONE_S:
                raise KafkaError(
                    f"topic {self.name} at {self._brokers} is gone: somebody deleted it. Nothing that was read is lost. "
                    "Make it again and start with an empty --state, or name another topic."
                )

    def _assign(self, numbers: set[int]) -> None:
        """Reads these partitions, each from behind what was fetched of it; a new one from its beginning."""
        from kafka import TopicPartition

        fetched = {n: self._position(n) for n in self._offsets if self._merged.size(n)}
        new = [TopicPartition(self.name, n) for n in sorted(numbers - set(self._offsets))]
        self._client.assign([TopicPartition(self.name, n) for n in sorted(numbers)])
        for partition, begin in (self._client.beginning_offsets(new) if new else {}).items():
            self._offsets[partition.partition] = begin
        for n in sorted(numbers):
            self._client.seek(TopicPartition(self.name, n), fetched.get(n, self._offsets[n]))

    def _check_bounds(self) -> None:
        """Says which records are missing; raises for offsets that the topic has not reached."""
        from kafka import TopicPartition

        partitions = [TopicPartition(self.name, n) for n in self._offsets]
        begins, ends = self._client.beginning_offsets(partitions), self._client.end_offsets(partitions)
        for partition in partitions:
            n = partition.partition
            if self._offsets[n] > ends[partition]:
                raise KafkaError(
                    f"topic {self.name}, partition {n}, ends at offset {ends[partition]}, and this state has read up to "
                    f"{self._offsets[n]}: the cluster lost records. Start with an empty --state, or restore the topic."
                )
            if self._offsets[n] < begins[partition]:
                self.missing.append((n, self._offsets[n], begins[partition]))
                self._offsets[n] = begins[partition]


def _check_times(records: Sequence[Any]) -> None:
    for record in records:
        if record.timestamp_type != _BROKER_TIME:
            raise KafkaError(
                f"record {record.offset} of {record.topic}, partition {record.partition}, has the time of its producer: "
                "it was written before the topic had message.timestamp.type=LogAppendTime. Use a new topic, or "
                "--allow-create-time if the producers' clocks are trusted."
            )
