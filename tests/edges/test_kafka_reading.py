"""Merging partitions, places in Kafka, and changes that wait for their transaction: what needs no broker."""

import doctest
import random
from types import SimpleNamespace

import pytest

import integration.kafka.address
import integration.kafka.merging
from integration.kafka.address import is_kafka, kafka_place
from integration.kafka.client import KafkaError
from integration.kafka.merging import Merged
from jobs.pending import Pending, decode, encode
from operators.store import Changes


@pytest.mark.parametrize("module", [integration.kafka.address, integration.kafka.merging])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(10))
def test_partitions_are_merged_by_time_and_keep_their_own_order(seed: int) -> None:
    rng = random.Random(seed)
    waiting = {n: [SimpleNamespace(timestamp=t, n=n) for t in sorted(rng.choices(range(100), k=40))] for n in range(3)}
    waiting[1][20].timestamp -= 30  # a leader whose clock goes back
    expected = {n: list(records) for n, records in waiting.items()}
    merged, taken = Merged(), []
    while any(waiting.values()) or len(merged):
        for n, records in waiting.items():
            count = rng.randrange(0, 12)
            merged.add(n, records[:count])
            del records[:count]
        if all(merged.size(n) or not waiting[n] for n in waiting):
            taken += merged.take(rng.randrange(1, 30), {n for n in waiting if waiting[n]})
    assert {n: [record for p, record in taken if p == n] for n in expected} == expected
    steady = [record.timestamp for n, record in taken if n != 1]
    assert steady == sorted(steady)


@pytest.mark.parametrize(
    ("text", "what", "error"),
    [
        ("kafka://127.0.0.1:9092", "TOPIC", "kafka://127.0.0.1:9092 is not a place in Kafka: write kafka://HOST:PORT/TOPIC."),
        ("kafka://127.0.0.1:9092/a/b", "PREFIX", "kafka://127.0.0.1:9092/a/b is not a place in Kafka: write kafka://HOST:PORT/PREFIX."),
        ("kafka:///t", "TOPIC", "nothing is not a broker's address: write HOST:PORT, for example 127.0.0.1:9092."),
    ],
)  # fmt: skip
def test_what_is_no_place(text: str, what: str, error: str) -> None:
    with pytest.raises(KafkaError) as caught:
        kafka_place(text, what)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("kafka:/h:9092/shop.config", "kafka://h:9092/shop.config"),
        ("Kafka://h:9092/shop.config", "kafka://h:9092/shop.config"),
        (" kafka://h:9092/shop.config", "kafka://h:9092/shop.config"),
        ("kafka:h:9092/shop.config", "kafka://h:9092/shop.config"),
        ("h:9092/shop.config", "kafka://h:9092/shop.config"),
        ("h:9092,i:9092/shop", "kafka://h:9092,i:9092/shop"),
        ("[::1]:9092/shop", "kafka://[::1]:9092/shop"),
    ],
)
def test_what_is_nearly_a_place_is_not_taken_for_a_file(text: str, place: str) -> None:
    with pytest.raises(KafkaError) as caught:
        is_kafka(text)
    assert str(caught.value) == (
        f"{text} is neither a place in Kafka nor clearly a file: write {place} for Kafka, ./{text} for a file."
    )


@pytest.mark.parametrize(
    "text", ["modes.jsonl", "kafka/modes.jsonl", "./h:9092/modes.jsonl", "/a/h:9092/modes", "-", "", "a:b/c"]
)
def test_what_is_a_file(text: str) -> None:
    assert not is_kafka(text)


def test_an_empty_prefix() -> None:
    assert kafka_place("kafka://127.0.0.1:9092/", "PREFIX").name == ""


def test_pending_changes_come_back_as_they_were() -> None:
    rows: dict[str, tuple[list[bytes], list[bytes | None]]] = {
        "rows:account": ([b"a", b"\n", b"", b"gone"], [b"\x00\n{", b"", b"x" * 1_000, None]),
        "ids": ([], []),
    }
    pending = Pending("kafka:c1/shop", 7, Changes(rows, {"job": b'{"a":1}', "empty": b"", "engine": b"\n\n"}))
    assert decode(encode(pending)) == pending
