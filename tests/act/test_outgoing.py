"""Builders of the records that leave a job, against the models of the schemas."""

from base64 import b64decode
from hashlib import sha256

import orjson
import pytest

from operators.batch import DeadRecord, Origin
from operators.documents import dead_letter, keyed_hash, span, status
from schemas.deadletter import DeadLetter
from schemas.status import Status


def dead(payload: bytes, offset: int = 7) -> DeadRecord:
    return DeadRecord(
        Origin("posts.jsonl", 0, offset),
        "decode",
        "wrong_type",
        "amount",
        "field amount at /amount is a string, the policy says float",
        "fix the producer",
        payload,
        "e1",
        5,
    )


@pytest.mark.parametrize("size", [0, 1, 512, 513, 10_000_000])
def test_a_dead_letter_is_bounded(size: int) -> None:
    payload = b"\xff" * size
    document = dead_letter("shop", dead(payload))
    assert list(document) == list(DeadLetter.model_fields)
    DeadLetter.model_validate_json(orjson.dumps(document))
    assert document["length"] == size and document["sha256"] == sha256(payload).hexdigest()
    assert b64decode(str(document["prefix"])) == payload[:512]
    assert len(orjson.dumps(document)) < 1_500


def test_a_dead_letter_is_known_by_its_place() -> None:
    assert dead_letter("shop", dead(b"a"))["ce_id"] == dead_letter("shop", dead(b"b"))["ce_id"]
    assert dead_letter("shop", dead(b"a"))["ce_id"] != dead_letter("shop", dead(b"a", 8))["ce_id"]


def test_a_status_has_the_fields_of_its_model() -> None:
    document = status("fuse_tripped", "burst", "a sentence", at_ms=0, epoch="t:1", detail={"a": 1})
    assert list(document) == list(Status.model_fields)
    Status.model_validate_json(orjson.dumps(document))
    assert document["at"] == "1970-01-01T00:00:00.000Z"
    assert status("a", "b", "c", at_ms=None)["at"] is None


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (10_000, "10s"),
        (90_000, "1m30s"),
        (3_900_000, "1h5m"),
        (604_800_000, "7d"),
        (655_200_000, "7d14h"),
        (10_834, "10s834ms"),
    ],
)
def test_spans_of_time(ms: int, text: str) -> None:
    assert span(ms) == text


def test_a_keyed_hash_is_pinned() -> None:
    assert keyed_hash("10.0.0.1", b"pepper") == "h:6a3774268b00e6d85d73f6d4"
    assert keyed_hash("10.0.0.1", b"") != keyed_hash("10.0.0.1", b"pepper")
