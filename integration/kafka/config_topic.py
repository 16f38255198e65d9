"""The config log as a topic: one partition, kept for ever.

The first record names the timeline. A record's append time is the broker's, so whoever writes it cannot say that it
was in force before it was there.
"""

from collections.abc import Callable
from typing import Any

from integration.config_log import ConfigLine
from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError, producer
from integration.kafka.existing import existing_topics
from integration.kafka.following import FollowedTopic
from integration.kafka.properties import ClientProperties
from integration.kafka.timeline import read_timeline
from integration.kafka.topics import CONFIG

_LARGEST = 1 << 25
"""Bytes of a request: whether a record is too large for the topic the broker says."""


class ConfigTopic:
    """`integration.config_log.ConfigLog` on a topic. `offset` is that of the next record to read.

    Raises KafkaError for a topic that is not there, not a config log, or set up so that it could forget.
    """

    def __init__(self, place: KafkaPlace, properties: ClientProperties | None = None) -> None:
        self.place = place
        self._topic = FollowedTopic(place, CONFIG, properties)
        timeline = read_timeline(place.brokers, place.name, properties)
        if timeline is None:
            self._topic.close()
            raise KafkaError(
                f"the config topic {place.name} at {place.brokers} is empty: it names no timeline. "
                "`watchgate topics create` writes it."
            )
        self.timeline: str = timeline

    @property
    def offset(self) -> int:
        return self._topic.offsets[0]

    @offset.setter
    def offset(self, offset: int) -> None:
        self._topic.seek({0: offset})

    def read_to_end(self) -> list[ConfigLine]:
        return _lines(self._topic.read_to_end())

    def read_new(self) -> list[ConfigLine]:
        return _lines(self._topic.read_new())

    def close(self) -> None:
        self._topic.close()


def append(
    place: KafkaPlace, key: str, record: Callable[[], bytes], properties: ClientProperties | None = None
) -> None:
    """Adds a record, asked for when the connection stands; it is on all replicas when this returns. Raises KafkaError."""
    existing_topics(place.brokers, {place.name: CONFIG}, properties)
    with producer(place.brokers, properties, max_request_size=_LARGEST) as client:
        client.send(place.name, key=key.encode(), value=record(), partition=0).get(timeout=30)


def _lines(records: list[Any]) -> list[ConfigLine]:
    """Without the first record of the topic, which names the timeline."""
    return [ConfigLine(record.value or b"", record.timestamp) for record in records if record.offset > 0]
