"""Records that decode: types, times, ids, event types."""

import gc
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from operators.batch import SYSTEM_COLUMNS
from operators.decode import Decoder, decode_records
from operators.hashing import hash_bytes
from schemas.policy import Policy
from tests.decode.conftest import MS, Decode, post


def test_frame_has_the_system_columns_then_fields_in_policy_order(decode: Decode) -> None:
    batch = decode(post())
    fields = ("account", "text", "likes", "score", "price", "bot", "ip", "joined", "tags", "amount")
    assert batch.frame.columns == [*SYSTEM_COLUMNS, *fields]
    time = pl.Datetime("ms", "UTC")
    assert batch.frame.dtypes[:6] == [pl.String, pl.Enum(["post", "payment"]), time, time, pl.UInt32, pl.Int64]
    assert decode().frame.schema == batch.frame.schema
    assert decode(b"junk").frame.schema == batch.frame.schema


def test_every_type(decode: Decode) -> None:
    record = post(
        text="a\0b \U0001f600",
        likes=-(2**63),
        score=1,
        price="12.50",
        bot=False,
        ip="2001:DB8:0:0::1",
        joined="2024-02-29T01:02:03.9999+02:00",
        tags=["x", ""],
    )
    batch = decode(record)
    assert not batch.dead
    assert batch.frame.row(0, named=True) == {
        "event_id": "e1",
        "event_type": "post",
        "event_time": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "ingest_time": None,
        "__source": 0,
        "__offset": 0,
        "account": "anna",
        "text": "a\0b \U0001f600",
        "likes": -(2**63),
        "score": 1.0,
        "price": 12.5,
        "bot": False,
        "ip": "2001:db8::1",
        "joined": datetime(2024, 2, 28, 23, 2, 3, 999_000, tzinfo=UTC),
        "tags": ["x", ""],
        "amount": None,
    }


def test_missing_and_null_are_null(decode: Decode) -> None:
    batch = decode(post(author=None), post(author=...), post(author={}, tags=None, likes=None, ip=None, joined=None))
    assert batch.frame.drop(SYSTEM_COLUMNS).null_count().sum_horizontal()[0] == 3 * 10


def test_two_types_in_one_stream_keep_their_order(decode: Decode) -> None:
    pay = {
        "kind": "refund",
        "v": 2,
        "tx": 7,
        "at": "2024-01-01",
        "account": "bob",
        "amount": 1.1,
        "text": "not a field",
    }
    batch = decode(post(id="a"), pay, post(id="b"), {**pay, "v": 2.0, "tx": "8"})
    assert batch.frame["event_id"].to_list() == ["a", "7", "b", "8"]
    assert batch.frame["event_type"].to_list() == ["post", "payment", "post", "payment"]
    assert batch.frame["account"].to_list() == ["anna", "bob", "anna", "bob"]
    assert batch.frame["amount"].to_list() == [None, 1.1, None, 1.1]
    assert batch.frame["text"].to_list() == [None] * 4
    assert batch.frame["__offset"].to_list() == [0, 1, 2, 3]


def test_when_tells_booleans_numbers_and_texts_apart(decode: Decode) -> None:
    pay = {"kind": "pay", "tx": 7, "at": "2024-01-01"}
    batch = decode(*({**pay, "v": v} for v in (2, 2.0, "2", True, None, [2], {"v": 2})))
    assert batch.frame["__offset"].to_list() == [0, 1]
    odd = decode(post(kind=["post"]), post(kind={"post": 1}), post(kind=7), post())
    assert [dead.reason for dead in odd.dead] == ["no_event_type"] * 3


@pytest.mark.parametrize(
    ("id_", "text"),
    [("x", "x"), (7, "7"), (True, "true"), (1.5, "1.5"), (-0, "0"), (2**64 - 1, "18446744073709551615")],
)
def test_ids_of_every_scalar(decode: Decode, id_: object, text: str) -> None:
    assert decode(post(id=id_)).frame["event_id"].to_list() == [text]


@pytest.mark.parametrize(
    ("unit", "value", "ms"),
    [
        ("s", 1_700_000_000, MS),
        ("s", 1_700_000_000.001, MS + 1),
        ("s", "1700000000", MS),
        ("s", "1700000000.0019", MS + 1),
        ("ms", MS, MS),
        ("ms", float(MS), MS),
        ("ms", str(MS), MS),
        ("us", MS * 1_000 + 999, MS),
        ("ns", str(MS * 1_000_000 + 999_999), MS),
        ("ns", MS * 1_000_000, MS),
        ("s", 0, 0),
        ("ms", 7_258_118_399_999, 7_258_118_399_999),
        ("iso", "2023-11-14T22:13:20Z", MS),
        ("iso", "2023-11-14T22:13:20", MS),
        ("iso", "2023-11-14 22:13:20.0009Z", MS),
        ("iso", "2023-11-14t22:13:20z", MS),
        ("iso", "2023-11-15T00:13:20+02:00", MS),
        ("iso", "2023-11-14T16:43:20-0530", MS),
        ("iso", "20231114T221320Z", MS),
        ("iso", "2023-11-14T22:13", MS - 20_000),
        ("iso", "2023-11-14", MS - 80_000_000),
    ],
)
def test_times(unit: str, value: object, ms: int) -> None:
    policy = {"policy": "p", "events": {"e": {"id": "/id", "time": {"path": "/t", "unit": unit}}}}
    decoder = Decoder(Policy.model_validate(policy))
    others: list[object] = [value, str(MS), MS] if unit == "ms" else [value]
    for companion in others:  # alone, and in a column of several kinds
        rows = [b'{"id":1,"t":' + _json(v) + b"}" for v in (value, companion)]
        batch = decode_records(rows, np.arange(2), ("f", 0), decoder)
        assert batch.frame["event_time"].cast(pl.Int64)[0] == ms, batch.dead


def _json(value: object) -> bytes:
    return f'"{value}"'.encode() if isinstance(value, str) else repr(value).encode()


def test_ipv4_in_ipv6_is_the_ipv4_address(decode: Decode) -> None:
    texts = ["1.2.3.4", "::ffff:1.2.3.4", "::FFFF:0102:0304", "::1", "FE80::0:1", "64:ff9b::1.2.3.4"]
    batch = decode(*(post(ip=text) for text in texts))
    assert batch.frame["ip"].to_list() == ["1.2.3.4", "1.2.3.4", "1.2.3.4", "::1", "fe80::1", "64:ff9b::102:304"]


def test_broker_clock_and_ingest_field() -> None:
    event = {"id": "/id", "time": {"path": "/t", "unit": "ms"}, "ingest": {"path": "/seen", "unit": "ms"}}
    decoder = Decoder(Policy.model_validate({"policy": "p", "events": {"e": event}}))
    rows = [b'{"id":1,"t":5,"seen":9}', b'{"id":2,"t":6}']
    own = decode_records(rows, np.arange(2), ("f", 0), decoder)
    assert own.frame["ingest_time"].cast(pl.Int64).to_list() == [9]
    assert (own.dead[0].reason, own.dead[0].event_id) == ("missing_time", "2")
    assert own.dead[0].detail == "there is no time at /seen, the policy says milliseconds since 1970"
    broker = decode_records(rows, np.arange(2), ("f", 0), decoder, np.array([100, 200]))
    assert broker.frame["ingest_time"].cast(pl.Int64).to_list() == [100, 200]


def test_payload_hash_is_of_the_bytes(decode: Decode) -> None:
    batch = decode(b"{}", post(), post(text="x"))
    assert batch.payload_hash is not None and len(batch.payload_hash) == 2
    record = b'{"kind":"post","id":"e1","ts":1700000000000,"author":{"id":"anna"}}'
    assert int(batch.payload_hash[0]) == hash_bytes(record)


def test_arrays_and_escapes_in_pointers() -> None:
    fields = {"first": "/items/0/id", "odd": "/a~1b/c~0d", "deep": {"path": "/items/01x", "type": "string"}}
    event = {"id": "/id", "time": {"path": "/t", "unit": "ms"}, "fields": fields}
    decoder = Decoder(Policy.model_validate({"policy": "p", "events": {"e": event}}))
    rows = [b'{"id":1,"t":5,"items":[{"id":"x"}],"a/b":{"c~d":"y"}}', b'{"id":2,"t":5,"items":{"0":{"id":"z"}}}']
    batch = decode_records(rows, np.arange(2), ("f", 0), decoder)
    # The step 01x fits no list; in an object it is a key that is missing.
    assert batch.dead[0].detail == "field deep at /items/01x is not there: /items is a list, not an object"
    assert batch.frame["first"].to_list() == ["z"]


def test_one_field_with_two_types_is_refused() -> None:
    def event(kind: str) -> dict[str, object]:
        return {"when": {"/k": kind}, "id": "/id", "time": "/t", "fields": {"x": kind}}

    policy = Policy.model_validate({"policy": "p", "events": {"a": event("string"), "b": event("float")}})
    with pytest.raises(ValueError, match=r"^field x has another type in event b than before: give it another name$"):
        Decoder(policy)


def test_garbage_collection_is_as_it_was(decode: Decode) -> None:
    assert gc.isenabled()
    decode(post(), b"{")
    assert gc.isenabled()
    gc.disable()
    try:
        decode(post())
        assert not gc.isenabled()
    finally:
        gc.enable()
