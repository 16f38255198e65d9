"""A topic of records about a job (config, lists): read from where it was left to its end, and then followed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError, arguments, explained, opened
from integration.kafka.existing import existing_topics
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import TopicSpec

_POLL_MS = 200
_END_S = 60.0
_LOOK_S = 5.0
_GONE_S = 15.0


class FollowedTopic:
    """Records in the order of their partition; `offsets` are those of the next ones. Raises KafkaError."""

    def __init__(
        self,
        place: KafkaPlace,
        spec: TopicSpec,
        properties: ClientProperties | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        from kafka import KafkaConsumer, TopicPartition

        self.place = place
        self._now = now
        self._looked = self._seen = now()
        found = existing_topics(place.brokers, {place.name: spec}, properties)
        self.ident = found.idents[place.name]
        with explained(place.brokers):
            self._client = opened(
                KafkaConsumer,
                **arguments(place.brokers, properties)
                | {"isolation_level": "read_committed", "enable_auto_commit": False, "group_id": None}
                | {"auto_offset_reset": "none", "metadata_max_age_ms": 10_000},
            )
            self._partitions = [TopicPartition(place.name, n) for n in range(found.partitions[place.name])]
            self._client.assign(self._partitions)
        try:
            self.seek({})
        except BaseException:
            self.close()
            raise

    @property
    def offsets(self) -> dict[int, int]:
        with explained(self.place.brokers):
            return {partition.partition: self._client.position(partition) for partition in self._partitions}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Goes on from there; a partition that is not named begins at its first record."""
        with explained(self.place.brokers):
            begins = self._client.beginning_offsets(self._partitions)
            for partition in self._partitions:
                begin = begins[partition]
                self._client.seek(partition, max(begin, offsets.get(partition.partition, begin)))

    def read_to_end(self) -> list[Any]:
        """All that the topic holds now, as records of kafka-python."""
        with explained(self.place.brokers):
            ends = self._client.end_offsets(self._partitions)
        for partition, end in ends.items():
            if self._client.position(partition) > end:
                raise KafkaError(
                    f"topic {self.place.name} ends at offset {end}, and this state has read up to "
                    f"{self._client.position(partition)}: the cluster lost records, or the topic was made again. Start "
                    "with an empty --state."
                )
        found: list[Any] = []
        began = self._now()
        while any(self._client.position(partition) < end for partition, end in ends.items()):
            if self._now() - began > _END_S:
                raise KafkaError(f"topic {self.place.name} could not be read to its end within {_END_S:g} s")
            found += self._poll(_POLL_MS)
        return found

    def read_new(self) -> list[Any]:
        """What was appended since, without waiting for any."""
        self._look()
        return self._poll(0)

    def read_soon(self) -> list[Any]:
        """What was appended since, waited for a moment."""
        return self._poll(_POLL_MS)

    def skip_to_end(self) -> None:
        """Only what comes from now on is read."""
        with explained(self.place.brokers):
            for partition, end in self._client.end_offsets(self._partitions).items():
                self._client.seek(partition, end)

    def close(self) -> None:
        self._client.close(autocommit=False)

    def _poll(self, wait_ms: int) -> list[Any]:
        with explained(self.place.brokers):
            return [record for polled in self._client.poll(timeout_ms=wait_ms).values() for record in polled]

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
                f"topic {self.place.name} at {self.place.brokers} is gone: somebody deleted it. Make a new one under "
                "another name, publish to it what was in force, and start with an empty --state."
            )
