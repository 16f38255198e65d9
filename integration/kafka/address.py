"""Where something is in Kafka, as people write it: `kafka://HOST:PORT[,HOST:PORT]/NAME`."""

import re
from dataclasses import dataclass

from integration.kafka.client import KafkaError, check_address

SCHEME = "kafka://"
_NEARLY = re.compile(r"\s*kafka:/*", re.IGNORECASE)
_BROKERS = re.compile(r"[^/]+:\d+\s*")


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """The brokers, as clients take them, and the name of a topic or the prefix of several (which may be empty)."""

    brokers: str
    name: str


def is_kafka(text: str) -> bool:
    """Whether it is a place in Kafka, else it is a path.

    Raises KafkaError for a path that begins like a place in Kafka: taken for a file, whoever wrote it would believe that
    a job reads it.

    >>> is_kafka("kafka://127.0.0.1:9092/shop.config"), is_kafka("config/modes.jsonl")
    (True, False)
    """
    if text.startswith(SCHEME):
        return True
    nearly = _NEARLY.match(text)
    if nearly or _BROKERS.fullmatch(text.split("/")[0]):
        place = text[nearly.end() :] if nearly else text.strip()
        raise KafkaError(
            f"{text} is neither a place in Kafka nor clearly a file: write {SCHEME}{place} for Kafka, ./{text} for a file."
        )
    return False


def kafka_place(text: str, what: str) -> KafkaPlace:
    """
    >>> kafka_place("kafka://10.0.0.1:9092,10.0.0.2:9092/shop.events", "TOPIC")
    KafkaPlace(brokers='10.0.0.1:9092,10.0.0.2:9092', name='shop.events')

    `what` the name is (TOPIC, or PREFIX which may be left out). Raises KafkaError.
    """
    brokers, _, name = text.removeprefix(SCHEME).partition("/")
    check_address(brokers)
    if (not name and what != "PREFIX") or "/" in name:
        raise KafkaError(f"{text} is not a place in Kafka: write kafka://HOST:PORT/{what}.")
    return KafkaPlace(brokers, name)
