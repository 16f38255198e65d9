"""A dead letter: a record that could not become an event, where it came from, and why. Always bounded."""

from typing import Annotated

from pydantic import Field

from schemas.cloudevents import EventId, Output, Position


class DeadLetter(Output):
    """One record that was not judged."""

    ce_id: EventId
    """The same on every run."""
    policy: str
    """Name of the policy."""
    source: Position
    """Where the record stands."""
    stage: str
    """What refused it: decode, stamp or labels."""
    reason: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", examples=["wrong_type"])]
    """The reason as a word, to count by.

    broken_json, not_an_object, no_event_type, missing_id, bad_id, missing_time, bad_time, future_time, wrong_type,
    out_of_range, too_large, repeated_id, bad_row, unknown_entity; later versions may add more.
    """
    field: str | None
    """The field that is wrong; null where it is the whole record."""
    detail: str
    """What is wrong, in a sentence. Kinds of values, never values."""
    hint: str
    """What to do about it."""
    event_id: str | None
    """Id of the event, where the record had one."""
    length: Annotated[int, Field(ge=0)]
    """Bytes of the record; one over 8 MiB is cut there, and counted as 8,388,609."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the record, in hex; of its first 8,388,609 bytes where it is longer."""
    prefix: Annotated[str, Field(max_length=684, json_schema_extra={"contentEncoding": "base64"})]
    """The first 512 bytes of the record in base64. It may hold personal data."""
