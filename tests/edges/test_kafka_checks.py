"""What doctor says of settings, and how records are shown by tail."""

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from integration.checks import check_kafka, check_machine, offsets_retention, transaction_timeout
from integration.kafka import client, topics
from integration.kafka.client import opened
from integration.kafka.topics import CONFIG, EVENTS, LISTS, TOPICS, TopicSpec, check_topics, job_topics
from integration.processes import free_ports
from jobs.cli.tail import about, shown, waiting
from jobs.cli.tail import command as tail
from operators.documents import status
from schemas.cloudevents import TYPES


@pytest.mark.parametrize(
    ("value", "level", "text"),
    [
        ("60000", "fail", "transactions may stay open for 1 min"),
        ("900000", "warn", "transactions may stay open for 15 min"),
        ("3600000", "ok", "transactions may stay open for 1 h"),
        (None, "warn", "the broker does not tell its transaction.max.timeout.ms"),
    ],
)
def test_the_outage_that_is_tolerated(value: str | None, level: str, text: str) -> None:
    check = transaction_timeout({"transaction.max.timeout.ms": value} if value else {})
    assert check.level == level and check.what.startswith(text)
    assert bool(check.todo) == (level != "ok")


def test_how_long_a_stopped_job_can_be_taken_up_again() -> None:
    assert offsets_retention({"offsets.retention.minutes": "10080"}).what.startswith(
        "offsets of a group without members are kept for 7 d"
    )
    assert offsets_retention({"offsets.retention.minutes": "60"}).level == "warn"


def test_an_address_where_nobody_is() -> None:
    (only,) = check_kafka("nowhere")
    assert only.level == "fail"
    assert only.what == "nowhere is not a broker's address: write HOST:PORT, for example 127.0.0.1:9092."


def test_the_machine_is_looked_at_without_changing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = {check.what.split(":")[0]: check for check in check_machine()}
    assert found["no Java"].level == "fail"


def test_a_job_reads_the_events_that_it_is_told_and_needs_all_of_its_own() -> None:
    assert job_topics("shop")["shop.events"] is EVENTS
    told = job_topics("shop", ["raw.posts", "raw.logins"])
    assert told["raw.posts"] is told["raw.logins"] is EVENTS and "shop.events" not in told
    assert set(TYPES) <= {name.removeprefix("shop.") for name in told}


def test_the_settings_that_answers_depend_on() -> None:
    required = {spec.name: dict(spec.required) for spec in TOPICS}
    assert required["events"] == {"message.timestamp.type": "LogAppendTime"}
    assert required["config"]["retention.ms"] == "-1" and CONFIG.partitions == 1
    assert required["lists"]["cleanup.policy"] == "compact"
    assert required["verdicts"] == {}


class _Admin:
    """A cluster of topics of one partition with no settings."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def list_topics(self) -> list[str]:
        return list(self.names)

    def describe_configs(self, resources: list[Any], **_: str) -> dict[str, Any]:
        return {"topic": {resource.name: {} for resource in resources}}

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [0]} for name in names]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("shop.config", LISTS, "shop.config is a config topic, not a lists topic; did you mean shop.lists?"),
        ("events", CONFIG, "events is an events topic, not a config topic; did you mean config?"),
        ("shop-verdicts.shadow", CONFIG, "shop-verdicts.shadow is a verdicts.shadow topic, not a config topic; did you mean shop-config?"),
    ],
)  # fmt: skip
def test_another_topic_of_the_job_is_not_to_be_repaired_into_this_one(
    monkeypatch: pytest.MonkeyPatch, name: str, spec: TopicSpec, said: str, there: bool
) -> None:
    monkeypatch.setattr(topics, "admin_client", lambda *_: nullcontext(_Admin(*[name] * there)))
    (found,) = check_topics("h:1", {name: spec})
    assert str(found) == f"{name}: {said}" if there else f"{name}: it does not exist.\n  repair: {said}"


@pytest.mark.parametrize(("name", "spec"), [("user.status", EVENTS), ("shop.config", CONFIG), ("preconfig", LISTS)])
def test_a_topic_that_is_what_it_is_asked_for_is_told_its_repair(
    monkeypatch: pytest.MonkeyPatch, name: str, spec: TopicSpec
) -> None:
    monkeypatch.setattr(topics, "admin_client", lambda *_: nullcontext(_Admin(name)))
    found = check_topics("h:1", {name: spec})
    assert len(found) == len(spec.required)
    assert all(each.repair.startswith("python -m kafka.admin -b h:1 configs alter") for each in found)


_RULE = {
    "rule": "copied_text",
    "shadow_reason": "mode",
    "action": "limit",
    "target": {"kind": "account", "key": "u\x1b[2J1"},
    "reason": "authors_1d 4 (>= 3)",
}
_VERDICT = {"ingest_time": "T", "event_type": "post", "event_id": "e1", "rules": [_RULE]}
_ACT = {**_RULE, "at": "T", "severity": "high", "expires_at": None, "shadow_reason": None}
_DEAD = {"source": {"name": "events", "partition": 0, "offset": 7}, "reason": "wrong_type", "detail": "d", "hint": "h"}


@pytest.mark.parametrize(
    ("topic", "document", "line"),
    [
        ("verdicts.shadow", _VERDICT, "T post e1  copied_text (mode) limit account/u\ufffd[2J1: authors_1d 4 (>= 3)"),
        ("verdicts", {**_VERDICT, "rules": []}, "T post e1  no rule fired"),
        ("enforcement", _ACT, "T high copied_text limit account/u\ufffd[2J1: authors_1d 4 (>= 3)"),
        ("deadletter", _DEAD, "events/0/7 wrong_type: d. h"),
        (
            "status",
            status("fuse_tripped", "copied_text", "It tripped.", at_ms=None),
            "- fuse_tripped copied_text: It tripped.",
        ),
    ],
)
def test_a_record_as_a_line(topic: str, document: dict[str, object], line: str) -> None:
    assert shown(topic, orjson.dumps(document), None, json=False) == line


def test_only_records_about_a_rule() -> None:
    for topic, document in (("verdicts", _VERDICT), ("enforcement", _ACT)):
        value = orjson.dumps(document)
        assert shown(topic, value, "copied_text", json=True) == value.decode()
        assert shown(topic, value, "other", json=True) is None


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("mode/flood", "flood"),
        ("rule flood", "flood"),
        ("flood", "flood"),
        ("mode/*", "mode/*"),
        ("model/m", "model/m"),
    ],
)
def test_a_status_is_found_by_the_name_of_its_rule(subject: str, name: str) -> None:
    value = orjson.dumps(status("config_applied", subject, "It is in force.", at_ms=0))
    line = f"1970-01-01T00:00:00.000Z config_applied {subject}: It is in force."
    assert about("status", value) == {name}
    assert shown("status", value, name, json=False) == line
    assert shown("status", value, "flod", json=False) is None


def test_who_asks_for_a_rule_that_nothing_is_about_is_told() -> None:
    """A mistyped name would wait for ever."""
    others = about("verdicts", orjson.dumps(_VERDICT)) | about("verdicts", b"[]") | about("verdicts", b"\xff")
    assert others == about("enforcement", orjson.dumps(_ACT)) == {"copied_text"}
    told = "none of the last records is about {} ({}); waiting for one"
    assert waiting("copied_texts", others) == told.format("copied_texts", "did you mean `copied_text`?")
    assert waiting("burst", others | {"a"}) == told.format("burst", "they are about a, copied_text")
    assert waiting("burst", set()) == "no record about burst yet; waiting for one"


class Busy:
    """A topic in which there are always more records, all about another rule."""

    def __init__(self) -> None:
        self.at = 0

    def __enter__(self) -> "Busy":
        return self

    def __exit__(self, *_: object) -> None: ...

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def assign(self, _: object) -> None: ...

    def beginning_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 12)

    def seek(self, _: object, offset: int) -> None:
        self.at = offset

    def position(self, _: object) -> int:
        return self.at

    def poll(self, timeout_ms: int) -> dict[str, list[SimpleNamespace]]:
        if self.at > 100:
            raise KeyboardInterrupt
        self.at += 1
        return {"": [SimpleNamespace(value=b"[]" if self.at == 5 else orjson.dumps(_VERDICT))]}


def test_who_tails_a_busy_topic_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "reader", lambda *_: Busy())
    tail("127.0.0.1:1", "verdicts", rule="copied_\x1b[2Jtexts")
    shown = capsys.readouterr()
    assert shown.out == "(a record of 2 bytes that is no verdicts document)\n"
    assert shown.err == (
        "none of the last records is about copied_\ufffd[2Jtexts (did you mean `copied_text`?); waiting for one\n"
    )


def test_a_client_that_finds_no_broker_leaves_no_thread_behind() -> None:
    (port,) = free_ports(1)
    settings = {"bootstrap_servers": f"127.0.0.1:{port}", "bootstrap_timeout_ms": 300}
    for kind in (KafkaConsumer, KafkaAdminClient):
        before = set(threading.enumerate())
        with pytest.raises((KafkaTimeoutError, KafkaConnectionError)):
            opened(kind, **settings)
        assert set(threading.enumerate()) <= before


def test_what_is_no_document_does_not_end_the_tail() -> None:
    for value in (b"\xff\xfe", b"[]", b"{}"):
        assert (
            shown("verdicts", value, None, json=False)
            == f"(a record of {len(value)} bytes that is no verdicts document)"
        )
