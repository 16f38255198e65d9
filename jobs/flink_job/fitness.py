"""What is looked at before a job is handed to the cluster: settings and topics that its answers depend on."""

from collections.abc import Mapping, Sequence

from integration.kafka.inputs import refuse_own_topics
from integration.kafka.properties import ClientProperties
from integration.kafka.timeline import read_timeline
from integration.kafka.topics import CONFIG, broker_settings, check_topics, job_topics, topic_name
from schemas.mendable import MendableError

_MODE = "execution.checkpointing.mode"
_UNALIGNED = "execution.checkpointing.unaligned.enabled"
_TRANSACTION_MS = 900_000


class UnfitError(MendableError):
    """The job would not be right here; the text says why and what to do."""


def check_settings(settings: Mapping[str, str]) -> None:
    """Refuses checkpoints under which a batch could be cut in two. `settings`: Flink's, as they are in effect."""
    if settings.get(_MODE, "EXACTLY_ONCE").upper().replace("-", "_") != "EXACTLY_ONCE":
        raise UnfitError(
            f"{_MODE} is {settings[_MODE]}: parts of a batch would be counted twice after a failure. Set it to "
            "EXACTLY_ONCE; for low latency use --delivery at-least-once, which concerns the sink only."
        )
    if settings.get(_UNALIGNED, "false").lower() == "true":
        raise UnfitError(
            f"{_UNALIGNED} is true: a checkpoint would be taken between the parts of a batch, and they would be lost. "
            "Set it to false."
        )


def check_job_topics(kafka: str, prefix: str, events: Sequence[str], properties: ClientProperties | None) -> str:
    """Refuses topics that are missing, set up so that answers would be wrong, or the job's own; returns the timeline's id.

    Raises UnfitError, KafkaError.
    """
    refuse_own_topics(prefix, events)
    differences = check_topics(kafka, job_topics(prefix, events), properties)
    if differences:
        raise UnfitError("\n".join(["topics are not as the job needs them:", *map(str, differences)]))
    config = topic_name(prefix, CONFIG.name)
    timeline = read_timeline(kafka, config, properties)
    if timeline is None:
        raise UnfitError(
            f"{config} is empty, so the timeline has no name. Write it with: watchgate topics create --kafka {kafka}"
            + (f" --prefix {prefix}" if prefix else "")
        )
    return timeline


def transaction_timeout_ms(kafka: str, properties: ClientProperties | None) -> int:
    """The broker's maximum: a job that is down for longer loses what its last checkpoint had written."""
    return int(broker_settings(kafka, properties).get("transaction.max.timeout.ms", _TRANSACTION_MS))
