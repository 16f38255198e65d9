"""What rules did in shadow, counted from the topics that a job writes."""

import time
from collections import Counter
from typing import Any

import orjson

from integration.kafka.address import KafkaPlace
from integration.kafka.client import KafkaError, reader
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import CONFIG

_SPAN_S = 86_400
_MOST = 200_000
"""Records of a topic that are looked at, the newest: reading more would take longer than a person waits."""


def shadow_lines(config: KafkaPlace, rule: str | None, properties: ClientProperties | None) -> list[str]:
    """Sentences about a rule, None for each that fired, from the topics beside the config topic."""
    prefix = config.name.removesuffix(CONFIG.name)
    try:
        verdicts = _newest(config.brokers, f"{prefix}verdicts.shadow", properties)
        actions = _newest(config.brokers, f"{prefix}enforcement.shadow", properties)
    except KafkaError as error:
        return [f"what happened in shadow is not known: {error}"]
    hits = Counter(fired["rule"] for verdict in verdicts for fired in verdict["rules"])
    acted = Counter(action["rule"] for action in actions)
    cut = f", among the newest {_MOST:,} verdicts" if len(verdicts) >= _MOST else ""
    return [
        f"{name}: {hits[name]:,} shadow hits in the last 24 h{cut}; live it would have acted {acted[name]:,} times"
        for name in (sorted(hits) if rule is None else [rule])
    ]


def _newest(brokers: str, topic: str, properties: ClientProperties | None) -> list[dict[str, Any]]:
    """The documents of the last day, each once: with at-least-once delivery some are there twice."""
    from kafka import TopicPartition

    with reader(brokers, properties) as consumer:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        if not partitions:
            raise KafkaError(f"there is no topic {topic}")
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        since = consumer.offsets_for_times(dict.fromkeys(partitions, int((time.time() - _SPAN_S) * 1000)))
        for partition in partitions:
            first = since[partition].offset if since.get(partition) else ends[partition]
            consumer.seek(partition, max(first, ends[partition] - _MOST // len(partitions)))
        found: dict[str, dict[str, Any]] = {}
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            polled = consumer.poll(timeout_ms=2_000)
            if not polled:
                break
            documents = (orjson.loads(record.value) for records in polled.values() for record in records)
            found |= {document["ce_id"]: document for document in documents}
    return list(found.values())
