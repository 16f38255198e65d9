"""What a source hands over: some records or table rows, where each stood, and how to go on from any of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl

from operators.batch import DeadRecord
from operators.decode_tables import json_of_rows
from schemas.mendable import MendableError

Indices = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
SourceName = tuple[str, int]
TimeOf = Callable[["Chunk"], Indices]
"""Event times (int64[n] milliseconds) of a chunk's records, the least int64 for a record without one."""


class SourceError(MendableError):
    """An input that cannot be read: what, where, and what to do about it."""


@dataclass(slots=True)
class Chunk:
    """n records in reading order. `kind` is `records` (JSON lines in `records`) or `table` (rows in `table`; with
    `text` all cells are text, and an empty one is missing). Record i is number `offsets[i]` (from 0) of the file
    `names[index[i]]`.

    `after[i]` is the byte at which reading goes on behind record i, 0 where a file is not read by bytes. `dead` are
    rows that are no rows of the table. `forged` (of a folder only) are records whose time nothing in their file
    confirms. `ingest` are the times of a broker's clock (int64[n] milliseconds). An empty chunk means that there is
    nothing new just now, in a file that is followed or a topic.
    """

    kind: Literal["records", "table"]
    names: tuple[SourceName, ...]
    offsets: Indices
    index: np.ndarray[Any, np.dtype[np.uint32]]
    after: Indices
    records: list[bytes] = field(default_factory=list)
    table: pl.DataFrame = field(default_factory=pl.DataFrame)
    text: bool = False
    dead: list[DeadRecord] = field(default_factory=list)
    forged: Mask | None = None
    ingest: Indices | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def payload(self, position: int) -> bytes:
        """The bytes of one record; a table's row as a JSON object."""
        return self.records[position] if self.kind == "records" else json_of_rows(self.table[position])[0]

    def take(self, picked: Indices) -> "Chunk":
        """The records at `picked`, in that order; without `dead`."""
        records, table = self.records, self.table
        if self.kind == "records":
            records = [records[i] for i in picked.tolist()]
        else:
            table = table[picked]
        rest = self.offsets[picked], self.index[picked], self.after[picked]
        forged = None if self.forged is None else self.forged[picked]
        return Chunk(self.kind, self.names, *rest, records, table, self.text, forged=forged)


class Source(Protocol):
    """An ordered input that can be left and taken up again."""

    name: str

    def read(self, max_records: int) -> Chunk | None:
        """The next 1 to `max_records` records; None at the end. An empty chunk: nothing new just now, or bad rows only.

        Raises SourceError, after everything that could be read has been handed over.
        """
        ...

    def position(self) -> dict[str, Any]:
        """Where reading stands behind the last chunk that was handed over; JSON-able."""
        ...

    def seek(self, position: dict[str, Any]) -> None:
        """Goes on from a `position()` of an earlier run. Only before the first read. Raises SourceError if the file has
        not the records any more that were read before it."""
        ...

    def unfinished(self) -> dict[str, int]:
        """At the end: by path, the bytes of a last line that is still to be written to its end, which was not taken."""
        ...

    def close(self) -> None: ...


class FileSource(Source, Protocol):
    """One file."""

    def place(self, chunk: Chunk, at: int) -> dict[str, Any]:
        """`position()` as it was behind record `at` of a chunk that this file gave."""
        ...


def single(name: str) -> tuple[SourceName, ...]:
    """The `names` of a chunk of one file."""
    return ((name, 0),)
