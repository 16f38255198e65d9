"""The config log as a topic: one partition, kept for ever, read from its beginning and then followed.

The first record names the timeline. A record's append time is the broker's, so whoever writes it cannot say that it
was in force before it was there.
"""

import time
from collections.abc import Callable
from typing import Any

from integration.config_log import ConfigLine
from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError, arguments, explained, producer
from integration.kafka.existing import existing_topics
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import CONFIG, read_timeline

_POLL_MS = 200
_END_S = 30.0
_LOOK_S = 5.0
_GONE_S = 15.0


class ConfigTopic:
    """`integration.config_log.ConfigLog` on a topic. `offset` is that of the next record to read."""

    def __init__(
        self,
        place: KafkaPlace,
        properties: ClientProperties | None = None,
        offset: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises KafkaError for a topic that is not there, not a config log, or set up so that it could forget."""
        from kafka import KafkaConsumer

        self.place = place
        self.offset = offset
        self._now = now
        self._looked = self._seen = now()
        existing_topics(place.brokers, {place.name: CONFIG}, properties)
        timeline = read_timeline(place.brokers, place.name, properties)
        if timeline is None:
            raise KafkaError(
                f"the config topic {place.name} at {place.brokers} is empty: it names no timeline. "
                "`watchgate topics create` writes it."
            )
        self.timeline: str = timeline
        with explained(place.brokers):
            self._client = KafkaConsumer(
                **arguments(place.brokers, properties)
                | {"isolation_level": "read_committed", "enable_auto_commit": False, "group_id": None}
                | {"auto_offset_reset": "none", "metadata_max_age_ms": 10_000}
            )
            self._client.assign([self._partition])
            self._sought = -1

    def read_to_end(self) -> list[ConfigLine]:
        """The records after `offset` up to what the topic holds now. Raises KafkaError when the broker does not give
        them."""
        with explained(self.place.brokers):
            end = self._client.end_offsets([self._partition])[self._partition]
        if self.offset > end:
            raise KafkaError(
                f"the config topic {self.place.name} ends at offset {end}, and this state has read up to {self.offset}: "
                "the cluster lost records, or the topic was made again. Start with an empty --state."
            )
        lines: list[ConfigLine] = []
        began = self._now()
        while self.offset < end:
            if self._now() - began > _END_S:
                raise KafkaError(f"the config topic {self.place.name} could not be read to its end within {_END_S:g} s")
            lines += self._poll(_POLL_MS)
        return lines

    def read_new(self) -> list[ConfigLine]:
        """The records that were appended since, without waiting for any."""
        self._look()
        return self._poll(0)

    def close(self) -> None:
        self._client.close(autocommit=False)

    @property
    def _partition(self) -> Any:
        from kafka import TopicPartition

        return TopicPartition(self.place.name, 0)

    def _poll(self, wait_ms: int) -> list[ConfigLine]:
        with explained(self.place.brokers):
            if self._sought != self.offset:
                self._client.seek(self._partition, self.offset)
            polled = self._client.poll(timeout_ms=wait_ms).get(self._partition, [])
            self.offset = self._sought = self._client.position(self._partition)
        return [ConfigLine(r.value or b"", r.timestamp) for r in polled if r.offset > 0]

    def _look(self) -> None:
        if self._now() - self._looked < _LOOK_S:
            return
        self._looked = self._now()
        with explained(self.place.brokers):
            there = self._client.partitions_for_topic(self.place.name)
        if there:
            self._seen = self._looked
        elif self._looked - self._seen > _GONE_S:
            raise KafkaError(
                f"the config topic {self.place.name} at {self.place.brokers} is gone: somebody deleted it, and with it "
                "the audit log. Make a new one under another name and start with an empty --state."
            )


def append(place: KafkaPlace, record: bytes, key: str, properties: ClientProperties | None = None) -> int:
    """Adds a record and returns its offset, when all replicas have it. Raises KafkaError."""
    existing_topics(place.brokers, {place.name: CONFIG}, properties)
    with producer(place.brokers, properties) as client:
        sent = client.send(place.name, key=key.encode(), value=record, partition=0)
        return int(sent.get(timeout=30).offset)
