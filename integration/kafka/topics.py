"""The topics of a job: how each must be set up, making them, and saying what is different.

A setting is `required` where an answer depends on it: a topic with producer times would let a producer choose which
epoch judges its event, a config topic that forgets would forget the panic switch. Everything else is a start value,
free to change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.kafka.client import KafkaError, admin_client
from integration.kafka.properties import ClientProperties
from integration.kafka.timeline import read_timeline, write_timeline

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

_DAY_MS = 86_400_000
_PARTITIONS = 4
_BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1"}
_BROKER_TIME_WHY = "one clock: epochs, cooldowns and expiry go by the time at which the broker took the record"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: `required` settings hold at every start of a job, `initial` ones only when the topic is made.

    `partitions` None: as many as asked for. `why` is said where a required setting is found different.
    """

    name: str
    partitions: int | None = None
    required: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * _DAY_MS)}


EVENTS = TopicSpec("events", required=_BROKER_TIME, initial=_days(7), why=_BROKER_TIME_WHY)
CONFIG = TopicSpec(
    "config",
    partitions=1,
    required=_BROKER_TIME | {"cleanup.policy": "delete"} | _FOR_EVER,
    why="it is the audit log and the policy in force is the fold of all its records, in one order",
)
LISTS = TopicSpec(
    "lists",
    required=_BROKER_TIME | {"cleanup.policy": "compact"},
    # A removal must still be there for a job that was down for a while.
    initial={"delete.retention.ms": str(7 * _DAY_MS)},
    why="it holds the newest state of every list entry, for as long as there is one",
)
LABELS = TopicSpec("labels", required=_BROKER_TIME, initial=_days(90), why=_BROKER_TIME_WHY)
OUTPUTS = (
    TopicSpec("verdicts", initial=_days(30)),
    TopicSpec("verdicts.shadow", initial=_days(30)),
    TopicSpec("enforcement", initial=_days(90)),
    TopicSpec("enforcement.shadow", initial=_days(30)),
    TopicSpec("deadletter", initial=_days(14)),
    TopicSpec("status", initial=_days(30)),
)
TOPICS = (EVENTS, *OUTPUTS, CONFIG, LISTS, LABELS)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it must be, and the command or step that repairs it; none where a repair would spoil the topic."""

    topic: str
    what: str
    repair: str
    missing: bool = False

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}" + (f"\n  repair: {self.repair}" if self.repair else "")


@dataclass(frozen=True, slots=True)
class Created:
    """What `create_topics` did: names it made, names that were there with their partitions, differences left, and the
    timeline's id. `uneven`: those of `found` that have another number of partitions than was asked for."""

    made: tuple[str, ...]
    found: dict[str, int]
    uneven: frozenset[str]
    differences: tuple[Difference, ...]
    timeline: str


def topic_name(prefix: str, name: str) -> str:
    """
    >>> topic_name("", "verdicts"), topic_name("shop", "verdicts"), topic_name("shop-", "verdicts")
    ('verdicts', 'shop.verdicts', 'shop-verdicts')
    """
    return f"{prefix}{name}" if not prefix or prefix[-1] in ".-_" else f"{prefix}.{name}"


def create_topics(
    kafka: str,
    prefix: str = "",
    *,
    partitions: int | None = None,
    replication: int = -1,
    properties: ClientProperties | None = None,
) -> Created:
    """Makes the topics that are missing and changes none that is there; may be run again at any time.

    `partitions` None: as many as most of the prefix's topics have that are there, 4 where there are none. The config topic gets its first record, the timeline's id. `replication` -1: the broker's default.
    Raises KafkaError.
    """
    with admin_client(kafka, properties) as admin:
        there = set(admin.list_topics())
        wanted = {topic_name(prefix, spec.name): spec for spec in TOPICS}
        missing = {name: spec for name, spec in wanted.items() if name not in there}
        found = {name: _partitions(admin, name) for name in sorted(set(wanted) & there)}
        free = {name: count for name, count in found.items() if wanted[name].partitions is None}
        count = partitions or next((most for most, _ in Counter(free.values()).most_common(1)), _PARTITIONS)
        for name, spec in missing.items():
            _create(admin, name, spec, count, replication)
        if missing:
            admin.wait_for_topics(list(missing))
        differences = []
        for name, spec in wanted.items():
            differences += _differences(admin, kafka, name, spec)
    config = topic_name(prefix, CONFIG.name)
    timeline = read_timeline(kafka, config, properties)
    if timeline is None:
        write_timeline(kafka, config, properties)
        timeline = read_timeline(kafka, config, properties)  # the first in the log counts, whoever wrote it
    uneven = frozenset(name for name, has in free.items() if partitions and has != partitions)
    return Created(tuple(missing), found, uneven, tuple(differences), timeline or "")


def check_topics(
    kafka: str,
    topics: Mapping[str, TopicSpec],
    properties: ClientProperties | None = None,
) -> list[Difference]:
    """What is different from the specs, topic name -> spec; empty when all is right. Changes nothing."""
    with admin_client(kafka, properties) as admin:
        there = set(admin.list_topics())
        found = []
        for name, spec in topics.items():
            if name in there:
                found += _differences(admin, kafka, name, spec)
            else:
                found.append(Difference(name, "it does not exist.", _make(kafka, name, spec), missing=True))
        return found


def job_topics(prefix: str, events: Sequence[str] = ()) -> dict[str, TopicSpec]:
    """The topics that a job needs, by full name: its outputs, config, lists and labels, and the events it was told to read."""
    named = {topic_name(prefix, spec.name): spec for spec in (*OUTPUTS, CONFIG, LISTS, LABELS)}
    return dict.fromkeys(events or (topic_name(prefix, EVENTS.name),), EVENTS) | named


def broker_settings(kafka: str, properties: ClientProperties | None = None) -> dict[str, str]:
    """Every setting of one broker of the cluster that has a value. Raises KafkaError."""
    from kafka.admin import ConfigResource, ConfigResourceType

    with admin_client(kafka, properties) as admin:
        broker = str(admin.describe_cluster()["brokers"][0]["broker_id"])
        found = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, broker)], config_filter="all")
        entries = found["broker"][broker].items()
        return {key: entry["value"] for key, entry in entries if entry["value"] is not None}


def kind_of(name: str) -> str | None:
    """What the topic of a job would be that has this full name: the longest one that fits.

    >>> kind_of("shop.verdicts.shadow"), kind_of("shop-config"), kind_of("status"), kind_of("preconfig")
    ('verdicts.shadow', 'config', 'status', None)
    """
    called = [
        each.name for each in TOPICS if name == each.name or name.endswith(tuple(f"{c}{each.name}" for c in ".-_"))
    ]
    return max(called, key=len, default=None)


def confused(name: str, kind: str, wanted: str) -> str:
    """What is said of a topic that is `kind` where one that is `wanted` is needed."""
    return f"{name} is {_a(kind)} topic, not {_a(wanted)} topic; did you mean {name.removesuffix(kind)}{wanted}?"


def _mistaken(name: str, spec: TopicSpec) -> str | None:
    """What is said of a topic with the name of another one of a job: to set it up as `spec` would spoil it, or make a wrong one.

    Events may be in topics of any name.
    """
    kind = kind_of(name)
    return None if kind is None or spec.name in (EVENTS.name, kind) else confused(name, kind, spec.name)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _make(kafka: str, name: str, spec: TopicSpec) -> str:
    if mistaken := _mistaken(name, spec):
        return mistaken
    if name.endswith(spec.name):
        prefix = name.removesuffix(spec.name).rstrip(".")
        return f"watchgate topics create --kafka {kafka}" + (f" --prefix {prefix}" if prefix else "")
    return "make it with " + ", ".join(f"{key}={value}" for key, value in spec.required.items())


def _create(admin: "KafkaAdminClient", name: str, spec: TopicSpec, partitions: int, replication: int) -> None:
    from kafka import errors

    settings = dict(spec.initial) | dict(spec.required)
    if replication >= 3:
        settings["min.insync.replicas"] = "2"
    options = {
        "num_partitions": spec.partitions or partitions,
        "replication_factor": replication,
        "configs": settings,
    }
    try:
        admin.create_topics({name: options})
    except errors.TopicAlreadyExistsError:
        pass  # somebody made it in this moment; what it is like is looked at afterwards
    except errors.InvalidReplicationFactorError:
        raise KafkaError(
            f"topic {name} cannot be made: the cluster has too few brokers for --replication {replication}."
        ) from None
    except errors.InvalidTopicError:
        raise KafkaError(
            f"{name} is not a topic's name: letters, digits, dot, _ and - are, up to 249 of them. Change --prefix."
        ) from None


def _partitions(admin: "KafkaAdminClient", name: str) -> int:
    return len(admin.describe_topics([name])[0]["partitions"])


def _differences(admin: "KafkaAdminClient", kafka: str, name: str, spec: TopicSpec) -> list[Difference]:
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    settings = admin.describe_configs([resource], config_filter="all")["topic"][name]
    found = []
    for key, wanted in spec.required.items():
        value = settings.get(key, {}).get("value")
        if value != wanted:
            command = f"python -m kafka.admin -b {kafka} configs alter -r topic -n {name} -c {key}={wanted}"
            if key == "message.timestamp.type":
                command += " (records already in the topic keep the time that their producer gave them)"
            found.append(Difference(name, f"{key} is {value}, it must be {wanted}: {spec.why}.", command))
    partitions = _partitions(admin, name)
    if spec.partitions and partitions != spec.partitions:
        what = f"it has {partitions} partitions, it must have {spec.partitions}: {spec.why}."
        found.append(Difference(name, what, "partitions cannot be taken away: make a new topic, with another --prefix"))
    if found and (mistaken := _mistaken(name, spec)):
        return [Difference(name, mistaken, repair="")]
    return found
