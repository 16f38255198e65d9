"""Config records: what is taken, and the whole text of every refusal."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.config
from schemas.config import ConfigError, parse_config
from schemas.record_bytes import MAX_BYTES


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    return str(caught.value)


def test_examples() -> None:
    assert doctest.testmod(schemas.config).failed == 0


def test_a_mode() -> None:
    record = parse_config(
        b'{"key": "mode/spam", "value": {"mode": " live  10%", "digest": "ab12"},'
        b' "effective_at": "2026-01-02T04:04:05+01:00",'
        b' "by": "anna", "reason": "checked", "at": "2026-01-02T03:00:00.000Z"}'
    )
    assert (record.kind, record.value) == ("mode", {"mode": "live 10%", "digest": "ab12"})
    assert record.effective_ms == record.effective_at == 1767323045000
    assert (record.by, record.reason, record.at) == ("anna", "checked", 1767322800000)
    assert record.model_dump(mode="json")["effective_at"] == "2026-01-02T03:04:05.000Z"


def test_other_kinds() -> None:
    assert parse_config(b'{"key": "mode/*", "value": {"ceiling": "shadow"}}').kind == "ceiling"
    assert parse_config(b'{"key": "policy", "value": {"policy": "shop"}}').value == {"policy": "shop"}
    assert parse_config(b'{"key": "model/fraud", "value": {"version": 3}}').value == {"version": 3, "mode": "shadow"}
    assert parse_config(b'{"key": "threshold/fraud", "value": {"value": 1}}').value == {"value": 1.0, "point": None}
    header = parse_config(b'{"timeline": "a1"}')
    assert (header.kind, header.key, header.value) == ("timeline", "timeline", "a1")


KEYS = "policy, mode/RULE, mode/*, model/NAME or threshold/NAME"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "the record is not JSON, from character 2 on: write one JSON object"),
        (b"", "the record is not JSON, from character 1 on: write one JSON object"),
        (b"\xff", "the record is not UTF-8"),
        (b"[" * 100_000, "the record is nested too deep"),
        (b"[]", "the record is a list, and it should be a JSON object"),
        (b" " * (MAX_BYTES + 1), "the record has 4,194,305 bytes, and 4,194,304 are allowed"),
        (b'{"key": "policy", "key": "policy"}', '"key" is written twice in the record: keep one'),
        (b'{"key": "threshold/x", "value": {"value": NaN}}', "NaN is not JSON: write a number"),
        (b"9" * 5_000, "the record holds a number with too many digits"),
        (b"{}", f"the record has no `key`: it is {KEYS}"),
        (b'{"key": 5}', f"the record has a whole number for its `key`: it is {KEYS}"),
        (b'{"key": "modes/x", "value": {}}', f'"modes/x" is not a key: it is {KEYS} (did you mean `mode`?)'),
        (b'{"key": "mode/", "value": {}}', '"mode/" names nothing: write mode/NAME or mode/*'),
        (
            b'{"key": "mode/My Rule", "value": {}}',
            'key "mode/My Rule": "My Rule" is not a name: lower-case letters, digits and _, at most 63, a letter first'
            " (did you mean `my_rule`?)",
        ),
        (b'{"key": "timeline", "value": "x"}', 'a timeline is named by {"timeline": NAME}, alone in its record'),
        (b'{"timeline": ""}', "`timeline` is empty (The timeline's name: the first part of every epoch.)"),
        (b'{"key": "mode/x"}', "the config record has no `value` (add for example `value: {mode: shadow}`)"),
        (
            b'{"key": "mode/x", "value": "live"}',
            "`value` is a text, and it should be a map (write for example `value: {mode: shadow}`)",
        ),
        (
            b'{"key": "mode/x", "value": {"mode": "on"}}',
            '`mode`: "on" is not a mode: off, shadow, live, or live N% with N from 0 to 100 (did you mean `live`?)',
        ),
        (b'{"key": "mode/*", "value": {"ceiling": "off"}}', '`ceiling` is "off": it is one of shadow, clear'),
        (
            b'{"key": "mode/x", "value": {"mode": "off"}, "effectiv_at": "2026-01-02"}',
            "`effectiv_at` is not a key of a config record (did you mean `effective_at`?)",
        ),
        (
            b'{"key": "mode/x", "value": {"mode": "off"}, "effective_at": "tomorrow"}',
            '`effective_at`: "tomorrow" is not a time: write ISO 8601, for example 2026-01-02T03:04:05Z',
        ),
        (
            b'{"key": "mode/x", "value": {"mode": "off"}, "effective_at": 5}',
            "`effective_at` is a whole number, and it should be a time: write ISO 8601 text,"
            " for example 2026-01-02T03:04:05Z",
        ),
        (
            b'{"key": "mode/x", "value": {"mode": "off"}, "effective_at": "1969-01-01"}',
            '`effective_at`: "1969-01-01" is before 1970',
        ),
        (b'{"key": "model/x", "value": {"version": 0}}', "`version` is 0: it is 1 at least"),
    ],
)
def test_refusals(data: bytes, text: str) -> None:
    assert refusal(data) == text


def test_everything_at_once() -> None:
    text = refusal(b'{"key": "mode/x", "value": {"mode": "lve", "diges": "a"}, "by": 3}')
    assert text.split("; ") == [
        '`mode`: "lve" is not a mode: off, shadow, live, or live N% with N from 0 to 100 (did you mean `live`?)',
        "`diges` is not a key of a mode record's value (did you mean `digest`?)",
        '`by` is a whole number (3), and it should be a text (put it in quotes: "3")',
    ]


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0aé', max_size=40).map(str.encode))
def test_any_bytes_are_a_record_or_a_refusal(data: bytes) -> None:
    assert refusal(data)
