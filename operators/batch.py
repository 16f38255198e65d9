"""What passes between the stages: columns for many events at once, never one event.

Every frame that leaves `decode` has these columns, then one per field of the policy:

    event_id     String                 never NULL, never empty
    event_type   Enum(policy's types)
    event_time   Datetime("ms", "UTC")
    ingest_time  Datetime("ms", "UTC")  never falls from row to row of one source
    __source     UInt32                 index into Batch.sources
    __offset     Int64                  position of the record in its source (the Kafka offset, or the number of the record in a file)
"""

from dataclasses import dataclass, field

import polars as pl

SYSTEM_COLUMNS = ("event_id", "event_type", "event_time", "ingest_time", "__source", "__offset")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from: the name of the file or topic, its partition, and the position in it."""

    name: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record that cannot become an event: where it was, which field, why, and what to do about it.

    `reason` is a code (`wrong_type`, `broken_json`, ...), `detail` a sentence with the value's kind but never its text,
    `hint` what to do, `payload` the record's bytes (the writer bounds them).
    """

    origin: Origin
    stage: str
    reason: str
    field: str | None
    detail: str
    hint: str
    payload: bytes
    event_id: str | None = None
    ingest_ms: int | None = None


def tombstone(origin: Origin, ingest_ms: int) -> DeadRecord:
    """A record without a value: to Kafka it takes back what was written under its key before."""
    detail, hint = "the record has no value (a tombstone)", "fix the producer: an event cannot be taken back by its key"
    return DeadRecord(origin, "decode", "tombstone", None, detail, hint, b"", ingest_ms=ingest_ms)


@dataclass(slots=True)
class Batch:
    """Decoded events in arrival order."""

    frame: pl.DataFrame
    sources: tuple[tuple[str, int], ...]
    dead: list[DeadRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return self.frame.height

    def origin(self, row: int) -> Origin:
        name, partition = self.sources[self.frame["__source"][row]]
        return Origin(name, partition, self.frame["__offset"][row])


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule fired for an event: what `act` needs, and nothing more."""

    rule: str
    mode: str
    """`live` or `shadow`, after everything that makes a live rule shadow."""
    shadow_reason: str | None
    action: str
    severity: str
    target_kind: str
    target_key: str | None
    """None where the entity key is NULL: a verdict, no enforcement."""
    target_id: bytes
    """The key's bytes in state: what cooldowns are kept by."""
    protected: str | None
    """Name of the list that protects the target, if one does; `action` is the protecting action then."""
    reason: str
    policy_ref: str | None
    event_id: str
    event_type: str
    event_ms: int
    ingest_ms: int
    epoch: str
    verdict_id: str
    cooldown_ms: int
    expires_ms: int | None
    budget: tuple[int, int]
    fuse_key: str
    """Changes when a mode record is set again: a tripped fuse stays tripped for one value of it."""
