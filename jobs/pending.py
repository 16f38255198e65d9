"""Changes of a checkpoint as one value, kept until it is known whether the transaction that belongs to them was committed."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import orjson

from operators.store import Changes, State

DOCUMENT = "pending"
"""Name of the state's document; empty when nothing is pending."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The changes of checkpoint `number` of the output `target`."""

    target: str
    number: int
    changes: Changes


def encode(pending: Pending) -> bytes:
    """O(bytes), one copy: a line of JSON with all lengths, then keys, values and documents."""
    changes = pending.changes
    head = {
        "target": pending.target,
        "number": pending.number,
        "rows": {
            name: [list(map(len, keys)), [-1 if value is None else len(value) for value in values]]
            for name, (keys, values) in changes.rows.items()
        },
        "documents": {name: len(document) for name, document in changes.documents.items()},
    }
    parts = [orjson.dumps(head), b"\n"]
    for keys, values in changes.rows.values():
        parts += keys
        parts += [value for value in values if value is not None]
    return b"".join([*parts, *changes.documents.values()])


def decode(data: bytes) -> Pending:
    """What `encode` made."""
    end = data.index(b"\n")
    head = orjson.loads(data[:end])
    at = end + 1
    changes = Changes()
    for name, (key_sizes, value_sizes) in head["rows"].items():
        keys = _cut(data, at, key_sizes)
        at += sum(key_sizes)
        found = iter(_cut(data, at, [size for size in value_sizes if size >= 0]))
        at += sum(size for size in value_sizes if size >= 0)
        changes.rows[name] = (keys, [None if size < 0 else next(found) for size in value_sizes])
    sizes = head["documents"]
    changes.documents = dict(zip(sizes, _cut(data, at, list(sizes.values())), strict=True))
    return Pending(head["target"], head["number"], changes)


def pending_of(state: State) -> Pending | None:
    """What a state has pending."""
    data = state.document(DOCUMENT)
    return decode(data) if data else None


def _cut(data: bytes, start: int, sizes: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise(accumulate(sizes, initial=start))]
