"""The timeline's id, which is the first record of a config topic: it tells one config topic from all others."""

import uuid

import orjson

from integration.kafka.client import KafkaError, producer, reader
from integration.kafka.properties import ClientProperties


def read_timeline(kafka: str, topic: str, properties: ClientProperties | None = None) -> str | None:
    """The timeline's id: the first record of a config topic. None when the topic is empty.

    Raises KafkaError when the first record is something else, or is gone.
    """
    from kafka import TopicPartition

    with reader(kafka, properties) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        begin = consumer.beginning_offsets([partition])[partition]
        end = consumer.end_offsets([partition])[partition]
        if begin:
            raise KafkaError(
                f"the config topic {topic} has lost its first {begin} records: something deleted them, or its "
                "retention was not unlimited. What was in force cannot be known any more. Make a new config topic with "
                "`watchgate topics create --prefix NEW` and publish the policy and the modes to it."
            )
        if not end:
            return None
        consumer.seek(partition, 0)
        records = consumer.poll(timeout_ms=10_000, max_records=1).get(partition, [])
        value = records[0].value if records else None
    try:
        document = orjson.loads(value or b"")
        return str(document["timeline"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise KafkaError(
            f"the first record of {topic} is not a timeline's id: it was not made by `watchgate topics create`, or "
            "something wrote to it before. Name another topic, or make a new one: watchgate topics create --prefix NEW."
        ) from None


def write_timeline(kafka: str, topic: str, properties: ClientProperties | None = None) -> str:
    """Writes a new timeline's id into an empty config topic."""
    timeline = uuid.uuid4().hex[:12]
    with producer(kafka, properties) as client:
        client.send(topic, key=b"timeline", value=orjson.dumps({"timeline": timeline}), partition=0).get(timeout=30)
    return timeline
