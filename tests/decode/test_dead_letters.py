"""Every reason has its exact words, and no bad record touches its neighbours."""

import json

import numpy as np
import polars as pl
import pytest

from operators.decode import Decoder, decode_records
from schemas.policy import Policy
from tests.decode.conftest import MS, Decode, post

JSON_HINT = "fix the producer: a record is one JSON object in UTF-8"
ID_HINT = "fix the producer, or `id:` in the policy"
STRING = "fix the producer, or declare the field as string"
BROKEN = "the record is not valid JSON: "

CASES: list[tuple[str, object, str, str | None, str, str]] = [
    # name, record, reason, field, detail, hint
    (
        "two documents",
        b'{"a":1},{"b":2',
        "broken_json",
        None,
        BROKEN + "unexpected content after document, at character 7",
        JSON_HINT,
    ),
    ("cut", b'{"a":1', "broken_json", None, BROKEN + "unexpected end of data, at character 6", JSON_HINT),
    ("nothing", b"", "broken_json", None, BROKEN + "Input is a zero-length, empty document, at character 0", JSON_HINT),
    (
        "nan",
        b'{"a":NaN}',
        "broken_json",
        None,
        BROKEN + "unexpected character, expected a JSON value, at character 5",
        JSON_HINT,
    ),
    (
        "1e400",
        b'{"a":1e400}',
        "broken_json",
        None,
        BROKEN + "number is infinity when parsed as double, at character 5",
        JSON_HINT,
    ),
    (
        "surrogate",
        b'{"a":"\\ud800"}',
        "broken_json",
        None,
        BROKEN + "no low surrogate in string, at character 6",
        JSON_HINT,
    ),
    (
        "latin-1",
        b'{"a":"\xe9"}',
        "broken_json",
        None,
        BROKEN + "str is not valid UTF-8: surrogates not allowed, at character 0",
        JSON_HINT,
    ),
    (
        "raw NUL",
        b'{"a":"\0"}',
        "broken_json",
        None,
        BROKEN + "unexpected control character in string, at character 6",
        JSON_HINT,
    ),
    (
        "deep",
        b'{"a":' + b"[" * 2_000,
        "broken_json",
        None,
        BROKEN + "depth limit exceeded, at character 1029",
        JSON_HINT,
    ),
    (
        "list",
        [1],
        "not_an_object",
        None,
        "the record is a list, not a JSON object",
        "fix the producer: a record is one JSON object",
    ),
    (
        "text",
        "x",
        "not_an_object",
        None,
        "the record is a string, not a JSON object",
        "fix the producer: a record is one JSON object",
    ),
    (
        "null",
        None,
        "not_an_object",
        None,
        "the record is null, not a JSON object",
        "fix the producer: a record is one JSON object",
    ),
    (
        "no type",
        {"id": 1},
        "no_event_type",
        None,
        "the record is of no event type of the policy: no `when:` takes what it has at /kind, /v",
        "fix the producer, or add an event to the policy",
    ),
    ("no id", post(id=...), "missing_id", None, "there is no id at /id", ID_HINT),
    ("null id", post(id=None), "missing_id", None, "there is no id at /id", ID_HINT),
    ("empty id", post(id=""), "bad_id", None, "the id at /id is empty", ID_HINT),
    (
        "list id",
        post(id=["a"]),
        "bad_id",
        None,
        "the id at /id is a list, it must be a string, a number or a boolean",
        ID_HINT,
    ),
    (
        "rounded id",
        b'{"kind":"post","id":123456789012345678901,"ts":1}',
        "bad_id",
        None,
        "the id at /id is a number beyond 64 bits",
        "fix the producer: send long ids as strings",
    ),
    (
        "no time",
        post(ts=...),
        "missing_time",
        None,
        "there is no time at /ts, the policy says milliseconds since 1970",
        "fix the producer, or `time:` in the policy",
    ),
    (
        "bool time",
        post(ts=True),
        "bad_time",
        None,
        "the time at /ts is a boolean, the policy says milliseconds since 1970",
        "fix the producer",
    ),
    (
        "fraction",
        post(ts=1.5),
        "bad_time",
        None,
        "the time at /ts is a number with a fraction, which only unit s takes",
        "fix the producer, or check `unit:`",
    ),
    (
        "iso for ms",
        post(ts="2024-01-01"),
        "bad_time",
        None,
        "the time at /ts is a string that is not a number of milliseconds",
        "fix the producer, or leave `unit:` out for ISO 8601",
    ),
    (
        "before 1970",
        post(ts=-1),
        "bad_time",
        None,
        "the time at /ts is outside the years 1970 to 2199",
        "check `unit:`, it says ms",
    ),
    (
        "in 2200",
        post(ts=7_258_118_400_000),
        "bad_time",
        None,
        "the time at /ts is outside the years 1970 to 2199",
        "check `unit:`, it says ms",
    ),
    (
        "huge time",
        post(ts=1e300),
        "bad_time",
        None,
        "the time at /ts is outside the years 1970 to 2199",
        "check `unit:`, it says ms",
    ),
    (
        "2^63",
        post(ts=2**63),
        "bad_time",
        None,
        "the time at /ts is outside the years 1970 to 2199",
        "check `unit:`, it says ms",
    ),
    (
        "pay time",
        {"kind": "pay", "v": 2, "tx": 1, "at": MS},
        "bad_time",
        None,
        "the time at /at is an integer, the policy says ISO 8601",
        "fix the producer, or give its `unit:` (s, ms, us, ns)",
    ),
    (
        "no day",
        {"kind": "pay", "v": 2, "tx": 1, "at": "2024-02-30T00:00:00Z"},
        "bad_time",
        None,
        "the time at /at is a string that is not an ISO 8601 time",
        "write 2026-01-02T03:04:05Z, or give the `unit:` of a number",
    ),
    (
        "no zone",
        {"kind": "pay", "v": 2, "tx": 1, "at": "2024-02-03T00:00:00+25:00"},
        "bad_time",
        None,
        "the time at /at is a string that is not an ISO 8601 time",
        "write 2026-01-02T03:04:05Z, or give the `unit:` of a number",
    ),
    (
        "number text",
        post(text=5),
        "wrong_type",
        "text",
        "field text at /text is an integer, the policy says string",
        "fix the producer, or declare the field as integer",
    ),
    (
        "3.0",
        post(likes=3.0),
        "wrong_type",
        "likes",
        "field likes at /likes is a number with a fraction or exponent, the policy says integer",
        "fix the producer, or declare the field as float",
    ),
    (
        "bool int",
        post(likes=True),
        "wrong_type",
        "likes",
        "field likes at /likes is a boolean, the policy says integer",
        "fix the producer, or declare the field as boolean",
    ),
    (
        "text int",
        post(likes="3"),
        "wrong_type",
        "likes",
        "field likes at /likes is a string, the policy says integer",
        STRING,
    ),
    (
        "int65",
        post(likes=2**63),
        "out_of_range",
        "likes",
        "field likes at /likes is an integer beyond 64 bits",
        "fix the producer, or declare the field as float or string",
    ),
    (
        "int100",
        b'{"kind":"post","id":1,"ts":1,"likes":1267650600228229401496703205376}',
        "out_of_range",
        "likes",
        "field likes at /likes is an integer beyond 64 bits",
        "fix the producer, or declare the field as float or string",
    ),
    (
        "text float",
        post(score="0.5"),
        "wrong_type",
        "score",
        "field score at /score is a string, the policy says float",
        STRING,
    ),
    (
        "bool float",
        post(score=False),
        "wrong_type",
        "score",
        "field score at /score is a boolean, the policy says float",
        "fix the producer, or declare the field as boolean",
    ),
    (
        "word",
        post(price="cheap"),
        "wrong_type",
        "price",
        "field price at /price is a string that is not a number such as 12.50, the policy says decimal",
        STRING,
    ),
    (
        "exponent",
        post(price="1e3"),
        "wrong_type",
        "price",
        "field price at /price is a string that is not a number such as 12.50, the policy says decimal",
        STRING,
    ),
    (
        "cents",
        post(price=1.005),
        "out_of_range",
        "price",
        "field price at /price has more than 2 decimals, the policy says scale 2",
        "fix the producer, or raise the field's `scale:`",
    ),
    (
        "cent text",
        post(price="1.0050"),
        "out_of_range",
        "price",
        "field price at /price has more than 2 decimals, the policy says scale 2",
        "fix the producer, or raise the field's `scale:`",
    ),
    (
        "1e308",
        post(price=1e308),
        "out_of_range",
        "price",
        "field price at /price is too large: with scale 2 it has more than 15 digits",
        "fix the producer, or lower the field's `scale:`, or declare it as float",
    ),
    (
        "digits",
        post(price="9" * 40),
        "out_of_range",
        "price",
        "field price at /price is too large: with scale 2 it has more than 15 digits",
        "fix the producer, or lower the field's `scale:`, or declare it as float",
    ),
    (
        "no bool",
        post(bot=1),
        "wrong_type",
        "bot",
        "field bot at /bot is an integer, the policy says boolean",
        "fix the producer, or declare the field as integer",
    ),
    (
        "no ip",
        post(ip="1.2.3.04"),
        "wrong_type",
        "ip",
        "field ip at /ip is a string that is not an IP address, the policy says ip",
        STRING,
    ),
    (
        "zone ip",
        post(ip="fe80::1%eth0\0"),
        "wrong_type",
        "ip",
        "field ip at /ip is a string that is not an IP address, the policy says ip",
        STRING,
    ),
    (
        "bad stamp",
        post(joined="soon"),
        "wrong_type",
        "joined",
        "field joined at /joined is a string that is not an ISO 8601 time",
        "write 2026-01-02T03:04:05Z, or give the `unit:` of a number",
    ),
    (
        "old stamp",
        post(joined="1969-12-31"),
        "out_of_range",
        "joined",
        "field joined at /joined is outside the years 1970 to 2199",
        "fix the producer",
    ),
    (
        "no list",
        post(tags="x"),
        "wrong_type",
        "tags",
        "field tags at /tags is a string, the policy says list<string>",
        STRING,
    ),
    (
        "mixed list",
        post(tags=["x", 1]),
        "wrong_type",
        "tags",
        "field tags at /tags is a list that holds an integer, the policy says list<string>",
        "fix the producer: every element must be a string",
    ),
    (
        "null in list",
        post(tags=["x", None]),
        "wrong_type",
        "tags",
        "field tags at /tags is a list that holds null, the policy says list<string>",
        "fix the producer: every element must be a string",
    ),
    (
        "object",
        post(text={"a": 1}),
        "wrong_type",
        "text",
        "field text at /text is an object, the policy says string",
        "fix the producer",
    ),
    (
        "barred",
        post(author="anna"),
        "wrong_type",
        "account",
        "field account at /author/id is not there: /author is a string, not an object",
        "fix the producer, or the field's path in the policy",
    ),
    (
        "long",
        post(text="x" * 5_000),
        "too_large",
        None,
        "the record has 5,077 bytes, the limit is 4,096",
        "shorten it in the producer, or raise `max_record_bytes:` in the policy",
    ),
]


@pytest.mark.parametrize(
    ("record", "reason", "field", "detail", "hint"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_reason(decode: Decode, record: object, reason: str, field: str | None, detail: str, hint: str) -> None:
    neighbours = post(id="before", likes=1, price="1.10", ip="::1", tags=["t"]), post(id="after")
    batch = decode(neighbours[0], record, neighbours[1])
    [dead] = batch.dead
    assert (dead.reason, dead.field, dead.detail, dead.hint) == (reason, field, detail, hint)
    assert (dead.stage, dead.origin.name, dead.origin.partition, dead.origin.offset) == ("decode", "posts.jsonl", 0, 1)
    assert batch.frame.equals(decode(*neighbours).frame.with_columns(pl.Series("__offset", [0, 2])))
    assert batch.rows.tolist() == [0, 2] and batch.dead_rows == [1]


def test_dead_letter_knows_payload_and_id(decode: Decode) -> None:
    [dead] = decode(post(likes="secret-value")).dead
    assert dead.event_id == "e1"
    assert json.loads(dead.payload)["likes"] == "secret-value"
    assert "secret-value" not in dead.detail + dead.hint


def test_the_first_fault_counts(decode: Decode) -> None:
    dead = decode(post(id="", ts=-1, text=1), post(ts=-1, text=1), post(likes="", text=1)).dead
    assert [(d.reason, d.field) for d in dead] == [("bad_id", None), ("bad_time", None), ("wrong_type", "text")]


def test_of_a_repeated_key_the_last_counts(decode: Decode) -> None:
    batch = decode(b'{"kind":"x","id":"a","kind":"post","id":"b","ts":1,"text":"one","text":"two"}')
    assert batch.frame.select("event_id", "text").row(0) == ("b", "two")


def test_nesting_below_the_parsers_limit(decode: Decode) -> None:
    deep = b'{"kind":"post","id":"d","ts":1,"x":' + b"[" * 1_000 + b"]" * 1_000 + b"}"
    assert decode(deep).frame.height == 1


def test_a_text_of_60_kb() -> None:
    event = {"id": "/id", "time": {"path": "/t", "unit": "s"}, "fields": {"text": "string"}}
    decoder = Decoder(Policy.model_validate({"policy": "p", "events": {"e": event}}))
    record = b'{"id":1,"t":1,"text":"' + b"x" * 60_000 + b'"}'
    assert decode_records([record], np.arange(1), ("f", 0), decoder).frame["text"].str.len_bytes()[0] == 60_000


def test_everything_wrong_at_once(decode: Decode) -> None:
    batch = decode(*(record for _, record, *_ in CASES))
    assert batch.frame.height == 0
    assert [dead.reason for dead in batch.dead] == [case[2] for case in CASES]
    assert [dead.origin.offset for dead in batch.dead] == list(range(len(CASES)))
