"""CloudEvents 1.0 attributes of what comes out: ids that are the same on every run, and times as text."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

NAMESPACE = UUID("496d4526-a56a-517c-ae9c-9741a55fd1cd")
"""Pinned: another namespace gives every record another id, and consumers would act twice."""

TYPES = {
    "verdicts": "watchgate.verdict.v1",
    "verdicts.shadow": "watchgate.verdict.v1",
    "enforcement": "watchgate.enforcement.v1",
    "enforcement.shadow": "watchgate.enforcement.v1",
    "deadletter": "watchgate.deadletter.v1",
    "status": "watchgate.status.v1",
}
"""`ce_type` of each topic's records."""

_NAMESPACE_BYTES = NAMESPACE.bytes
_SEPARATOR = "\x1f"
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MINUTES = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1_440)]
_SECONDS = [f"{second:02}." for second in range(60)]
_MILLIS = [f"{milli:03}Z" for milli in range(1_000)]

IsoTime = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
        examples=["2026-01-02T03:04:05.678Z"],
    ),
]
"""A time as every document writes it: ISO 8601, UTC, milliseconds."""

EventId = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        json_schema_extra={"format": "uuid"},
    ),
]
"""UUIDv5 of what a record is about: the same on every run and every retry."""


class Output(BaseModel):
    """A record that leaves a job. Later versions may add keys: a consumer passes over those that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Position(Output):
    """Where the record stood that the event came from."""

    name: str
    """File or topic."""
    partition: Annotated[int, Field(ge=0)]
    """Partition of the topic; 0 for a file."""
    offset: Annotated[int, Field(ge=0)]
    """Offset in the partition; number of the record in a file, from 0."""


def source_of(policy: str) -> str:
    """`ce_source` of a policy's records."""
    return f"/watchgate/{policy}"


def ce_id(policy: str, topic: str, *parts: str) -> str:
    """The id of an output record: UUIDv5 of the policy, the topic and what the record is about; O(length), about 1 us.

    >>> ce_id("marketplace", "verdicts", "post-1", "live")
    '6cda6902-9e06-5d8a-9619-3a5a9d6a5f9b'

    Different parts never give the same name to hash, not even when an event id was made to hold the separator:
    nobody can choose an id that makes another record look like a repeat.
    """
    name = _SEPARATOR.join((policy, topic, *parts))
    if name.count(_SEPARATOR) != len(parts) + 1:
        lengths = _SEPARATOR.join([str(len(part)) for part in (policy, topic, *parts)])
        name = _SEPARATOR + lengths + _SEPARATOR + name
    text = sha1(_NAMESPACE_BYTES + name.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def iso(ms: int) -> str:
    """A time in milliseconds since 1970 as text; O(1), under 1 us.

    >>> iso(1767323045678)
    '2026-01-02T03:04:05.678Z'
    """
    day, rest = divmod(int(ms), _DAY_MS)
    minute, rest = divmod(rest, 60_000)
    second, milli = divmod(rest, 1_000)
    return _date(day) + _MINUTES[minute] + _SECONDS[second] + _MILLIS[milli]


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d").zfill(10)


def parse_iso(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 text; without a zone it is UTC, digits below a millisecond are cut off.

    >>> parse_iso("2026-01-02T04:04:05.678+01:00")
    1767323045678

    Raises ValueError with the accepted form.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, TypeError, OverflowError):
        raise ValueError("not a time: write ISO 8601, for example 2026-01-02T03:04:05Z") from None
    return since.days * _DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000
