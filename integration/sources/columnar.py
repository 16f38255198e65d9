"""Parquet: rows in columns from the disk to the batch, never one by one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from integration.sources.chunk import Chunk, SourceError, single


class ParquetFile:
    """Rows of a parquet file, a row group at a time; only as many are in memory as are handed over at once."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._number = 0
        self._buffer: pl.DataFrame | None = None
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path} is no readable parquet file ({_first_line(error)}); write it again") from None
        self._batches: Iterator[Any] | None = None

    def read(self, max_records: int) -> Chunk | None:
        while self._buffer is None or not self._buffer.height:
            if self._batches is None:
                self._batches = self._file.iter_batches(batch_size=max_records)
            try:
                batch = next(self._batches, None)
                if batch is None:
                    return None
                table = pl.from_arrow(pa.Table.from_batches([batch]))
            except (pa.ArrowException, OSError) as error:
                raise SourceError(
                    f"{self._path} is damaged after record {self._number:,} ({_first_line(error)}); write it again"
                ) from None
            self._buffer = table if isinstance(table, pl.DataFrame) else table.to_frame()
        rows, self._buffer = self._buffer[:max_records], self._buffer[max_records:]
        n = rows.height
        offsets = np.arange(self._number, self._number + n)
        self._number += n
        where = offsets, np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.int64)
        return Chunk("table", single(self.name), *where, table=rows)

    def position(self) -> dict[str, Any]:
        return {"record": self._number, "byte": 0}

    def seek(self, position: dict[str, Any]) -> None:
        record = int(position["record"])
        metadata = self._file.metadata
        if metadata.num_rows < record:
            raise SourceError(
                f"{self._path} is shorter than at the last checkpoint (record {record:,}): "
                "it was replaced or cut; put the file back, or start over with another state folder"
            )
        group, before = 0, 0
        while group < metadata.num_row_groups and before + metadata.row_group(group).num_rows <= record:
            before += metadata.row_group(group).num_rows
            group += 1
        self._number = record
        groups = list(range(group, metadata.num_row_groups))
        self._batches = self._file.iter_batches(batch_size=16_384, row_groups=groups) if groups else iter(())
        while before < record:
            table = pl.from_arrow(pa.Table.from_batches([next(self._batches)]))
            frame = table if isinstance(table, pl.DataFrame) else table.to_frame()
            skip = min(record - before, frame.height)
            self._buffer, before = frame[skip:], before + skip

    def close(self) -> None:
        self._file.close()


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
