"""Files merged by time: against a plain merge, in any chunk size, across a restart."""

import gzip
import heapq
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.sources import SourceError, open_source, skipped_files
from integration.sources.chunk import FileSource
from integration.sources.folder import FolderSource
from integration.sources.lines import LineSource
from operators.clock import RunningClock
from tests.sources.conftest import Seen, drain, rows_of, time_of

MINUTE = 60_000
Files = list[list[int | None]]


def merged(files: Files) -> list[tuple[int, int]]:
    """(file, number) in order: every record stands at the greatest time of its file so far; times here never jump."""
    lanes = []
    for place, times in enumerate(files):
        clock, keys = -1, []
        for number, time in enumerate(times):
            clock = max(clock, -1 if time is None else time)
            keys.append((clock, place, number))
        lanes.append(keys)
    return [(place, number) for _, place, number in heapq.merge(*lanes)]


TIMES = st.lists(st.one_of(st.none(), st.integers(0, 2 * MINUTE).map(lambda t: t // 10_000 * 10_000)), max_size=30)


@given(st.lists(TIMES, min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 20))
@settings(max_examples=120, deadline=None)
def test_merge_in_any_chunks_across_a_restart(files: Files, size: int, before: int) -> None:
    def open_all() -> FolderSource:
        lanes: list[FileSource] = []
        for place, times in enumerate(files):
            stream = io.BytesIO("".join(json.dumps({"t": t}) + "\n" for t in times).encode())
            lanes.append(LineSource(f"f{place}", f"f{place}", stream))
        return FolderSource("folder", lanes, time_of)

    source, seen = open_all(), list[Seen]()
    for _ in range(before):
        if (chunk := source.read(size)) is None:
            break
        seen += rows_of(chunk)
    resumed = open_all()
    resumed.seek(json.loads(json.dumps(source.position())))
    seen += drain(resumed, size + 3)
    assert [(int(name[1:]), number) for name, number, _ in seen] == merged(files)
    assert [row["t"] for *_, row in seen] == [files[f][n] for f, n in merged(files)]


def write(folder: Path, name: str, times: list[int | None]) -> None:
    lines = "".join(json.dumps({"t": t}) + "\n" for t in times)
    (folder / name).write_text(lines)


def order(folder: Path, size: int = 100) -> list[tuple[str, int]]:
    return [(name, number) for name, number, _ in drain(open_source(str(folder), time_of=time_of), size)]


def test_a_forged_stamp_does_not_send_its_file_to_the_end(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", [1_000, 10**12, 3_000, 5_000])
    write(tmp_path, "b.jsonl", [2_000, 4_000, 6_000])
    found = order(tmp_path)
    assert found == [
        ("a.jsonl", 0),
        ("a.jsonl", 1),
        ("b.jsonl", 0),
        ("a.jsonl", 2),
        ("b.jsonl", 1),
        ("a.jsonl", 3),
        ("b.jsonl", 2),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_file_in_falling_order_makes_no_other_file_forged(tmp_path: Path, size: int) -> None:
    write(tmp_path, "a.jsonl", [hour * 60 * MINUTE for hour in range(40)])
    write(tmp_path, "b.jsonl", [hour * 60 * MINUTE for hour in range(30, 0, -1)])
    write(tmp_path, "c.jsonl", [0, 10**12, 10, 20])
    source, clock, forged = open_source(str(tmp_path), time_of=time_of), RunningClock(), list[tuple[int, int]]()
    while (chunk := source.read(size)) is not None:
        future = clock.admit(time_of(chunk), np.empty(0, dtype=np.int64), None, chunk.forged)[1]
        forged += [(int(chunk.index[i]), int(chunk.offsets[i])) for i in np.flatnonzero(future)]
    assert forged == [(2, 1)] and clock.clock_ms == 39 * 60 * MINUTE


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_files_of_every_kind(tmp_path: Path, size: int) -> None:
    def every(first: int, step: int = 5) -> pl.DataFrame:
        return pl.DataFrame({"t": [(first + step * i) * 1_000 for i in range(6)]})

    every(0).write_ndjson(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(every(1).write_ndjson().encode()))
    every(2).write_csv(tmp_path / "c.csv")
    every(3).with_columns(x=pl.lit("only here")).write_csv(tmp_path / "d.csv")
    every(4).write_parquet(tmp_path / "e.parquet")
    (tmp_path / "README.md").write_text("not an input")
    (tmp_path / ".hidden.csv").write_text("x")
    source = open_source(str(tmp_path), time_of=time_of)
    seen: list[Seen] = []
    for _ in range(5):
        chunk = source.read(size)
        seen += rows_of(chunk) if chunk is not None else []
    resumed = open_source(str(tmp_path), time_of=time_of)
    resumed.seek(source.position())
    seen += drain(resumed, size)
    assert [int(row["t"]) for *_, row in seen] == [i * 1_000 for i in range(30)]
    assert skipped_files(str(tmp_path)) == [".hidden.csv", "README.md"]


def test_tables_of_one_kind_come_in_whole_chunks(tmp_path: Path) -> None:
    for number in range(3):
        pl.DataFrame({"t": range(number, 300, 3)}).write_csv(tmp_path / f"{number}.csv")
    chunk = open_source(str(tmp_path), time_of=time_of).read(300)
    assert chunk is not None and len(chunk) == 300
    assert chunk.table["t"].cast(pl.Int64).to_list() == list(range(300))


def test_bad_rows_come_once_across_a_restart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x\n1,\n2,\nbad\n3,\nworse\n")
    (tmp_path / "b.csv").write_text("t,x\n1,\n9,\n")
    for size in (1, 2, 5):
        for stop in range(7):
            source = open_source(str(tmp_path), time_of=time_of)
            dead: list[Any] = []
            for _ in range(stop):
                chunk = source.read(size)
                dead += chunk.dead if chunk is not None else []
            position = source.position()
            source = open_source(str(tmp_path), time_of=time_of)
            source.seek(position)
            while (chunk := source.read(size)) is not None:
                dead += chunk.dead
            assert [d.origin.offset for d in dead] == [2, 4], (size, stop)


def test_a_file_that_is_gone_before_its_end(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", [1, 3])
    write(tmp_path, "b.jsonl", [2, 4])
    source = open_source(str(tmp_path), time_of=time_of)
    source.read(1)
    (tmp_path / "b.jsonl").unlink()
    with pytest.raises(SourceError) as error:
        open_source(str(tmp_path), time_of=time_of).seek(source.position())
    assert str(error.value) == (
        f"b.jsonl is gone from {tmp_path}, and it had been read in part only; "
        "put it back, or start over with another state folder"
    )


def test_a_file_that_was_read_to_its_end_may_go(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", [1])
    write(tmp_path, "b.jsonl", [2, 4])
    source = open_source(str(tmp_path), time_of=time_of)
    for _ in range(2):
        source.read(1)
    (tmp_path / "a.jsonl").unlink()
    resumed = open_source(str(tmp_path), time_of=time_of)
    resumed.seek(source.position())
    assert [row["t"] for *_, row in drain(resumed)] == [4]
