"""Records of the lists topic: what is taken, and the whole text of every refusal."""

import doctest

import pytest

import schemas.members
from schemas.members import MAX_KEY_BYTES, MemberError, member_key, parse_member, unknown_list


def test_examples() -> None:
    assert doctest.testmod(schemas.members).failed == 0


def test_a_member() -> None:
    record = parse_member(
        b"vip/u17",
        b'{"until": "2026-01-02T03:04:05Z", "by": "anna", "reason": "partner", "at": "2026-01-01T00:00:00Z"}',
    )
    assert (record.list, record.entity) == ("vip", "u17")
    assert record.member is not None and record.member.until == 1767323045000
    assert record.member.model_dump(mode="json")["until"] == "2026-01-02T03:04:05.000Z"


def test_keys_go_there_and_back() -> None:
    for entity in ("u1", "a/b", "ä|10.0.0.1", "/", " "):
        record = parse_member(member_key("vip", entity), b"{}")
        assert (record.list, record.entity) == ("vip", entity)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (None, b"{}", "the record has no key: it is LIST/ENTITY"),
        (b"vip", b"{}", "the record's key is not LIST/ENTITY"),
        (b"vip/", b"{}", "the record's key is not LIST/ENTITY"),
        (b"vip/\xff", b"{}", "the record's key is not UTF-8"),
        (b"Vip/u1", None, "the record's key: \"Vip\" is not a name: lower-case letters, digits and _, at most 63, a letter first (did you mean `vip`?)"),
        (b"vip/" + b"x" * MAX_KEY_BYTES, b"{}", "the record's key has 4,100 bytes, and 4,096 are allowed"),
        (b"vip/u1", b"", "the record is not JSON, from character 1 on: write one JSON object"),
        (b"vip/u1", b"[]", "the record is a list, and it should be a JSON object"),
        (b"vip/u1", b'{"until": 5}', "`until` is a whole number, and it should be a time: write ISO 8601 text, for example 2026-01-02T03:04:05Z"),
        (b"vip/u1", b'{"untill": null}', "`untill` is not a key of a list member (did you mean `until`?)"),
    ],
)  # fmt: skip
def test_refusals(key: bytes | None, value: bytes | None, text: str) -> None:
    with pytest.raises(MemberError) as caught:
        parse_member(key, value)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("", "list vip: an entity is empty"),
        ("\ud800", "list vip: an entity is not UTF-8 text"),
        ("x" * MAX_KEY_BYTES, "list vip: an entity has 4,100 bytes, and 4,096 are allowed"),
    ],
)
def test_keys_that_cannot_be_written(entity: str, text: str) -> None:
    with pytest.raises(MemberError) as caught:
        member_key("vip", entity)
    assert str(caught.value) == text


def test_a_list_that_is_not_there() -> None:
    assert unknown_list("vipp", ["vip"]) == 'the policy has no list "vipp"; did you mean `vip`?'
    assert unknown_list("blocked", ["vip"]) == 'the policy has no list "blocked"; it has vip'
    assert unknown_list("blocked", []) == 'the policy has no list "blocked"; it has none'
