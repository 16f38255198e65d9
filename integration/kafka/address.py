"""Where something is in Kafka, as people write it: `kafka://HOST:PORT[,HOST:PORT]/NAME`."""

from dataclasses import dataclass

from integration.kafka.client import KafkaError, check_address

SCHEME = "kafka://"


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """The brokers, as clients take them, and the name of a topic or the prefix of several (which may be empty)."""

    brokers: str
    name: str


def is_kafka(text: str) -> bool:
    return text.startswith(SCHEME)


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
