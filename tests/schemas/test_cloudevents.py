import doctest
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.cloudevents
from schemas.cloudevents import NAMESPACE, ce_id
from schemas.times import iso, parse_iso


def test_examples() -> None:
    assert doctest.testmod(schemas.cloudevents).failed == 0


def test_ids_are_pinned() -> None:
    """Another value here means that every consumer sees every record anew."""
    assert str(NAMESPACE) == "496d4526-a56a-517c-ae9c-9741a55fd1cd"
    assert (
        ce_id("marketplace", "enforcement", "post", "é-1", "live", "spam", "account", "u1")
        == "60c8f99b-52d5-52b9-9871-b3d905b1d7c9"
    )


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\x1f", codec="utf-8")), max_size=4))
def test_ids_are_uuid5(parts: list[str]) -> None:
    assert ce_id("p", "t", *parts) == str(uuid.uuid5(NAMESPACE, "\x1f".join(["p", "t", *parts])))


short = st.text(alphabet="a\x1f1", max_size=4)


@given(st.lists(short, min_size=2, max_size=4), st.lists(short, min_size=2, max_size=4))
def test_no_id_can_be_forged(some: list[str], others: list[str]) -> None:
    assert (ce_id("p", "t", *some) == ce_id("p", "t", *others)) == (some == others)


@given(st.integers(0, 7_258_118_399_999))
def test_times_round_trip(ms: int) -> None:
    text = iso(ms)
    assert parse_iso(text) == ms
    assert (
        text == datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        or ms % 1000
    )


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-01 00:00:01", 1_000),
        ("1970-01-01T01:00:00.0019+01:00", 1),
    ],
)
def test_forms_of_time(text: str, ms: int) -> None:
    assert parse_iso(text) == ms


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-01-01T25:00:00Z", "12:00", "1767323045"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="not a time: write ISO 8601, for example 2026-01-02T03:04:05Z"):
        parse_iso(text)
