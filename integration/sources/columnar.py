"""Parquet: rows in columns from the disk to the batch, never one by one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from integration.sources.chunk import Chunk, SourceError, single
from integration.sources.passed import ROWS, PassedRows, replaced, row_bytes, shorter


class ParquetFile:
    """Rows of a parquet file, a row group at a time; only as many are in memory as are handed over at once."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._number = 0
        self._first = PassedRows()
        self._place: dict[str, Any] = {"record": 0, "byte": 0, "passed": None}
        self._buffer: pl.DataFrame | None = None
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path} is no readable parquet file ({_first_line(error)}); write it again") from None
        self._batches: Iterator[Any] | None = None

    def read(self, max_records: int) -> Chunk | None:
        if not self._load(max_records):
            return None
        assert self._buffer is not None
        rows, self._buffer = self._buffer[:max_records], self._buffer[max_records:]
        n = rows.height
        offsets = np.arange(self._number, self._number + n)
        self._number += n
        where = offsets, np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.int64)
        chunk = Chunk("table", single(self.name), *where, table=rows)
        self._first.note(rows, offsets)
        self._place = self.place(chunk, n - 1)
        return chunk

    def position(self) -> dict[str, Any]:
        return dict(self._place)

    def place(self, chunk: Chunk, at: int) -> dict[str, Any]:
        record = int(chunk.offsets[at]) + 1
        passed = {"hash": self._first.fingerprint(record, row_bytes(chunk.table, at))}
        return {"record": record, "byte": 0, "passed": passed}

    def seek(self, position: dict[str, Any]) -> None:
        record, passed = int(position["record"]), position["passed"]
        where = f"record {record:,}"
        if self._file.metadata.num_rows < record:
            raise shorter(self._path, where)
        if passed:
            # The first rows and the last one are read again, and are as they were.
            self._skip_to(0, ROWS)
            while self._number < min(record, ROWS) and self.read(ROWS) is not None:
                pass
            self._skip_to(record - 1, 16_384)
            last = self.read(1)
            if last is None or self._place["passed"] != passed:
                raise replaced(self._path, where)
        self._number, self._place = record, dict(position)

    def _load(self, size: int) -> bool:
        """Whether there are rows in the buffer; reads the next ones, `size` at once, where there are none."""
        while self._buffer is None or not self._buffer.height:
            if self._batches is None:
                self._batches = self._file.iter_batches(batch_size=size)
            try:
                batch = next(self._batches, None)
                if batch is None:
                    return False
                table = pl.from_arrow(pa.Table.from_batches([batch]))
            except (pa.ArrowException, OSError) as error:
                raise SourceError(
                    f"{self._path} is damaged after record {self._number:,} ({_first_line(error)}); write it again"
                ) from None
            self._buffer = table if isinstance(table, pl.DataFrame) else table.to_frame()
        return True

    def _skip_to(self, record: int, size: int) -> None:
        """Reading goes on at a record; what is before its row group is not read."""
        metadata = self._file.metadata
        group, before = 0, 0
        while group < metadata.num_row_groups and before + metadata.row_group(group).num_rows <= record:
            before += metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, metadata.num_row_groups))
        self._batches = self._file.iter_batches(batch_size=size, row_groups=groups) if groups else iter(())
        self._buffer, self._number = None, before
        while self._number < record and self._load(size):
            assert self._buffer is not None
            skip = min(record - self._number, self._buffer.height)
            self._buffer, self._number = self._buffer[skip:], self._number + skip

    def unfinished(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._file.close()


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
