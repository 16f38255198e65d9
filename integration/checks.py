"""Whether this machine and a Kafka cluster are fit for a job: one answer a question, with what to do."""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from integration.jars import JarsError, cached_jars, find_maven, jars_folder
from integration.java import JavaError, find_java
from integration.kafka.client import KafkaError
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import Difference

Level = Literal["ok", "warn", "fail"]

_FLINK = "2.3.0"
_FLINK_NEEDS = (3, 12)
_KAFKA_LEAST = (2, 8)
_MINUTE_MS = 60_000
_TOLERATED_MS = 15 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `todo` is empty when there is nothing to do."""

    level: Level
    what: str
    todo: str = ""


def check_machine(flink: bool = True) -> Iterator[Check]:
    """Python, packages, and with `flink` Java, the jars and what the Python inside Flink will find."""
    yield _python()
    yield _package("kafka-python", "3.0", "pip install 'kafka-python>=3.0.12'")
    yield _package(
        "crc32c",
        None,
        "pip install crc32c",
        why="checksums of records are computed in Python without it, ten times slower",
    )
    if flink:
        yield _package("apache-flink", _FLINK, "pip install '.[flink]' in Watchgate's folder")
        yield _java()
        yield _jars()
        yield _pemja(os.environ.get("PYTHONPATH", ""))


def check_kafka(
    kafka: str, prefix: str = "", events: Sequence[str] = (), properties: ClientProperties | None = None
) -> Iterator[Check]:
    """The broker, its transaction timeout, the topics and the timeline. Stops at a broker that cannot be reached."""
    from integration.kafka.timeline import read_timeline
    from integration.kafka.topics import CONFIG, broker_settings, check_topics, job_topics, topic_name

    try:
        settings = broker_settings(kafka, properties)
        yield Check("ok", f"Kafka at {kafka} answers")
        yield _broker_version(kafka, properties)
        yield transaction_timeout(settings)
        yield offsets_retention(settings)
        differences = check_topics(kafka, job_topics(prefix, events), properties)
        yield from _topics(differences)
        if not differences:
            yield Check(
                "ok", f"all {len(job_topics(prefix, events))} topics are there, with the settings that they need"
            )
        config = topic_name(prefix, CONFIG.name)
        if not any(difference.topic == config for difference in differences):
            yield _timeline(config, read_timeline(kafka, config, properties), kafka, prefix)
    except KafkaError as error:
        yield Check(
            "fail", str(error), "watchgate local up starts a broker on this machine" if "reached" in str(error) else ""
        )


def transaction_timeout(settings: Mapping[str, str]) -> Check:
    """How long a job may be down before output of its last checkpoint is lost."""
    value = settings.get("transaction.max.timeout.ms")
    if value is None:
        return Check(
            "warn", "the broker does not tell its transaction.max.timeout.ms", "allow DESCRIBE_CONFIGS on the cluster"
        )
    tolerated = int(value)
    text = (
        f"transactions may stay open for {_span(tolerated)} (the broker's transaction.max.timeout.ms): a job that is "
        "down for longer than that loses output that a checkpoint had promised"
    )
    if tolerated < _TOLERATED_MS:
        return Check("fail", text, f"raise it on the brokers to {_TOLERATED_MS} or more (an hour is 3600000)")
    if tolerated < 4 * _TOLERATED_MS:
        return Check("warn", text, "raise it on the brokers if an outage may take longer (an hour is 3600000)")
    return Check("ok", text)


def offsets_retention(settings: Mapping[str, str]) -> Check:
    """How long a stopped embedded job can be taken up again: its checkpoint number stands in its group's offsets."""
    minutes = int(settings.get("offsets.retention.minutes", "10080"))
    text = f"offsets of a group without members are kept for {_span(minutes * _MINUTE_MS)} (offsets.retention.minutes)"
    if minutes < 1440:
        return Check(
            "warn",
            f"{text}: after a longer stop `watchgate run` cannot tell whether its state is the newest",
            "raise it on the brokers",
        )
    return Check("ok", text)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= _FLINK_NEEDS:
        return Check("fail", f"Python {found}", "Watchgate and Flink need Python 3.11 or 3.12")
    return Check("ok", f"Python {found} at {sys.executable}")


def _package(name: str, wanted: str | None, todo: str, why: str = "") -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check("warn" if why else "fail", f"{name} is not installed{': ' + why if why else ''}", todo)
    if wanted and not found.startswith(wanted):
        return Check("fail", f"{name} is {found}, tested is {wanted}", todo)
    return Check("ok", f"{name} {found}")


def _java() -> Check:
    try:
        java = find_java()
    except JavaError as error:
        return Check("fail", str(error))
    return Check("ok", f"Java {java.version} at {java.home}")


def _jars() -> Check:
    try:
        if jars := cached_jars():
            return Check("ok", f"{len(jars.names)} jars in {jars.folder}, checksums right")
        find_maven()
    except JarsError as error:
        return Check("fail", str(error))
    return Check(
        "warn", f"the jars are not in {jars_folder()} yet", "they come with the first `watchgate local up` or `submit`"
    )


def _pemja(path: str) -> Check:
    packages = sysconfig.get_paths()["purelib"]
    if packages in path.split(os.pathsep) or sys.prefix == sys.base_prefix:
        return Check("ok", "the Python inside a TaskManager will find its packages")
    return Check(
        "warn",
        "PYTHONPATH does not name this environment's packages: a cluster that you start yourself stops at "
        "\"No module named 'pemja'\" (`watchgate local up` sets it)",
        f"export PYTHONPATH={packages} before the TaskManagers start",
    )


def _topics(differences: Sequence[Difference]) -> Iterator[Check]:
    missing: dict[str, list[str]] = {}
    for difference in differences:
        if difference.missing:
            missing.setdefault(difference.repair, []).append(difference.topic)
        else:
            yield Check("fail", f"topic {difference.topic}: {difference.what}", difference.repair)
    for repair, names in missing.items():
        yield Check("fail", f"not there: {', '.join(names)}", repair)


def _broker_version(kafka: str, properties: ClientProperties | None) -> Check:
    from integration.kafka.client import admin_client

    with admin_client(kafka, properties) as admin:
        found = tuple(admin._manager.broker_version or ())
    text = f"the broker's protocol is that of Kafka {'.'.join(map(str, found))}"
    if found < _KAFKA_LEAST:
        return Check("fail", text, "Flink's Kafka connector needs brokers of version 2.8 or later")
    return Check("ok", text)


def _timeline(topic: str, timeline: str | None, kafka: str, prefix: str) -> Check:
    if timeline is None:
        todo = f"watchgate topics create --kafka {kafka}" + (f" --prefix {prefix}" if prefix else "")
        return Check("fail", f"{topic} is empty: it names no timeline", todo)
    return Check("ok", f"{topic} is timeline {timeline}")


def _span(ms: int) -> str:
    for size, unit in ((24 * 60 * _MINUTE_MS, "d"), (60 * _MINUTE_MS, "h"), (_MINUTE_MS, "min"), (1000, "s")):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms} ms"
