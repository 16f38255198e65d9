"""JSON lines: from a file, a compressed file, standard input, or a file that is still being written."""

import codecs
import gzip
import os
import select
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import structlog

from integration.sources.chunk import Chunk, SourceError, single
from integration.sources.passed import HEAD, TAIL, digest, replaced, shorter
from schemas.counted import counted

BLOCK = 1 << 20
POLL_S = 0.2
SILENCE_S = 1.0
LINE_LIMIT = 8_388_608 + 1
"""Bytes that are kept of one line: one more than the largest `max_record_bytes`, so that what is cut is always too
large."""
log = structlog.get_logger("watchgate")

_UTF8 = codecs.getincrementaldecoder("utf-8")
_BOM = b"\xef\xbb\xbf"


class LineSource:
    """Complete lines of a byte stream as records; blank lines are no records. A last line without its end is a record
    at the end of the input, except in a file that is followed, where it is still being written, and where the stream
    `grows` and the line is the beginning of JSON: it is left as it stands. Memory is bounded whatever a line's length.
    """

    def __init__(self, name: str, where: str, stream: BinaryIO | gzip.GzipFile, grows: bool = False) -> None:
        self.name = name
        self._where = where
        self._grows = grows
        self._unfinished = 0
        self._stream = stream
        # One read of what is below: a longer one would lose what it had when a compressed file breaks off.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._lines: list[bytes] = []
        self._ends: list[int] = []
        self._rest = bytearray()
        self._rest_length = 0
        self._at = 0
        """Bytes of the stream in complete lines so far."""
        self._number = 0
        self._head = bytearray()
        """How the stream begins, and the digest of it when it is whole."""
        self._head_digest = ""
        self._place: dict[str, Any] = {"record": 0, "byte": 0, "passed": None}
        self._ended = False
        self._broken: SourceError | None = None

    def read(self, max_records: int) -> Chunk | None:
        self._fill(max_records)
        if not self._lines:
            if self._broken:
                raise self._broken
            return None if self._ended else self._chunk([], [])
        lines, ends = self._lines[:max_records], self._ends[:max_records]
        del self._lines[:max_records], self._ends[:max_records]
        return self._chunk(lines, ends)

    def position(self) -> dict[str, Any]:
        return dict(self._place)

    def place(self, chunk: Chunk, at: int) -> dict[str, Any]:
        byte, record = int(chunk.after[at]), chunk.records[at]
        # What is kept of a longer line does not have its end.
        last = record[-TAIL:] if len(record) < LINE_LIMIT else b""
        passed = {"last": len(last), "hash": self._begins(byte) + digest(last)}
        return {"record": int(chunk.offsets[at]) + 1, "byte": byte, "passed": passed}

    def seek(self, position: dict[str, Any]) -> None:
        byte = int(position["byte"])
        where = f"byte {byte:,}"
        try:
            self._head = bytearray(self._between(0, min(byte, HEAD)))
            line = self._between(max(byte - TAIL - len(b"\r\n"), 0), byte)
        except (OSError, EOFError, zlib.error):
            raise shorter(self._where, where) from None
        if passed := position["passed"]:
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            last = record[max(len(record) - passed["last"], 0) :]
            if passed["hash"] != self._begins(byte) + digest(last):
                raise replaced(self._where, where)
        self._number, self._at, self._place = int(position["record"]), byte, dict(position)

    def unfinished(self) -> dict[str, int]:
        return {self._where: self._unfinished} if self._unfinished else {}

    def close(self) -> None:
        self._stream.close()

    def _begins(self, byte: int) -> str:
        """The digest of the beginning up to a byte behind which reading has been."""
        if byte < HEAD:
            return digest(bytes(self._head[:byte]))
        self._head_digest = self._head_digest or digest(bytes(self._head))
        return self._head_digest

    def _between(self, start: int, stop: int) -> bytes:
        """Bytes of the stream, which then stands behind them. Raises EOFError where it is shorter."""
        found = bytearray()
        if self._stream.seek(start) != start:
            raise EOFError
        while len(found) < stop - start:
            if not (block := self._read(stop - start - len(found))):
                raise EOFError
            found += block
        return bytes(found)

    def _chunk(self, lines: list[bytes], ends: list[int]) -> Chunk:
        offsets = np.arange(self._number, self._number + len(lines))
        self._number += len(lines)
        after = np.array(ends, dtype=np.int64)
        chunk = Chunk("records", single(self.name), offsets, np.zeros(len(lines), dtype=np.uint32), after, lines)
        if lines:
            self._place = self.place(chunk, len(lines) - 1)
        return chunk

    def _fill(self, wanted: int) -> None:
        while len(self._lines) < wanted and not self._ended:
            if not (block := self._next_block()):
                self._finish()
                return
            self._absorb(block)

    def _next_block(self) -> bytes:
        try:
            return self._read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = "ends in the middle" if isinstance(error, EOFError) else "is damaged"
            reached = self._number + len(self._lines)
            self._broken = SourceError(
                f"{self._where} {what}: {reached:,} complete records could be read, what comes after is lost; "
                "copy or compress the file again"
            )
            self._rest.clear()
            self._rest_length = 0
        except OSError as error:
            self._broken = SourceError(f"cannot read {self._where}: {error.strerror}; check the disk and the file")
        return b""

    def _finish(self) -> None:
        """At the end of the input."""
        self._ended = True
        if self._grows and not self._broken and _is_cut(self._rest):
            self._unfinished = self._rest_length
            log.warning(unfinished_text(self._where, self._unfinished))
        elif self._rest_length and not self._broken:
            self._take([b""])
            self._at -= 1  # there is no line end
            self._ends = [min(end, self._at) for end in self._ends]

    def _absorb(self, block: bytes) -> None:
        if len(self._head) < HEAD:
            self._head += block[: HEAD - len(self._head)]
        if not self._at and not self._rest_length:
            if block.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise SourceError(f"{self._where} is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
            if block.startswith(_BOM):
                self._at += len(_BOM)
                block = block[len(_BOM) :]
        parts = block.split(b"\n")
        rest = parts.pop()
        if parts:
            self._take(parts)
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._rest_length += len(part)
        self._rest += part[: max(LINE_LIMIT - len(self._rest), 0)]

    def _take(self, parts: list[bytes]) -> None:
        """Complete lines; the first of them begins with what was kept."""
        if self._rest_length:
            self._keep(parts[0])
            parts[0] = bytes(self._rest)
            lengths = [self._rest_length, *map(len, parts[1:])]
            self._rest.clear()
            self._rest_length = 0
        else:
            lengths = list(map(len, parts))
        ends = (self._at + np.cumsum(np.array(lengths, dtype=np.int64) + 1)).tolist()
        self._at = ends[-1]
        if not all(parts) or any(map(bytes.isspace, parts)):
            full = [i for i, part in enumerate(parts) if part and not part.isspace()]
            parts, ends = [parts[i] for i in full], [ends[i] for i in full]
        self._lines += [part[:-1] if part.endswith(b"\r") else part for part in parts]
        self._ends += ends


def unfinished_text(where: str, size: int) -> str:
    """What is told of a last line that is left."""
    return (
        f"{where} ends within a line, and its last {counted(size, 'byte')} {'is' if size == 1 else 'are'} not taken: run "
        "again when the line is whole; if nobody will write the rest, put a line end behind it to have a dead letter of it"
    )


def _is_cut(line: bytes | bytearray) -> bool:
    """Whether a last line may still become JSON if more is written behind it. One that is longer than lines may be is not known
    to its end."""
    if len(line) >= LINE_LIMIT:
        return True
    if not line or line.isspace():
        return False
    try:
        text = _UTF8().decode(line)  # without a last character that is cut
        orjson.loads(text)
    except UnicodeDecodeError:
        return False
    except orjson.JSONDecodeError as error:
        return error.pos == len(text)
    return False


class FollowedFile(LineSource):
    """A file that others append to. `read` gives an empty chunk after one pause without a new complete line."""

    def __init__(self, path: Path, stream: BinaryIO, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(path.name, str(path), stream)
        self._path = path
        self._sleep = sleep

    def _fill(self, wanted: int) -> None:
        for pause in (True, False):
            while len(self._lines) < wanted and (block := self._next_block()):
                self._absorb(block)
            if self._lines or self._broken or not pause:
                return
            self._check_same()
            self._sleep(POLL_S)

    def _check_same(self) -> None:
        ours = os.fstat(self._stream.fileno())
        try:
            theirs = self._path.stat()
        except FileNotFoundError:
            theirs = None
        if theirs is None or theirs.st_ino != ours.st_ino:
            raise SourceError(
                f"{self._where} was moved or replaced while it was followed: all of the old file is read; "
                "start again on the new one with another state folder"
            )
        if theirs.st_size < self._at:
            raise SourceError(
                f"{self._where} was cut while it was followed: it had {self._at:,} bytes, now {theirs.st_size:,}; "
                "append to it, or start over with another state folder"
            )


class StandardInput(LineSource):
    """Lines of a pipe: as many as there are without waiting. `read` gives an empty chunk when it was silent for a
    second, so that a job that waits can be stopped. It cannot be rewound: after a restart the numbering goes on, and
    records that are sent again are told by their ids.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        super().__init__("-", "standard input", stream or sys.stdin.buffer)

    def seek(self, position: dict[str, Any]) -> None:
        self._number, self._place = int(position["record"]), dict(position)

    def _fill(self, wanted: int) -> None:
        while len(self._lines) < wanted and not self._ended:
            if not self._ready(0.05 if self._lines else SILENCE_S):
                return
            if not (block := self._next_block()):
                self._finish()
                return
            self._absorb(block)

    def _ready(self, patience_s: float) -> bool:
        try:
            return bool(select.select([self._stream], [], [], patience_s)[0])
        except (OSError, ValueError):
            return True
