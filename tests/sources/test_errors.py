"""Every SourceError in its exact words."""

import gzip
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from integration.sources import Source, SourceError, open_source
from integration.sources.lines import LineSource
from tests.sources.conftest import drain, time_of

TAKES = ".jsonl, .jsonl.gz, .csv, .parquet, a folder of them, or - for standard input"
BACK = "it was replaced or cut; put the file back, or start over with another state folder"


def error_of(path: Path, follow: bool = False) -> str:
    with pytest.raises(SourceError) as error:
        drain(open_source(str(path), follow, time_of))
    return str(error.value)


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.jsonl").touch()
    assert error_of(tmp_path / "event.jsonl") == (
        f"there is no file {tmp_path}/event.jsonl; did you mean {tmp_path}/events.jsonl?"
    )
    assert error_of(tmp_path / "zzz") == (
        f"there is no file {tmp_path}/zzz, and no name like it: {tmp_path} has events.jsonl; check the name"
    )
    monkeypatch.chdir(tmp_path)
    assert error_of(Path("zzz.csv")) == (
        "there is no file zzz.csv, and no name like it: this folder has events.jsonl; check the name"
    )
    (tmp_path / "events.jsonl").unlink()
    assert error_of(Path("zzz.csv")) == (
        "there is no file zzz.csv, and no name like it: this folder has no input; check the name"
    )
    assert error_of(tmp_path / "no/a.csv") == (
        f"there is no file {tmp_path}/no/a.csv, and no folder {tmp_path}/no; check the path"
    )


def test_kinds(tmp_path: Path) -> None:
    for name, ending in (("a.json", ".json"), ("a.tar.gz", ".tar.gz"), ("events", "no ending")):
        (tmp_path / name).touch()
        assert error_of(tmp_path / name) == f"cannot tell what {tmp_path / name} is ({ending}); watchgate takes {TAKES}"
    assert error_of(tmp_path) == (
        f"the folder {tmp_path} holds no input: no file in it ends in .jsonl, .jsonl.gz, .csv, .parquet"
    )


def test_follow(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    only = "cannot be followed: only a .jsonl file or standard input can be"
    assert error_of(tmp_path / "a.csv", follow=True) == f"{tmp_path / 'a.csv'} {only}"
    assert error_of(tmp_path, follow=True) == f"{tmp_path} {only}"


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: root may read everything."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jsonl").touch()
    says = "permission denied; give read permission to the user that runs watchgate"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        assert error_of(tmp_path / "a.jsonl") == f"cannot read {tmp_path / 'a.jsonl'}: {says}"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", denied)
        assert error_of(tmp_path) == f"cannot read the folder {tmp_path}: {says}"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert error_of(tmp_path) == f"cannot read {tmp_path / 'a.jsonl'}: {says}"


def test_other_faults_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error")

    path = tmp_path / "a.jsonl"
    path.touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fails)
        assert error_of(path) == f"cannot read {path}: Input/output error; check the path and the disk"

    class Broken:
        read = fails

    with pytest.raises(SourceError) as error:
        drain(LineSource("a", str(path), Broken()))  # type: ignore[arg-type]
    assert str(error.value) == f"cannot read {path}: Input/output error; check the disk and the file"


def test_gz_that_ends_early_gives_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = [b'{"n":"%x"}\n' % (i * 7_919 % 10_007) for i in range(20_000)]
    whole = gzip.compress(b"".join(lines))
    path.write_bytes(whole[: len(whole) // 2])
    source, count = open_source(str(path)), 0
    with pytest.raises(SourceError) as error:
        while (chunk := source.read(1_000)) is not None:
            assert chunk.records == [line.strip() for line in lines[count : count + len(chunk)]]
            count += len(chunk)
    assert count > 5_000
    assert str(error.value) == (
        f"{path} ends in the middle: {count:,} complete records could be read, what comes after is lost; "
        "copy or compress the file again"
    )


def test_gz_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"plain text")
    assert error_of(path) == (
        f"{path} is damaged: 0 complete records could be read, what comes after is lost; "
        "copy or compress the file again"
    )


def test_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a":1}\n'.encode("utf-16"))
    assert error_of(path) == f"{path} is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"


def test_csv_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,a\n")
    assert error_of(path) == f"the header of {path} has the column 'a' more than once; rename one of them"
    path.write_bytes(b"a,\xff\n")
    assert error_of(path) == f"the header of {path} is not UTF-8 text; convert the file to UTF-8"
    path.write_text('a,"b\n')
    assert error_of(path) == (
        f"the header of {path} is no CSV row: unexpected end of data; "
        "fix the file: quote cells that hold commas, quotes or line ends, and double a quote inside a cell"
    )


def test_parquet_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but nothing else")
    said = error_of(path)
    assert said.startswith(f"{path} is no readable parquet file (") and said.endswith("); write it again")


def test_parquet_with_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": [f"text {i}" for i in range(1_000)]}).write_parquet(path, row_group_size=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(data)
    said = error_of(path)
    assert said.startswith(f"{path} is damaged after record ") and said.endswith("); write it again")


def resume(path: Path, position: dict[str, Any]) -> str:
    source: Source = open_source(str(path))
    with pytest.raises(SourceError) as error:
        source.seek(position)
    return str(error.value)


def test_files_that_have_shrunk(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    (tmp_path / "a.csv").write_text("a\n1\n")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    for name, where in (
        ("a.jsonl", "byte 1,000"),
        ("a.jsonl.gz", "byte 1,000"),
        ("a.csv", "record 5"),
        ("a.parquet", "record 5"),
    ):
        path = tmp_path / name
        said = f"{path} is shorter than at the last checkpoint ({where}): {BACK}"
        assert resume(path, {"record": 5, "byte": 1_000, "passed": None}) == said


def test_followed_file_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n{}\n")
    source = open_source(str(path), follow=True, sleep=lambda _: None)
    source.read(5)
    path.write_bytes(b"{}\n")
    with pytest.raises(SourceError) as error:
        source.read(5)
    assert str(error.value) == (
        f"{path} was cut while it was followed: it had 6 bytes, now 3; "
        "append to it, or start over with another state folder"
    )
    path.rename(tmp_path / "a.1")
    with pytest.raises(SourceError) as error:
        source.read(5)
    assert str(error.value) == (
        f"{path} was moved or replaced while it was followed: all of the old file is read; "
        "start again on the new one with another state folder"
    )
