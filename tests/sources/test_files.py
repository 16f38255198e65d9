"""One file of each kind: what is read, how it is numbered, how reading goes on after a restart."""

import gzip
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from integration.sources import Source, open_source
from integration.sources.lines import LINE_LIMIT, StandardInput
from tests.sources.conftest import drain

ROWS = [{"n": i, "text": f'a "quoted", é {i}\nline'} for i in range(50)]


def write_jsonl(path: Path) -> Path:
    path.write_bytes(b"\n".join(json.dumps(row).encode() for row in ROWS))
    return path


def write_gz(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\r\n" for row in ROWS)))
    return path


def write_csv(path: Path) -> Path:
    pl.DataFrame(ROWS).write_csv(path, include_bom=True)
    return path


def write_parquet(path: Path) -> Path:
    pl.DataFrame(ROWS).write_parquet(path, row_group_size=7)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.jsonl": write_jsonl,
    "a.jsonl.gz": write_gz,
    "a.csv": write_csv,
    "A.PARQUET": write_parquet,
}


def where(source: Source) -> tuple[int, int]:
    """Record and byte of a source's position."""
    position = source.position()
    return position["record"], position["byte"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("size", [1, 8, 49, 50, 1_000])
def test_reads_and_resumes(tmp_path: Path, name: str, size: int) -> None:
    path = str(WRITERS[name](tmp_path / name))
    rows = [{"n": str(row["n"]), "text": row["text"]} for row in ROWS] if name == "a.csv" else ROWS
    expected = [(name, i, row) for i, row in enumerate(rows)]
    assert drain(open_source(path), size) == expected
    source = open_source(path)
    seen: list[object] = []
    for _ in range(3):
        chunk = source.read(size)
        seen += [] if chunk is None else chunk.offsets.tolist()
        position = json.loads(json.dumps(source.position()))
        source.close()
        source = open_source(path)
        source.seek(position)
    assert seen == list(range(min(3 * size, 50)))
    assert drain(source, 16) == expected[len(seen) :]
    assert source.read(5) is None
    source.close()


def test_blank_lines_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n  \t\n{"a":2}\n\r\nnot json\n{"a":3}')
    source = open_source(str(path))
    chunk = source.read(2)
    assert chunk is not None and chunk.records == [b'{"a":1}', b'{"a":2}'] and chunk.offsets.tolist() == [0, 1]
    again = open_source(str(path))
    again.seek(source.position())
    rest = again.read(9)
    assert rest is not None and rest.records == [b"not json", b'{"a":3}'] and rest.offsets.tolist() == [2, 3]
    assert again.read(9) is None


def test_lines_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "a.jsonl")
    for block in (1, 3, 64):
        monkeypatch.setattr("integration.sources.lines.BLOCK", block)
        assert [row for *_, row in drain(open_source(str(path)), 7)] == ROWS


def test_a_line_without_end_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b"{}\n")
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b'\n{"a":1}\n')
    tracemalloc.start()
    source = open_source(str(path))
    chunk = source.read(10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chunk is not None and list(map(len, chunk.records)) == [2, LINE_LIMIT, 7]
    assert where(source) == (3, path.stat().st_size)
    assert peak < 40 << 20


def test_empty_files(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / name).write_bytes(b"")
        assert open_source(str(tmp_path / name)).read(5) is None
    (tmp_path / "h.csv").write_text("a,b\n")
    assert open_source(str(tmp_path / "h.csv")).read(5) is None


def test_followed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"a"')
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            with path.open("ab") as file:
                file.write(b':2}\n{"a":3}\n{')

    source = open_source(str(path), follow=True, sleep=sleep)
    first, second, third = source.read(10), source.read(10), source.read(10)
    assert first is not None and first.records == [b'{"a":1}'] and pauses[:1] == [0.2]
    assert second is not None and second.records == [b'{"a":2}', b'{"a":3}']
    assert third is not None and len(third) == 0
    assert where(source) == (3, 24)


def test_standard_input_takes_what_is_there() -> None:
    reading, writing = os.pipe()
    source = StandardInput(os.fdopen(reading, "rb"))
    os.write(writing, b'{"a":1}\n{"a":2}\n{"a"')
    chunk = source.read(10)
    assert chunk is not None and chunk.records == [b'{"a":1}', b'{"a":2}']
    os.write(writing, b":3}")
    os.close(writing)
    chunk = source.read(10)
    assert chunk is not None and chunk.records == [b'{"a":3}'] and chunk.offsets.tolist() == [2]
    assert source.read(10) is None
    source.close()


def test_standard_input_goes_on_numbering() -> None:
    source = StandardInput(io.BytesIO(b"{}\n"))
    source.seek({"record": 5, "byte": 99, "passed": None})
    chunk = source.read(1)
    assert chunk is not None and chunk.offsets.tolist() == [5] and chunk.names == (("-", 0),)


BAD_ROW_HINT = "fix the file: quote cells that hold commas, quotes or line ends, and double a quote inside a cell"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (b"1,2,3", "the row has 3 cells, the header has 2"),
        (b"1", "the row has 1 cell, the header has 2"),
        (b'1,"a"b', """the row is no CSV: ',' expected after '"'"""),
        (b"1,\xff", "the row is not UTF-8"),
        (b"1," + b"x" * 140_000, "the row is no CSV: field larger than field limit (131072)"),
    ],
)
def test_a_bad_row_costs_no_other(tmp_path: Path, row: bytes, detail: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\r\n0,x\r\n" + row + b"\r\n2,y\r\n")
    source = open_source(str(path))
    chunk = source.read(10)
    assert chunk is not None and chunk.table.rows() == [("0", "x"), ("2", "y")] and chunk.offsets.tolist() == [0, 2]
    [dead] = chunk.dead
    assert (dead.reason, dead.detail, dead.hint, dead.stage) == ("bad_row", detail, BAD_ROW_HINT, "decode")
    assert (dead.origin.name, dead.origin.offset) == ("a.csv", 1)
    assert source.position()["record"] == 3


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n0,x\n1,"y\n2,z\n')
    chunk = open_source(str(path)).read(10)
    assert chunk is not None and chunk.table.rows() == [("0", "x")]
    assert [dead.detail for dead in chunk.dead] == ["the row is no CSV: unexpected end of data"]
