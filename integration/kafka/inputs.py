"""Topics that must not be taken for topics of events: a job's own, and those that Watchgate made for something else."""

from collections.abc import Iterable

from integration.kafka.client import KafkaError
from integration.kafka.topics import EVENTS, LABELS, TOPICS, confused, kind_of, topic_name

_WRITTEN = (EVENTS.name, LABELS.name)
"""Topics into which whoever has the data writes records."""


def refuse_own_topics(prefix: str, events: Iterable[str]) -> None:
    """Raises KafkaError for an input that is another topic of the job with this prefix: it would be fed by what it writes."""
    own = {topic_name(prefix, spec.name): spec.name for spec in TOPICS if spec is not EVENTS}
    for topic in events:
        if topic in own:
            said = confused(topic, own[topic], EVENTS.name)
            raise KafkaError(
                f"{said} Of the topics of its own prefix a job reads events from that one only: what it writes there would "
                "come back as events, and never end."
            )


def refuse_made_topic(topic: str, there: Iterable[str]) -> None:
    """Raises KafkaError for a topic that Watchgate made, and not for records of a file. `there`: the cluster's topics.

    A topic of anybody may be called `user.status`; with most of a job's other topics beside it it is a job's.
    """
    kind = kind_of(topic)
    if kind is None or kind in _WRITTEN:
        return
    begin = topic.removesuffix(kind)
    others = {f"{begin}{spec.name}" for spec in TOPICS} - {topic}
    if 2 * len(others & set(there)) > len(others):
        said = confused(topic, kind, EVENTS.name)
        raise KafkaError(
            f"{said} Watchgate made it for a job, and records of a file in it would be junk there for good; nothing was "
            "written."
        )
