"""watchgate tail: what a job writes, as it writes it."""

import sys
from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from jobs.cli.kafka_options import Kafka, Prefix, Properties, load_properties
from jobs.cli.shared import CommandError, mendable
from schemas.cloudevents import TYPES
from schemas.problem import did_you_mean

if TYPE_CHECKING:
    from integration.kafka.properties import ClientProperties

EXAMPLE = "Example: `watchgate tail enforcement --kafka 127.0.0.1:9092 --rule copied_text`"

_BEFORE = 10
"""Records of each partition that are shown before what is new."""


def command(
    kafka: Kafka,
    topic: Annotated[
        str, typer.Argument(help="verdicts, verdicts.shadow, enforcement, enforcement.shadow, deadletter or status.")
    ] = "verdicts",
    rule: Annotated[str | None, typer.Option(help="Only records about this rule.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line, as it was written.")] = False,
    prefix: Prefix = "",
    client_properties: Properties = None,
) -> None:
    """Print the last records of a topic and then each new one, until Ctrl-C. Only committed records are shown."""
    if topic not in TYPES:
        guess = did_you_mean(topic, TYPES)
        raise CommandError(
            f"error: there is no topic {topic} to tail{'; ' + guess if guess else '.'} There are: {', '.join(TYPES)}"
        )
    if rule is not None and topic == "deadletter":
        raise CommandError("error: a dead letter is about no rule: leave --rule out")
    properties = load_properties(client_properties)
    others: set[str] | None = set() if rule is not None else None
    try:
        with mendable():
            for value in follow(kafka, topic, prefix, properties):
                if value is None:
                    if rule is not None and others is not None:
                        print(_printable(waiting(rule, others)), file=sys.stderr)
                    others = None
                    continue
                if others is not None:
                    named = about(topic, value)
                    others = None if rule in named else others | named
                if line := shown(topic, value, rule, json):
                    print(line, flush=True)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone: nothing to say, and nobody to say it to


def follow(kafka: str, topic: str, prefix: str, properties: "ClientProperties | None") -> Iterator[bytes | None]:
    """The values of a topic's last records and of all that come, None where the last ones are through. Never ends.
    Raises KafkaError."""
    from kafka import TopicPartition

    from integration.kafka.client import KafkaError, reader
    from integration.kafka.topics import topic_name

    name = topic_name(prefix, topic)
    with reader(kafka, properties) as consumer:
        numbers = consumer.partitions_for_topic(name)
        if not numbers:
            raise KafkaError(
                f"there is no topic {name} at {kafka}. Make it with `watchgate topics create`, or name the --prefix."
            )
        partitions = [TopicPartition(name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, max(begins[partition], ends[partition] - _BEFORE))
        while True:
            polled = consumer.poll(timeout_ms=500)
            for records in polled.values():
                yield from (record.value for record in records if record.value is not None)
            if all(consumer.position(each) >= ends[each] for each in partitions):
                yield None


def shown(topic: str, value: bytes, rule: str | None, json: bool) -> str | None:
    """A record as a line for the terminal, None when it is not about the rule."""
    try:
        document = orjson.loads(value)
        if not isinstance(document, dict):
            raise ValueError
        if rule is not None and rule not in _rules(topic, document):
            return None
        if json:
            return value.decode()
        return _printable(_line(topic, document))
    except (ValueError, KeyError, TypeError):
        return f"(a record of {len(value)} bytes that is no {topic} document)"


def waiting(rule: str, others: Set[str]) -> str:
    """What somebody is told who asked for a rule that the last records are not about: its name may be mistyped."""
    if not others:
        return f"no record about {rule} yet; waiting for one"
    guess = did_you_mean(rule, others)
    known = guess if guess else f"they are about {', '.join(sorted(others))}"
    return f"none of the last records is about {rule} ({known}); waiting for one"


def about(topic: str, value: bytes) -> set[str]:
    """The rules, or subjects of a status, that a record is about; none of one that is no such document."""
    try:
        return set(_rules(topic, orjson.loads(value)))
    except (ValueError, KeyError, TypeError):
        return set()


def _rules(topic: str, document: Mapping[str, Any]) -> list[str]:
    if topic.startswith("verdicts"):
        return [fired["rule"] for fired in document["rules"]]
    return [document["rule"] if topic.startswith("enforcement") else _named(str(document["subject"]))]


def _named(subject: str) -> str:
    """The rule's name where a status is about one: `mode/flood`, which is its key in the config, `rule flood` or `flood`.

    Any other subject as it stands: `mode/*` is about no rule of that name.
    """
    return subject.removeprefix("mode/").removeprefix("rule ") if subject != "mode/*" else subject


def _line(topic: str, document: Mapping[str, Any]) -> str:
    if topic.startswith("verdicts"):
        rules = "; ".join(
            f"{fired['rule']}{_why(fired)} {fired['action']} {_target(fired['target'])}: {fired['reason']}"
            for fired in document["rules"]
        )
        return f"{document['ingest_time']} {document['event_type']} {document['event_id']}  {rules or 'no rule fired'}"
    if topic.startswith("enforcement"):
        until = f" until {document['expires_at']}" if document["expires_at"] else ""
        what = f"{document['action']} {_target(document['target'])}{until}"
        return (
            f"{document['at']} {document['severity']} {document['rule']}{_why(document)} {what}: {document['reason']}"
        )
    if topic == "deadletter":
        place, why = document["source"], f"{document['reason']}: {document['detail']}. {document['hint']}"
        return f"{place['name']}/{place['partition']}/{place['offset']} {why}"
    return f"{document['at'] or '-'} {document['kind']} {document['subject']}: {document['message']}"


def _why(document: Mapping[str, Any]) -> str:
    return f" ({document['shadow_reason']})" if document["shadow_reason"] else ""


def _target(target: Mapping[str, Any]) -> str:
    return f"{target['kind']}/{target['key'] if target['key'] is not None else '(none)'}"


def _printable(text: str) -> str:
    """Ids and keys come from events: nothing in them may act on the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
