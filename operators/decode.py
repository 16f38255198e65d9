"""Bytes to columns: a `Batch` of typed events, and a dead letter for every record that cannot be one.

Each record is parsed alone, so nothing in one can reach its neighbour: `{"a":1},{"b":2` is one broken record, not two
halves of others. Types are strict (`"5"` is no number, `true` no integer, `3.0` no integer); missing and null are NULL.
Of a key that stands twice in one object the last one counts. A record has one dead letter, for the first thing that is
wrong with it: its size, its JSON, its type, its id, its time, then its fields in the policy's order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from operators.batch import Batch, DeadRecord, Origin
from operators.decode_columns import COLUMN_TYPES, TIMESTAMP, Fault, Faults, Where, time_faults, times_series
from operators.decode_parse import no_collections, parse_records, too_large
from operators.decode_rows import Indices, Rows, TableRows
from operators.decode_tables import json_of_rows
from operators.decode_times import NO_TIME, Milliseconds
from operators.hashing import hash_all
from operators.pointer import parse_pointer
from schemas.policy import EventSpec, Policy, Scalar

SourceName = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each record of a call comes from, if not all from one place: `names[index[i]]`."""

    names: tuple[SourceName, ...]
    index: np.ndarray[Any, np.dtype[np.uint32]]


@dataclass(slots=True)
class Decoded(Batch):
    """A batch that still knows which record each row and each dead letter was, by position in the call."""

    payload_hash: np.ndarray[Any, np.dtype[np.uint64]] | None = None
    """Hash of each row's record: tells a record sent twice from an id used twice. None where ids are not remembered."""
    rows: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    dead_rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _EventPlan:
    name: str
    spec: EventSpec
    when: tuple[tuple[str, tuple[Scalar, ...]], ...]
    fields: tuple[Where, ...]

    def pointers(self, times_only: bool) -> list[str]:
        """What has to be read of a record to know its type and time, and all that the policy reads of it."""
        some = [*(pointer for pointer, _ in self.when), self.spec.time.path]
        ingest = [self.spec.ingest.path] if self.spec.ingest else []
        return some if times_only else [*some, self.spec.id, *ingest, *(where.pointer for where in self.fields)]


class Decoder:
    """What a policy says about input, prepared once. Holds no state of the stream.

    `columns` are the fields of all event types in the order of first appearance; a field that several types have is one
    column, and NULL in the events of the others. Raises ValueError where two types declare one field differently.
    """

    def __init__(self, policy: Policy) -> None:
        self.max_record_bytes = policy.max_record_bytes
        self.hashes = policy.repeats > 0
        self.event_types = pl.Enum(list(policy.events))
        self.columns: dict[str, Any] = {}
        self.plans: list[_EventPlan] = []
        for name, spec in policy.events.items():
            for column, declared in spec.fields.items():
                parse_pointer(declared.path)
                dtype = self.columns.setdefault(column, COLUMN_TYPES[declared.type])
                if dtype != COLUMN_TYPES[declared.type]:
                    raise ValueError(
                        f"field {column} has another type in event {name} than before: give it another name"
                    )
            when = tuple((pointer, tuple(v) if isinstance(v, list) else (v,)) for pointer, v in spec.when.items())
            fields = tuple(Where(column, declared.path, declared) for column, declared in spec.fields.items())
            self.plans.append(_EventPlan(name, spec, when, fields))
        self.time_pointers = {p: parse_pointer(p) for plan in self.plans for p in plan.pointers(times_only=True)}
        self.pointers = {p: parse_pointer(p) for plan in self.plans for p in plan.pointers(times_only=False)}

    def types(self, rows: Rows) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Index of the first event type whose `when` takes the row, -1 where none does."""
        found = np.full(len(rows), -1, dtype=np.int64)
        for index, plan in enumerate(self.plans):
            takes = found == -1
            for pointer, accepted in plan.when:
                takes &= rows.is_any(pointer, accepted)
            found[takes] = index
        return found


def decode_records(
    records: Sequence[bytes],
    offsets: np.ndarray[Any, np.dtype[np.int64]],
    source: SourceName | Sources,
    decoder: Decoder,
    ingest: Milliseconds | None = None,
) -> Decoded:
    """Decodes n JSON records; `offsets` (int64[n]) are their positions in their source.

    `ingest` (int64[n] milliseconds) is the clock of a broker; without it `ingest_time` is the policy's `ingest:` field,
    or NULL where there is none, for a `RunningClock` to fill. About 1.5 us a record of 200 bytes; a batch with bad
    records costs a slower parse. Never raises for what a record holds.
    """
    with no_collections():
        rows, positions, faults = parse_records(records, decoder.max_record_bytes, decoder.pointers)
        call = _Call(records.__getitem__, offsets, source, ingest, len(records))
        return _assemble(rows, positions, faults, call, decoder)


def decode_table(
    table: pl.DataFrame,
    offsets: np.ndarray[Any, np.dtype[np.int64]],
    source: SourceName | Sources,
    decoder: Decoder,
    text: bool,
    ingest: Milliseconds | None = None,
) -> Decoded:
    """The same for the rows of a table: parquet (`text` false) or CSV (`text` true: cells are parsed, empty ones are
    missing).

    A row's size is the bytes of its texts. Its bytes, for hash and dead letter, are the row as a JSON object.
    """
    rows = TableRows(table, text)
    faults: Faults = {}
    texts = [name for name, dtype in table.schema.items() if dtype == pl.String]
    if texts and table.height:
        sizes = table.select(pl.sum_horizontal(pl.col(texts).str.len_bytes().cast(pl.Int64))).to_series().to_numpy()
        for position in np.flatnonzero(sizes > decoder.max_record_bytes).tolist():
            faults[position] = too_large(int(sizes[position]), decoder.max_record_bytes)
    positions = np.delete(np.arange(table.height), list(faults)) if faults else np.arange(table.height)
    call = _Call(lambda position: json_of_rows(table[position])[0], offsets, source, ingest, table.height, table)
    return _assemble(rows.take(positions) if faults else rows, positions, faults, call, decoder)


def record_times(records: Sequence[bytes], decoder: Decoder) -> Milliseconds:
    """The event time of each record, `NO_TIME` where it has none: for merging files by time before they are decoded."""
    with no_collections():
        rows, positions, _ = parse_records(records, decoder.max_record_bytes, decoder.time_pointers)
        return _times(rows, positions, len(records), decoder)


def table_times(table: pl.DataFrame, decoder: Decoder, text: bool) -> Milliseconds:
    """The same for the rows of a table."""
    return _times(TableRows(table, text), np.arange(table.height), table.height, decoder)


def _times(rows: Rows, positions: Indices, count: int, decoder: Decoder) -> Milliseconds:
    times = np.full(count, NO_TIME, dtype=np.int64)
    kinds = decoder.types(rows)
    for index, plan in enumerate(decoder.plans):
        picked = np.flatnonzero(kinds == index)
        if len(picked):
            times[positions[picked]] = rows.take(picked).times(plan.spec.time.path, plan.spec.time.unit)[0]
    return times


@dataclass(frozen=True, slots=True)
class _Call:
    payload: Callable[[int], bytes]
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    source: SourceName | Sources
    ingest: Milliseconds | None
    count: int
    table: pl.DataFrame | None = None

    def origin(self, position: int) -> Origin:
        name = self.source.names[int(self.source.index[position])] if isinstance(self.source, Sources) else self.source
        return Origin(*name, int(self.offsets[position]))

    def hashes(self, positions: Indices) -> np.ndarray[Any, np.dtype[np.uint64]]:
        if self.table is not None:
            return hash_all(json_of_rows(self.table if len(positions) == self.count else self.table[positions]))
        return hash_all(map(self.payload, positions.tolist()))


def _assemble(rows: Rows, positions: Indices, faults: Faults, call: _Call, decoder: Decoder) -> Decoded:
    """`positions[i]` is the place of `rows[i]` in the call; `faults` are by place in the call."""
    kinds = decoder.types(rows)
    if len(kinds) and kinds.min() < 0:
        nothing = Fault(
            "no_event_type", None, _no_type_text(decoder), "fix the producer, or add an event to the policy"
        )
        faults.update(dict.fromkeys(positions[kinds < 0].tolist(), nothing))
    ids: dict[int, str | None] = {}
    frames: list[pl.DataFrame] = []
    places: list[Indices] = []
    for index, plan in enumerate(decoder.plans):
        picked = np.flatnonzero(kinds == index)
        if len(picked):
            chosen = rows if len(picked) == len(rows) else rows.take(picked)
            place = positions[picked]
            frame, wrong = _decode_type(chosen, plan, decoder, None if call.ingest is None else call.ingest[place])
            if wrong:
                ids |= {int(place[i]): frame["event_id"][i] for i in wrong}
                faults |= {int(place[i]): fault for i, fault in wrong.items()}
                keep = np.ones(len(place), dtype=np.bool_)
                keep[list(wrong)] = False
                frame, place = frame.filter(pl.Series(keep)), place[keep]
            frames.append(frame)
            places.append(place)
    frame, kept = _join(frames, places, decoder)
    names, sources = _sources(call, kept)
    frame.insert_column(4, sources).insert_column(5, pl.Series("__offset", call.offsets[kept], dtype=pl.Int64))
    dead_rows = sorted(faults)
    dead = [_dead(faults[p], call, p, ids.get(p)) for p in dead_rows]
    return Decoded(frame, names, dead, call.hashes(kept) if decoder.hashes else None, kept, dead_rows)


def _decode_type(
    rows: Rows, plan: _EventPlan, decoder: Decoder, broker: Milliseconds | None
) -> tuple[pl.DataFrame, Faults]:
    """The frame of rows of one type, bad rows included, and the first fault of each bad row."""
    spec = plan.spec
    ids, wrong = rows.ids(spec.id)
    times, bad = rows.times(spec.time.path, spec.time.unit)
    wrong = time_faults(bad, times == NO_TIME, spec.time.path, spec.time.unit) | wrong
    ingest = np.full(len(rows), NO_TIME, dtype=np.int64) if broker is None else broker
    if broker is None and spec.ingest is not None:
        ingest, bad = rows.times(spec.ingest.path, spec.ingest.unit)
        wrong = time_faults(bad, ingest == NO_TIME, spec.ingest.path, spec.ingest.unit) | wrong
    columns = {
        "event_id": ids.alias("event_id"),
        "event_type": pl.Series("event_type", [plan.name], dtype=decoder.event_types).new_from_index(0, len(rows)),
        "event_time": times_series(times),
        "ingest_time": times_series(ingest),
    }
    for where in plan.fields:
        columns[where.name], faults = rows.field(where)
        if faults:
            wrong = faults | wrong
    for name, dtype in decoder.columns.items():
        if name not in columns:
            columns[name] = pl.Series(name, [None], dtype=dtype).new_from_index(0, len(rows))
    return pl.DataFrame({name: columns[name] for name in (*_FIRST, *decoder.columns)}), wrong


_FIRST = ("event_id", "event_type", "event_time", "ingest_time")


def _join(frames: list[pl.DataFrame], places: list[Indices], decoder: Decoder) -> tuple[pl.DataFrame, Indices]:
    """One frame in the order of the call."""
    if not frames:
        first = dict(zip(_FIRST, (pl.String(), decoder.event_types, TIMESTAMP, TIMESTAMP), strict=True))
        return pl.DataFrame(schema=first | decoder.columns), np.empty(0, dtype=np.int64)
    if len(frames) == 1:
        return frames[0], places[0]
    place = np.concatenate(places)
    order = np.argsort(place)
    return pl.concat(frames)[order], place[order]


def _sources(call: _Call, kept: Indices) -> tuple[tuple[SourceName, ...], pl.Series]:
    if isinstance(call.source, Sources):
        return call.source.names, pl.Series("__source", call.source.index[kept], dtype=pl.UInt32)
    return (call.source,), pl.Series("__source", np.zeros(len(kept), dtype=np.uint32))


def _no_type_text(decoder: Decoder) -> str:
    read = sorted({pointer for plan in decoder.plans for pointer, _ in plan.when})
    return f"the record is of no event type of the policy: no `when:` takes what it has at {', '.join(read)}"


def _dead(fault: Fault, call: _Call, position: int, event_id: str | None) -> DeadRecord:
    ingest = None if call.ingest is None else int(call.ingest[position])
    return DeadRecord(
        call.origin(position),
        "decode",
        fault.reason,
        fault.field,
        fault.detail,
        fault.hint,
        call.payload(position),
        event_id,
        ingest,
    )
