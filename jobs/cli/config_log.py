"""The config log that commands read and write: a file, or a topic of which they can wait for the answer of the jobs."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import typer

from integration.config_file import ConfigFile
from integration.config_file import append as append_to_file
from integration.config_log import ConfigLog
from integration.kafka.address import KafkaPlace, is_kafka, kafka_place
from integration.kafka.config_topic import ConfigTopic
from integration.kafka.config_topic import append as append_to_topic
from integration.kafka.following import FollowedTopic
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import CONFIG, OUTPUTS
from jobs.cli.shared import CommandError, parse_time
from jobs.policies import Policies
from operators.plan import Program
from schemas.config import ConfigError, parse_config
from schemas.duration import parse_duration
from schemas.times import iso

WAIT_S = 30.0


def open_log(config: str, properties: ClientProperties | None) -> ConfigLog:
    """The log, from its first record on. Raises ConfigFileError, KafkaError."""
    return ConfigTopic(kafka_place(config, "TOPIC"), properties) if is_kafka(config) else ConfigFile(Path(config))


@dataclass(frozen=True, slots=True)
class Start:
    """When a record asks to be in force: at a time, so many ms after it is written, or else from when it is read."""

    at: str | None = None
    in_ms: int | None = None

    def written_now(self) -> str | None:
        """The time for a record that is written now."""
        return self.at if self.in_ms is None else iso(int(time.time() * 1000) + self.in_ms)


def effective(effective_at: str | None, in_: str | None) -> Start:
    """What the two options say."""
    if effective_at is not None and in_ is not None:
        raise CommandError("error: --in and --effective-at say the same thing twice: give one of them")
    if in_ is not None:
        try:
            return Start(in_ms=parse_duration(in_))
        except ValueError as error:
            raise CommandError(f"error: --in: {error}") from None
    return Start() if effective_at is None else Start(iso(parse_time(effective_at, "--effective-at")))


def published(config: str, properties: ClientProperties | None, policies: Policies) -> Program | None:
    """The last policy of a log that compiles; None when it has none, or the log is a file that does not exist."""
    if not is_kafka(config) and not Path(config).exists():
        return None
    log = open_log(config, properties)
    try:
        lines = log.read_to_end()
    finally:
        log.close()
    for line in reversed(lines):
        try:
            record = parse_config(line.data)
            if record.kind == "policy":
                return policies.of_document(record.value)
        except Exception:  # a record that no job took either
            continue
    return None


def prepared(record: Mapping[str, object]) -> bytes:
    """A record's bytes. Raises CommandError for one that a job would not read."""
    try:
        data = orjson.dumps(record)
        parse_config(data)
    except ConfigError as error:
        raise CommandError(f"error: {error}") from None
    except orjson.JSONEncodeError:
        raise CommandError("error: --reason or --by is not UTF-8 text") from None
    return data


@dataclass(slots=True)
class Appended:
    """What became of a record. `answers`: the sentences with which every subtask of a job has said that it took it."""

    effective_at: str | None = None
    answers: list[str] = field(default_factory=list)

    @property
    def when(self) -> str:
        """From when on the record is in force, in words."""
        return f"from {self.effective_at}" if self.effective_at else "from where a job reads the record"


def append(
    config: str, record: Mapping[str, object], start: Start, properties: ClientProperties | None, wait: bool
) -> Appended:
    """Appends a record that asks to be in force at `start`, counted from the moment at which it is sent; with `wait` the
    answers too. Raises CommandError when a job rejects it, or none answers."""
    done = Appended()

    def dated() -> dict[str, object]:
        done.effective_at = start.written_now()
        return {**record, "effective_at": done.effective_at}

    prepared(dated())
    if not is_kafka(config):
        if wait:
            raise CommandError("error: --wait needs a config log in Kafka: a job that follows a file answers nowhere")
        append_to_file(Path(config), dated())
        return done
    place = kafka_place(config, "TOPIC")
    answers = _Answers(place, record, properties) if wait else None
    try:
        append_to_topic(place, str(record["key"]), lambda: prepared(dated()), properties)
        if answers is not None:
            done.answers = answers.wait(WAIT_S)
    finally:
        if answers is not None:
            answers.close()
    return done


class _Answers:
    """What jobs say about one record on the status topic, from when this is made."""

    def __init__(self, place: KafkaPlace, record: Mapping[str, object], properties: ClientProperties | None) -> None:
        prefix = place.name.removesuffix(CONFIG.name)
        if not place.name.endswith(CONFIG.name):
            raise CommandError(
                f"error: --wait looks for the topic status beside the config topic, and {place.name} is not called "
                "config or PREFIX.config"
            )
        status = next(spec for spec in OUTPUTS if spec.name == "status")
        self._topic = FollowedTopic(KafkaPlace(place.brokers, f"{prefix}status"), status, properties)
        self._topic.skip_to_end()
        self._wanted = (record["key"], record["by"], record["at"])

    def close(self) -> None:
        self._topic.close()

    def wait(self, seconds: float) -> list[str]:
        """The sentences, one for each that differs."""
        began = time.monotonic()
        said: dict[int, str] = {}
        of = 1
        while time.monotonic() - began < seconds:
            for raw in self._topic.read_soon():
                answer = self._about_it(raw.value)
                if answer is None:
                    continue
                if answer["kind"] == "config_rejected":
                    raise CommandError(f"error: a job rejected it: {answer['message']}", status=1)
                of = int(answer["of"])
                said[int(answer["subtask"])] = str(answer["message"])
            if said and len(said) >= of:
                return list(dict.fromkeys(said.values()))
        heard = f"{len(said)} of {of} subtasks have answered" if said else "no job has answered"
        raise CommandError(
            f"the record is in the log, but {heard} within {seconds:g} s. Is the job running? See `watchgate tail status`. "
            "A job that is down takes the record up when it starts.",
            status=1,
        )

    def _about_it(self, value: bytes | None) -> dict[str, Any] | None:
        try:
            document = orjson.loads(value or b"")
            detail = document["detail"]
            found = (document["subject"], detail["by"], detail["written_at"])
        except (ValueError, KeyError, TypeError):
            return None
        return document if found == self._wanted else None


def ask(question: str, yes: bool) -> None:
    """Goes on only if a person says so. Raises CommandError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f"error: {question} There is no terminal to ask on: nothing was changed. Give --yes if you are sure."
        )
    if not typer.confirm(question):
        raise CommandError("nothing was changed", status=1)
