"""CloudEvents 1.0 in Kafka's binary mode: the document is the record's value, what it is stands in headers.

content-type       application/json
ce_specversion     1.0
ce_id              what a consumer drops repeats by
ce_source          /watchgate/<policy>
ce_type            watchgate.verdict.v1, ...
ce_subject         what the record is about: the event, the target, the source position, the rule
ce_time            when it was written, by the wall clock: the one value that differs when a run is repeated
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from schemas.cloudevents import TYPES, ce_id, source_of
from schemas.times import iso

Json = Mapping[str, Any]

_CONTENT_TYPE = b"application/json"


class HeaderError(ValueError):
    """Headers that are not those of a CloudEvent; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The attributes of a record."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None


def headers(topic: str, document: Json, body: bytes, policy: str, written_ms: int) -> dict[str, bytes]:
    """The headers of a document, in a fixed order. `topic` is its name without prefix, `body` its bytes; O(1).

    >>> document = {"subject": "copied_text", "at": "2026-01-02T03:04:05.678Z"}
    >>> headers("status", document, b"{}", "marketplace", 1767323045678)["ce_type"]
    b'watchgate.status.v1'

    A status record has no id of its own: it is what it says, so its id is made of its body.
    """
    ident = document.get("ce_id") or ce_id(policy, "status", body.decode())
    return {
        "content-type": _CONTENT_TYPE,
        "ce_specversion": b"1.0",
        "ce_id": str(ident).encode(),
        "ce_source": source_of(policy).encode(),
        "ce_type": TYPES[topic].encode(),
        "ce_subject": _percent_encoded(subject(topic, document)),
        "ce_time": iso(written_ms).encode(),
    }


def subject(topic: str, document: Json) -> str:
    """What a record is about, as text; it is the record's key too, so that what concerns one thing stays in order.

    >>> subject("enforcement", {"target": {"kind": "account", "key": "u1"}})
    'account/u1'
    """
    if topic.startswith("verdicts"):
        return str(document["event_id"])
    if topic.startswith("enforcement"):
        target = document["target"]
        return f"{target['kind']}/{target['key'] or ''}"
    if topic == "deadletter":
        place = document["source"]
        return f"{place['name']}/{place['partition']}/{place['offset']}"
    return str(document["subject"])


def record_key(topic: str, document: Json) -> bytes:
    """The key of a document's Kafka record."""
    return subject(topic, document).encode()


def parse_headers(found: Iterable[tuple[str, bytes]]) -> CloudEvent:
    """The attributes in a record's headers, kafka-python's pairs of name and bytes. Raises HeaderError."""
    values: dict[str, str] = {}
    for name, value in found:
        if name.startswith("ce_"):
            try:
                values[name[3:]] = _percent_decoded(value or b"")
            except UnicodeDecodeError:
                raise HeaderError(f"header {name} is not UTF-8") from None
    for needed in ("specversion", "id", "source", "type"):
        if not values.get(needed):
            raise HeaderError(f"it has no header ce_{needed}, so it is not a CloudEvent in binary mode")
    if values["specversion"] != "1.0":
        raise HeaderError("ce_specversion is not 1.0")
    return CloudEvent(
        values["id"],
        values["source"],
        values["type"],
        values.get("subject"),
        values.get("time"),
    )


def as_pairs(found: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Headers as kafka-python takes them."""
    return list(found.items())


def _percent_encoded(text: str) -> bytes:
    """UTF-8; control characters, which CloudEvents forbids in an attribute, are percent-encoded, and % with them."""
    if text.isprintable() and "%" not in text:
        return text.encode()
    return "".join(c if c.isprintable() and c != "%" else _percent(c) for c in text).encode()


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _percent_decoded(value: bytes) -> str:
    if b"%" not in value:
        return value.decode()
    return unquote_to_bytes(value).decode()
