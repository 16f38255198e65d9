"""Records to parsed values: every record alone, in slabs that stay in the processor's cache."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import orjson

from operators.decode_columns import Fault, Faults
from operators.decode_rows import Indices, JsonRows
from operators.pointer import Documents, Path, kind_of

_SLAB = 512


@contextmanager
def no_collections() -> Iterator[None]:
    """A batch of parsed records is thousands of new dicts, none of them garbage: looking for cycles costs as much as
    parsing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def parse_records(
    records: Sequence[bytes], limit: int, pointers: Mapping[str, Path]
) -> tuple[JsonRows, Indices, Faults]:
    """The values at `pointers` of the records that are objects, their positions, and the faults of the other records.

    A slab is parsed, read and dropped while it is in the processor's cache: that is a third faster than the whole batch
    at once. A bad record costs its slab a second parse.
    """
    columns: dict[str, list[object]] = {pointer: [] for pointer in pointers}
    keys = list({path[0]: None for path in pointers.values()})
    positions: list[Indices] = []
    faults: Faults = {}
    for first in range(0, len(records), _SLAB):
        slab = records[first : first + _SLAB]
        objects = _objects(slab, limit)
        kept = np.arange(first, first + len(slab))
        if objects is None:
            parsed = [_parse_one(record, limit) for record in slab]
            bad = {first + i: one for i, one in enumerate(parsed) if isinstance(one, Fault)}
            faults |= bad
            kept = kept[[first + i not in bad for i in range(len(slab))]]
            objects = [one for one in parsed if not isinstance(one, Fault)]
        documents = Documents(objects, keys)
        for pointer, path in pointers.items():
            columns[pointer] += documents.column(path)
        positions.append(kept)
    where = np.concatenate(positions) if positions else np.empty(0, dtype=np.int64)
    return JsonRows(columns, len(where)), where, faults


def _objects(slab: Sequence[bytes], limit: int) -> list[dict[str, object]] | None:
    """All records as objects, or None if there is a bad one among them."""
    if max(map(len, slab)) > limit:
        return None
    try:
        objects = list(map(orjson.loads, slab))
    except orjson.JSONDecodeError:
        return None
    return objects if set(map(type, objects)) == {dict} else None


def _parse_one(record: bytes, limit: int) -> dict[str, object] | Fault:
    if len(record) > limit:
        return too_large(len(record), limit)
    try:
        value = orjson.loads(record)
    except orjson.JSONDecodeError as error:
        hint = "fix the producer: a record is one JSON object in UTF-8"
        return Fault("broken_json", None, f"the record is not valid JSON: {error.msg}, at character {error.pos}", hint)
    if not isinstance(value, dict):
        hint = "fix the producer: a record is one JSON object"
        return Fault("not_an_object", None, f"the record is {kind_of(value)}, not a JSON object", hint)
    return value


def too_large(size: int, limit: int) -> Fault:
    """The fault of a record over `max_record_bytes`."""
    detail = f"the record has {size:,} bytes, the limit is {limit:,}"
    return Fault("too_large", None, detail, "shorten it in the producer, or raise `max_record_bytes:` in the policy")
