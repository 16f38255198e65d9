"""A file that is not the one of the last checkpoint is refused; one that has grown, or was written again, is not."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from integration.sources import Source, SourceError, open_source
from integration.sources.lines import LINE_LIMIT
from tests.sources.conftest import drain, time_of

Row = dict[str, Any]
ROWS: list[Row] = [{"t": n, "text": f"text {n:04}"} for n in range(2_000)]
MEND = "it was replaced or cut; put the file back, or start over with another state folder"


def lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def csv(path: Path, rows: Sequence[Row]) -> None:
    pl.DataFrame(rows).write_csv(path)


def parquet(path: Path, rows: Sequence[Row]) -> None:
    pl.DataFrame(rows).write_parquet(path, row_group_size=300)


WRITERS: dict[str, Callable[[Path, Sequence[Row]], object]] = {
    "a.jsonl": lambda path, rows: path.write_bytes(lines(rows)),
    "a.jsonl.gz": lambda path, rows: path.write_bytes(gzip.compress(lines(rows))),
    "a.csv": csv,
    "a.parquet": parquet,
}


def read_of(path: Path, records: int, size: int = 16_384) -> dict[str, Any]:
    """The position behind so many records, as a state keeps it."""
    source = open_source(str(path), time_of=time_of)
    while records:
        chunk = source.read(min(records, size))
        assert chunk is not None
        records -= len(chunk)
    position: dict[str, Any] = json.loads(json.dumps(source.position()))
    source.close()
    return position


def resumed(path: Path, position: dict[str, Any]) -> Source:
    source = open_source(str(path), time_of=time_of)
    source.seek(position)
    return source


def changed(row: int) -> list[Row]:
    """The rows with one of them another, of the same length."""
    return [{**one, "text": "TEXT" + one["text"][4:]} if n == row else one for n, one in enumerate(ROWS)]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("read", [1, 40, 300, 1_700])
def test_other_content_before_the_position(tmp_path: Path, name: str, folder: bool, read: int) -> None:
    file, write = tmp_path / name, WRITERS[name]
    path = tmp_path if folder else file
    write(file, ROWS)
    position = read_of(path, read)
    place = position["files"][name] if folder else position
    where = f"byte {place['byte']:,}" if ".jsonl" in name else f"record {read:,}"
    for other in (changed(0), changed(read - 1), [{**row, "text": "text " * 3} for row in ROWS]):
        write(file, other)
        with pytest.raises(SourceError) as error:
            resumed(path, position)
        assert str(error.value) == f"{file} has not what was read of it up to the last checkpoint ({where}): {MEND}"


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("size", [1, 7, 16_384])
def test_what_was_not_read_yet_may_change_and_grow(tmp_path: Path, name: str, folder: bool, size: int) -> None:
    file, write = tmp_path / name, WRITERS[name]
    path = tmp_path if folder else file
    position: dict[str, Any] | None = None
    for read, there in ((0, 100), (5, 100), (40, 100), (101, 150), (150, 150), (700, 900), (900, 1_900)):
        write(file, [*ROWS[:read], *changed(read)[read:there]])
        position = read_of(path, read, size)
        write(file, ROWS[: there + 100])
        assert [int(row["t"]) for *_, row in drain(resumed(path, position))] == list(range(read, there + 100))
    # A run that goes on from a position leaves the one that reading from the beginning leaves.
    source = resumed(path, position or {})
    source.read(size)
    assert source.position() == read_of(
        path, source.position()["files"][name]["record"] if folder else 900 + min(size, 1_100), size
    )


def test_a_long_beginning_and_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"n": n, "x": "x" * 9_000}).encode() for n in range(20)]
    path.write_bytes(b"\r\n".join(rows))
    position = read_of(path, 20)
    assert resumed(path, position).read(1) is None
    path.write_bytes(b"\r\n".join(rows) + b"\r\n{}\n")
    assert [row for *_, row in drain(resumed(path, position))] == [{}]
    path.write_bytes(b"y" * (LINE_LIMIT + 5) + b"\n{}\n")
    assert [row for *_, row in drain(resumed(path, read_of(path, 1)))] == [{}]


def test_bad_rows_of_a_table_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x\nbad\n1,a\nworse\n2,b\nbad\n")
    source = open_source(str(path))
    source.read(5)
    position = source.position()
    assert position["record"] == 5 and resumed(path, position).read(1) is None
    path.write_text("t,x\nBAD\n1,a\nworse\n2,b\nworse\n3,c\n")
    assert [row["t"] for *_, row in drain(resumed(path, position))] == ["3"]
    path.write_text("t,x\nbad\n1,a\nworse\n2\nbad\n3,c\n")
    with pytest.raises(SourceError, match="has not what was read of it"):
        resumed(path, position)
