"""A last line that is still being written is left as it stands; one that is whole without its end is taken."""

import gzip
import io
import json
from pathlib import Path

import pytest

from integration.sources import SourceError, open_source, unfinished_text
from integration.sources.lines import LINE_LIMIT, StandardInput
from tests.sources.conftest import drain, time_of

LEFT = (
    "{} ends within a line, and its last {} not taken: run again when the line is whole; "
    "if nobody will write the rest, put a line end behind it to have a dead letter of it"
)


@pytest.mark.parametrize("cut", range(1, 9))
@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("folder", [False, True])
def test_a_line_that_is_written_in_parts_is_taken_once(tmp_path: Path, cut: int, size: int, folder: bool) -> None:
    path = tmp_path / "a.jsonl"
    whole, line = b'{"t":1}\n{"t":2}\r\n', '{"t":"é"}'.encode()
    path.write_bytes(whole + line[:cut])
    where = str(tmp_path if folder else path)
    source = open_source(where)
    assert [row["t"] for *_, row in drain(source, size)] == [1, 2]
    assert source.unfinished() == {str(path): cut}
    position = json.loads(json.dumps(source.position()))
    path.write_bytes(whole + line)
    source = open_source(where)
    source.seek(position)
    assert drain(source, size) == [("a.jsonl", 2, {"t": "é"})]
    assert source.unfinished() == {}
    position = source.position()
    path.write_bytes(whole + line + b'\n{"t":4}')
    source = open_source(where)
    source.seek(position)
    assert drain(source, size) == [("a.jsonl", 3, {"t": 4})]


BROKEN = [b"no JSON", b'{"t":1,,', b'{"t":1}}', b'{"t":"\xff', b'{"t":1}\xc3']


@pytest.mark.parametrize("last", [b"[1, 2]", b"17", b'"text"', b"null", b" \t", b"\r", *BROKEN])
def test_what_is_whole_or_cannot_become_whole_is_no_unfinished_line(tmp_path: Path, last: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" + last)
    source = open_source(str(path))
    chunk = source.read(5)
    assert chunk is not None and chunk.records[1:] == ([last] if last.strip() else [])
    assert source.read(5) is None and source.unfinished() == {}


def test_what_cannot_grow_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{}\n{"a'))
    for source in (open_source(str(path)), StandardInput(io.BytesIO(b'{}\n{"a'))):
        chunk = source.read(5)
        assert chunk is not None and chunk.records == [b"{}", b'{"a']
        assert source.read(5) is None and source.unfinished() == {}


def test_an_unfinished_line_longer_than_lines_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1" * (LINE_LIMIT + 7))
    assert drain(open_source(str(path))) == []
    with path.open("ab") as file:
        file.write(b"\n{}")
    chunk = open_source(str(path)).read(5)
    assert chunk is not None and list(map(len, chunk.records)) == [LINE_LIMIT, 2]


def test_a_file_with_an_unfinished_line_was_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"t":1}\n{"t')
    (tmp_path / "b.jsonl").write_bytes(b'{"t":2}\n')
    source = open_source(str(tmp_path), time_of=time_of)
    drain(source)
    position = source.position()
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(SourceError) as error:
        open_source(str(tmp_path), time_of=time_of).seek(position)
    assert str(error.value) == (
        f"a.jsonl is gone from {tmp_path}, and it had been read in part only; "
        "put it back, or start over with another state folder"
    )


def test_what_is_told_of_it() -> None:
    assert unfinished_text("a.jsonl", 1_234) == LEFT.format("a.jsonl", "1,234 bytes are")
    assert unfinished_text("a.jsonl", 1) == LEFT.format("a.jsonl", "1 byte is")
