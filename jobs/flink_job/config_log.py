"""The config topic, read from its first record to its end before the first event is stamped.

A switch that was thrown while the job was down holds from the first event on, whatever the order in which Flink brings
records and events.
"""

import time
from dataclasses import dataclass

from integration.kafka.client import KafkaError, reader
from integration.kafka.properties import ClientProperties
from integration.kafka.timeline import read_timeline

_POLL_MS = 1_000


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """A record: its offset, when the broker took it, and its bytes."""

    offset: int
    appended_ms: int
    value: bytes


def read_config(
    kafka: str, topic: str, timeline: str, properties: ClientProperties | None, seconds: float = 60.0
) -> list[ConfigEntry]:
    """All records after the header, up to the end that the topic has now. Tries again for `seconds`.

    Raises KafkaError when it cannot be read, or belongs to another timeline.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _read(kafka, topic, timeline, properties)
        except ForeignTimelineError:
            raise
        except KafkaError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


class ForeignTimelineError(KafkaError):
    """The config topic is not the one that the job was started with."""


def _read(kafka: str, topic: str, timeline: str, properties: ClientProperties | None) -> list[ConfigEntry]:
    from kafka import TopicPartition

    found = read_timeline(kafka, topic, properties)
    if found != timeline:
        raise ForeignTimelineError(
            f"the config topic {topic} is timeline {found or '(empty)'}, the job was started with timeline {timeline}: "
            "somebody made the topic anew. What was in force can no longer be known: start the job again, without its "
            "state, or bring the old topic back"
        )
    entries: list[ConfigEntry] = []
    with reader(kafka, properties) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        consumer.seek(partition, 0)
        silent = 0
        while consumer.position(partition) < end:
            records = consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
            silent = 0 if records else silent + 1
            if silent > 10:
                raise KafkaError(f"Kafka at {kafka} gives no records of {topic}, which has {end}.")
            entries += [ConfigEntry(r.offset, r.timestamp, r.value or b"") for r in records if 0 < r.offset < end]
    return entries
