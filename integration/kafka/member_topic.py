"""The lists topic: compacted, one record for each list and entity, the newest counts (`schemas.members`)."""

from collections.abc import Iterable

from integration.kafka.address import KafkaPlace
from integration.kafka.client import producer
from integration.kafka.existing import existing_topics
from integration.kafka.following import FollowedTopic
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import LISTS


def follow_members(place: KafkaPlace, properties: ClientProperties | None = None) -> FollowedTopic:
    """Raises KafkaError for a topic that is not there, or set up so that it forgets members."""
    return FollowedTopic(place, LISTS, properties)


def write_members(
    place: KafkaPlace, records: Iterable[tuple[bytes, bytes | None]], properties: ClientProperties | None = None
) -> int:
    """Writes keys with values, None for a tombstone; how many. All are on all replicas when this returns."""
    existing_topics(place.brokers, {place.name: LISTS}, properties)
    with producer(place.brokers, properties, linger_ms=20) as client:
        sent = [client.send(place.name, key=key, value=value) for key, value in records]
        client.flush()
        for each in sent:
            each.get(timeout=30)
    return len(sent)
