"""Reading a source to its end, and leaving and resuming it."""

import json
from typing import Any

import numpy as np

from integration.sources import Chunk, Source
from operators.decode_times import NO_TIME

Seen = tuple[str, int, dict[str, Any]]


def rows_of(chunk: Chunk) -> list[Seen]:
    """(file, number, record) of each record."""
    documents = [json.loads(chunk.payload(i)) for i in range(len(chunk))]
    return [(chunk.names[s][0], int(o), d) for s, o, d in zip(chunk.index, chunk.offsets, documents, strict=True)]


def drain(source: Source, size: int = 16_384) -> list[Seen]:
    seen: list[Seen] = []
    while (chunk := source.read(size)) is not None:
        assert len(chunk) <= size
        seen += rows_of(chunk)
    return seen


def time_of(chunk: Chunk) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """`t` of each record."""
    times = [json.loads(chunk.payload(i)).get("t") for i in range(len(chunk))]
    return np.array([NO_TIME if t in (None, "") else int(t) for t in times], dtype=np.int64)
