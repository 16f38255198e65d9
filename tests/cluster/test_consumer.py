"""The consumer for downstream services: typed, committed records, each once, offsets after the work."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import orjson
import pytest

from integration.kafka.broker import Broker
from integration.kafka.client import admin_client, producer
from integration.kafka.consumer import Consumer, UnreadableRecord
from integration.kafka.headers import as_pairs, headers, record_key
from integration.kafka.topics import create_topics
from operators.documents import status
from schemas.cloudevents import ce_id
from schemas.enforcement import Enforcement
from schemas.status import Status

pytestmark = pytest.mark.cluster


def document(number: int) -> dict[str, object]:
    return {
        "ce_id": ce_id("shop", "enforcement", str(number)),
        "policy": "shop",
        "epoch": "0",
        "mode": "live",
        "shadow_reason": None,
        "rule": "copied_text",
        "action": "limit",
        "severity": "high",
        "target": {"kind": "account", "key": f"u{number}"},
        "event_id": f"e{number}",
        "event_type": "post",
        "event_time": "2026-01-02T03:04:05.678Z",
        "at": "2026-01-02T03:04:05.678Z",
        "expires_at": None,
        "reason": "authors_1d 4 (>= 3)",
        "policy_ref": None,
        "protected_by": None,
        "verdict": ce_id("shop", "verdicts", str(number)),
    }


def send(broker: Broker, topic: str, documents: list[dict[str, object]], **settings: Any) -> None:
    with producer(broker.address, **settings) as client:
        if settings:
            client.init_transactions()
            client.begin_transaction()
        for each in documents:
            body = orjson.dumps(each)
            found = headers("enforcement", each, body, "shop", 1_767_323_045_678)
            client.send(topic, key=record_key("enforcement", each), value=body, headers=as_pairs(found))
        client.flush()
        if settings:
            client.abort_transaction()


def consumer(broker: Broker, topic: str, **settings: Any) -> Consumer[Enforcement]:
    return Consumer(broker.address, topic, Enforcement, group=topic, idle_s=3, **settings)


def test_typed_records_without_repeats_and_without_aborted_ones(broker: Broker, prefix: str) -> None:
    topic = f"{prefix}.enforcement"
    create_topics(broker.address, prefix)
    send(broker, topic, [document(n) for n in (1, 2, 3)])
    send(broker, topic, [document(n) for n in (7, 8)], transactional_id=prefix)
    send(broker, topic, [document(n) for n in (2, 3, 4)])
    with consumer(broker, topic) as records:
        found = {record.document.target.key: record for record in records}
        assert records.repeated == 2
    assert sorted(str(key) for key in found) == ["u1", "u2", "u3", "u4"]
    one = found["u1"]
    assert one.event.id == one.document.ce_id
    assert (one.event.type, one.event.source) == ("watchgate.enforcement.v1", "/watchgate/shop")
    assert (one.key, one.event.subject, one.event.time) == ("account/u1", "account/u1", "2026-01-02T03:04:05.678Z")


def test_a_record_is_committed_only_when_it_was_handled(broker: Broker, prefix: str) -> None:
    topic = f"{prefix}.enforcement"
    create_topics(broker.address, prefix, partitions=1)
    send(broker, topic, [document(n) for n in range(5)])
    with pytest.raises(RuntimeError), consumer(broker, topic, commit_every_s=0) as records:
        for record in records:
            if record.document.event_id == "e2":
                raise RuntimeError("the database is away")
    with consumer(broker, topic) as records:
        first = next(records)
        assert first.document.event_id == "e2"
    with consumer(broker, topic) as records:
        assert [record.document.event_id for record in records] == ["e3", "e4"]


def test_what_is_no_document_is_named_and_can_be_passed(broker: Broker, prefix: str) -> None:
    topic = f"{prefix}.enforcement"
    create_topics(broker.address, prefix, partitions=1)
    good = headers("enforcement", document(1), b"", "shop", 0)
    with producer(broker.address) as client:
        client.send(topic, value=b"{}")
        client.send(topic, value=orjson.dumps({"policy": "secret words"}), headers=as_pairs(good))
        client.send(topic, key=b"k", value=None)
    send(broker, topic, [document(1) | {"added_by_a_later_version": 1}])
    with consumer(broker, topic) as records:
        texts = []
        for _ in range(3):
            with pytest.raises(UnreadableRecord) as caught:
                next(records)
            texts.append(str(caught.value))
        assert next(records).document.event_id == "e1"
    place = f"of {topic}, partition 0, cannot be read"
    assert texts == [
        f"record 0 {place}: it has no header ce_specversion, so it is not a CloudEvent in binary mode.",
        f"record 1 {place}: it is not a Enforcement: ce_id: missing.",
        f"record 2 {place}: it has no value (a tombstone).",
    ]


def test_two_members_share_the_partitions(broker: Broker, prefix: str) -> None:
    topic = f"{prefix}.status"
    create_topics(broker.address, prefix, partitions=2)
    facts = [status("config_applied", f"rule{n}", "It is in force.", at_ms=None) for n in range(20)]
    with producer(broker.address) as client:
        for number, fact in enumerate(facts):
            body = orjson.dumps(fact)
            found = as_pairs(headers("status", fact, body, "shop", 0))
            client.send(topic, value=body, headers=found, partition=number % 2)
    both_joined = Barrier(2)

    def member(name: str) -> list[str]:
        with Consumer(broker.address, topic, Status, group=topic, idle_s=4, commit_every_s=0) as records:
            both_joined.wait()
            return [record.document.subject for record in records]

    with ThreadPoolExecutor() as pool:
        shares = list(pool.map(member, ("one", "two")))
    subjects = shares[0] + shares[1]
    assert set(subjects) == {f"rule{n}" for n in range(20)}
    with admin_client(broker.address) as admin:
        committed = admin.list_group_offsets({topic: None})[topic]
    assert sorted(each.offset for each in committed.values()) == [10, 10]
