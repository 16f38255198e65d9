"""The topics that a job is about to use: that they are there and fit, and which ones they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from integration.kafka.client import KafkaError, admin_client
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import EVENTS, TopicSpec, check_topics


@dataclass(frozen=True, slots=True)
class Existing:
    """Topics of one cluster. `idents`: by name what a topic of that name that is made again has different."""

    cluster: str
    idents: Mapping[str, str]
    partitions: Mapping[str, int]


def existing_topics(
    kafka: str, topics: Mapping[str, TopicSpec], properties: ClientProperties | None = None
) -> Existing:
    """Raises KafkaError with every topic that is missing or set up so that answers would be wrong, and its repair."""
    if differences := check_topics(kafka, topics, properties):
        raise KafkaError("\n".join(["topics are not as this job needs them:", *map(str, differences)]))
    with admin_client(kafka, properties) as admin:
        described = admin.describe_topics(list(topics))
        return Existing(
            admin.describe_cluster()["cluster_id"],
            {topic["name"]: str(topic["topic_id"]) for topic in described},
            {topic["name"]: len(topic["partitions"]) for topic in described},
        )


def topic_idents(
    kafka: str, topics: Mapping[str, TopicSpec], properties: ClientProperties | None = None
) -> dict[str, str]:
    """By name what a topic of that name that is made again has different. Raises KafkaError for topics that are not there."""
    missing: dict[str, list[str]] = {}
    for difference in check_topics(kafka, topics, properties):
        if difference.missing:
            missing.setdefault(difference.repair, []).append(difference.topic)
    if missing:
        told = "; ".join(f"{', '.join(names)} (repair: {repair})" for repair, names in missing.items())
        raise KafkaError(f"topics of this job are not there: {told}")
    with admin_client(kafka, properties) as admin:
        return {topic["name"]: str(topic["topic_id"]) for topic in admin.describe_topics(list(topics))}


def events_spec(allow_create_time: bool) -> TopicSpec:
    """What a topic of events must be like."""
    return TopicSpec(EVENTS.name) if allow_create_time else EVENTS
