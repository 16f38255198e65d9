"""CSV (RFC 4180): a header row, then rows of text. A row that does not fit the header is a dead letter and costs no
other row."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from integration.sources.chunk import Chunk, SourceError, single
from integration.sources.passed import ROWS, PassedRows, replaced, row_bytes, shorter
from operators.batch import DeadRecord, Origin
from schemas.counted import counted

_HINT = "fix the file: quote cells that hold commas, quotes or line ends, and double a quote inside a cell"


class DelimitedFile:
    """Rows of a CSV file with unique column names. A cell holds at most 131,072 characters, so that a quote that is
    never closed does not swallow the file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        # Bytes that are not UTF-8 become lone surrogates, which no table holds: the row is bad, the file is not.
        self._file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._rows = csv.reader(self._file, strict=True)
        self._number = 0
        self._first = PassedRows()
        self._passed: dict[str, Any] | None = None
        """Of the last good row."""
        try:
            self._header = next(self._rows, [])
        except csv.Error as error:
            raise SourceError(f"the header of {path} is no CSV row: {error}; {_HINT}") from None
        if any(not name.isprintable() for name in self._header):
            raise SourceError(f"the header of {path} is not UTF-8 text; convert the file to UTF-8")
        twice = sorted({name for name in self._header if self._header.count(name) > 1})
        if twice:
            raise SourceError(f"the header of {path} has the column {twice[0]!r} more than once; rename one of them")

    def read(self, max_records: int) -> Chunk | None:
        rows: list[list[str]] = []
        offsets: list[int] = []
        dead: list[DeadRecord] = []
        while len(rows) + len(dead) < max_records:
            row, fault = self._next()
            if row is None:
                break
            if not row and not fault:
                continue  # a blank line
            fault = fault or self._fault(row)
            if fault:
                origin = Origin(self.name, 0, self._number)
                dead.append(DeadRecord(origin, "decode", "bad_row", None, fault, _HINT, _payload(row)))
            else:
                rows.append(row)
                offsets.append(self._number)
            self._number += 1
        if not rows and not dead:
            return None
        n = len(rows)
        where = np.array(offsets, dtype=np.int64), np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.int64)
        table = self._table(rows)
        chunk = Chunk("table", single(self.name), *where, table=table, text=True, dead=dead)
        self._first.note(table, chunk.offsets)
        if n:
            self._passed = self.place(chunk, n - 1)["passed"]
        return chunk

    def position(self) -> dict[str, Any]:
        return {"record": self._number, "byte": 0, "passed": self._passed}

    def place(self, chunk: Chunk, at: int) -> dict[str, Any]:
        record = int(chunk.offsets[at]) + 1
        return {"record": record, "byte": 0, "passed": self._mark(record, row_bytes(chunk.table, at))}

    def seek(self, position: dict[str, Any]) -> None:
        record, self._passed = int(position["record"]), position["passed"]
        where, checked = f"record {record:,}", self._passed["records"] if self._passed else 0
        last = b""
        while self._number < record:
            row, fault = self._next()
            if row is None:
                raise shorter(self._path, where)
            if not row and not fault:
                continue
            if (self._number < ROWS or self._number == checked - 1) and not (fault or self._fault(row)):
                table = self._table([row])
                self._first.note(table, np.array([self._number]))
                last = row_bytes(table, 0)
            self._number += 1
            if self._number == checked and self._passed != self._mark(checked, last):
                raise replaced(self._path, where)

    def _mark(self, records: int, last: bytes) -> dict[str, Any]:
        return {"records": records, "hash": self._first.fingerprint(records, last)}

    def unfinished(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._file.close()

    def _table(self, rows: list[list[str]]) -> pl.DataFrame:
        columns = zip(*rows, strict=True) if rows else [() for _ in self._header]
        return pl.DataFrame(
            {name: pl.Series(name, cells, dtype=pl.String) for name, cells in zip(self._header, columns, strict=True)}
        )

    def _next(self) -> tuple[list[str] | None, str]:
        try:
            return next(self._rows, None), ""
        except csv.Error as error:
            return [], f"the row is no CSV: {error}"
        except OSError as error:
            raise SourceError(f"cannot read {self._path}: {error.strerror}; check the disk and the file") from None

    def _fault(self, row: list[str]) -> str:
        if len(row) != len(self._header):
            return f"the row has {counted(len(row), 'cell')}, the header has {len(self._header):,}"
        try:
            "".join(row).encode()
        except UnicodeEncodeError:
            return "the row is not UTF-8"
        return ""


def _payload(row: list[str]) -> bytes:
    return orjson.dumps([cell.encode(errors="replace").decode() for cell in row])
