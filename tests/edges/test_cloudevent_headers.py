"""CloudEvents in binary mode: what the headers of a document say, and reading them back."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.kafka.headers import HeaderError, as_pairs, headers, parse_headers, record_key

_ID = "6cda6902-9e06-5d8a-9619-3a5a9d6a5f9b"
_ENFORCEMENT = {"ce_id": _ID, "target": {"kind": "account", "key": "u1"}}


def test_the_headers_of_a_document() -> None:
    assert headers("enforcement.shadow", _ENFORCEMENT, b"{}", "shop", 1_767_323_045_678) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": _ID.encode(),
        "ce_source": b"/watchgate/shop",
        "ce_type": b"watchgate.enforcement.v1",
        "ce_subject": b"account/u1",
        "ce_time": b"2026-01-02T03:04:05.678Z",
    }


@pytest.mark.parametrize(
    ("topic", "document", "key"),
    [
        ("verdicts", {"event_id": "e1"}, b"e1"),
        ("verdicts.shadow", {"event_id": "e1"}, b"e1"),
        ("enforcement", _ENFORCEMENT, b"account/u1"),
        ("deadletter", {"source": {"name": "events", "partition": 3, "offset": 17}}, b"events/3/17"),
        ("status", {"subject": "copied_text"}, b"copied_text"),
    ],
)
def test_the_key_is_what_the_record_is_about(topic: str, document: dict[str, object], key: bytes) -> None:
    assert record_key(topic, document) == key


def test_a_status_record_is_identified_by_what_it_says() -> None:
    one, same, other = (
        headers("status", {"subject": "r"}, body, "shop", at)["ce_id"] for body, at in ((b"1", 1), (b"1", 2), (b"2", 1))
    )
    assert one == same != other
    assert UUID(one.decode()).version == 5


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_event_id_survives_and_no_control_character_is_sent(event_id: str) -> None:
    found = headers("verdicts", {"ce_id": _ID, "event_id": event_id}, b"{}", "shop", 0)
    assert found["ce_subject"].decode().isprintable()
    assert (parse_headers(as_pairs(found)).subject or "") == event_id


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ([], "it has no header ce_specversion, so it is not a CloudEvent in binary mode"),
        (
            [("ce_specversion", b"0.3"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"t")],
            "ce_specversion is not 1.0",
        ),
        ([("ce_id", b"\xff")], "header ce_id is not UTF-8"),
        (
            [("ce_specversion", b"1.0"), ("ce_id", b"")],
            "it has no header ce_id, so it is not a CloudEvent in binary mode",
        ),
    ],
)
def test_headers_that_are_none_of_a_cloudevent(found: list[tuple[str, bytes]], error: str) -> None:
    with pytest.raises(HeaderError) as caught:
        parse_headers(found)
    assert str(caught.value) == error
