"""Records of the lists topic: who is on a list, since when that record was appended, and until when.

    key     vip/u17                      the list and the entity; the columns of a longer key are separated by `|`
    value   {"until": "2026-01-09T00:00:00Z", "by": "anna", "reason": "partner"}       on the list; `{}` is enough
    value   null (a tombstone)           off the list

A record counts from the time at which the broker appended it, in the time of the events (ingest time); the newest
record of a key counts, older ones may be compacted away.
"""

from dataclasses import dataclass
from typing import ClassVar

from schemas.document import Document
from schemas.problem import BadValueError, did_you_mean, show
from schemas.record_bytes import Instant, object_of, validated
from schemas.words import check_name

MAX_KEY_BYTES = 4_096
"""A longer key is refused."""


class Member(Document):
    """Value of a record of the lists topic: its entity is on its list. null, a tombstone, takes it off."""

    noun: ClassVar[str] = "a list member"
    example: ClassVar[str | None] = "{}"

    until: Instant | None = None
    """Off the list again from this time on, in the time of the events (ingest time); null: stays."""
    by: str = ""
    """Who put it there."""
    reason: str = ""
    """Why."""
    at: Instant | None = None
    """When the record was written, by the clock of who wrote it. Nothing goes by it."""


class MemberError(ValueError):
    """A record that is not taken: what is wrong with it and what to write instead, in one line."""


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What a record says. `member` is None for a tombstone."""

    list: str
    entity: str
    """The key as people write it, its columns separated by `|`."""
    member: Member | None


def member_key(list_name: str, entity: str) -> bytes:
    """The key of a record: `LIST/ENTITY` in UTF-8. Raises MemberError."""
    if not entity:
        raise MemberError(f"list {list_name}: an entity is empty")
    try:
        key = f"{list_name}/{entity}".encode()
    except UnicodeEncodeError:
        raise MemberError(f"list {list_name}: an entity is not UTF-8 text") from None
    if len(key) > MAX_KEY_BYTES:
        raise MemberError(f"list {list_name}: an entity has {len(key):,} bytes, and {MAX_KEY_BYTES:,} are allowed")
    return key


def parse_member(key: bytes | None, value: bytes | None) -> MemberRecord:
    """A record's bytes, checked; only the first `/` of the key separates. Raises MemberError.

    >>> record = parse_member(b"vip/a/b", b'{"by": "anna"}')
    >>> record.list, record.entity, record.member.by, parse_member(b"vip/a", None).member
    ('vip', 'a/b', 'anna', None)

    Whether there is such a list, and whether the entity has its columns, is for the policy to say.
    """
    if key is None:
        raise MemberError("the record has no key: it is LIST/ENTITY")
    if len(key) > MAX_KEY_BYTES:
        raise MemberError(f"the record's key has {len(key):,} bytes, and {MAX_KEY_BYTES:,} are allowed")
    try:
        name, slash, entity = key.decode().partition("/")
    except UnicodeDecodeError:
        raise MemberError("the record's key is not UTF-8") from None
    if not slash or not entity:
        raise MemberError("the record's key is not LIST/ENTITY")
    try:
        check_name(name)
    except BadValueError as error:
        raise MemberError(f"the record's key: {error}" + (f" ({error.hint})" if error.hint else "")) from None
    member = None if value is None else validated(Member, object_of(value, MemberError), MemberError)
    return MemberRecord(name, entity, member)


def unknown_list(name: str, lists: "list[str]") -> str:
    """What to say of a list that the policy does not have."""
    hint = did_you_mean(name, lists)
    return f"the policy has no list {show(name)}" + (f"; {hint}" if hint else f"; it has {', '.join(lists) or 'none'}")
