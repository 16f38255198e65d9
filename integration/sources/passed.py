"""What a position remembers of the records before it: a file that has grown still has them, one that was replaced has not.

Bounded and cheap: a hash of how the file begins and of the last record, made from what is in memory anyway. So it is of
the content: a file that was compressed or written again with the same records is the same file.
"""

from pathlib import Path

import polars as pl

from integration.sources.chunk import Indices, SourceError
from operators.hashing import hash_bytes

HEAD = 65_536
"""Bytes of the beginning that count."""
TAIL = 4_096
"""Bytes of the last record that count."""
ROWS = 64
"""Rows of the beginning of a table that count."""

_MEND = "it was replaced or cut; put the file back, or start over with another state folder"


def shorter(path: Path | str, where: str) -> SourceError:
    """The error for a file that ends before a position. `where`: the position in words."""
    return SourceError(f"{path} is shorter than at the last checkpoint ({where}): {_MEND}")


def replaced(path: Path | str, where: str) -> SourceError:
    """The error for a file that has other records before a position."""
    return SourceError(f"{path} has not what was read of it up to the last checkpoint ({where}): {_MEND}")


def digest(content: bytes) -> str:
    """Half of a fingerprint, which is the digest of a file's beginning and that of the last record before a position."""
    return f"{hash_bytes(content):016x}"


class PassedRows:
    """The first rows of a table as they are read, and the fingerprint at any row behind them. Rows that are no rows of
    the table do not count."""

    def __init__(self) -> None:
        self._first: dict[int, bytes] = {}

    def note(self, table: pl.DataFrame, offsets: Indices) -> None:
        """Rows that were read, with their numbers; only the first ones are looked at."""
        if len(offsets) and offsets[0] < ROWS:
            for offset, row in zip(offsets[:ROWS].tolist(), table[:ROWS].rows(), strict=True):
                if offset < ROWS:
                    self._first[offset] = _bytes(table.columns, row)

    def fingerprint(self, records: int, last: bytes) -> str:
        """Where `records` rows were read and `last` are the bytes of the last one."""
        head = "".join(digest(row) for n, row in self._first.items() if n < records)
        return digest(head.encode()) + digest(last)


def row_bytes(table: pl.DataFrame, at: int) -> bytes:
    """A row with the names of its columns."""
    return _bytes(table.columns, table.row(at))


def _bytes(columns: list[str], row: tuple[object, ...]) -> bytes:
    """The same in every version of every library."""
    return ascii((columns, row)).encode()
