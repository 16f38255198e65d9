"""A folder of files as one stream: merged by event time, each file in its own order.

A file's place in the merge is the clock of that file: the running maximum of its times, which a single forged stamp
does not move (`operators.clock`). So a record that is late in its file stays behind its neighbour, a record without a
time too, and a forged one does not send the rest of its file to the end. Whether a time is believed is decided file by
file (`Chunk.forged`): what the other files hold says nothing about it. Equal clocks: by file name.
"""

from typing import Any

import numpy as np
import polars as pl

from integration.sources.chunk import Chunk, FileSource, Indices, Mask, SourceError, TimeOf
from operators.batch import DeadRecord
from operators.clock import CONFIRMING, RunningClock
from operators.decode_times import NO_TIME


class FolderSource:
    """The files of a folder, given in the order of their names. `horizon_ms`: no believable event lies after it."""

    def __init__(self, name: str, files: list[FileSource], time_of: TimeOf, horizon_ms: int | None = None) -> None:
        self.name = name
        self._names = tuple((file.name, 0) for file in files)
        self._lanes = [_Lane(i, file, time_of, horizon_ms) for i, file in enumerate(files)]

    def read(self, max_records: int) -> Chunk | None:
        """The next records of the merge. A chunk is all JSON lines or all of one kind of table: files of several kinds
        make shorter chunks."""
        for lane in self._lanes:
            lane.load(max_records)
        lanes = [lane for lane in self._lanes if lane.held]
        if not lanes:
            dead = self._dead()
            return self._empty(dead) if dead else None
        # Up to the least last key of the files, every record that can come is there.
        bound = min(((lane.last_key, lane.index) for lane in lanes if not lane.ended), default=None)
        ready = [(lane, lane.ready(bound, max_records)) for lane in lanes]
        keys = np.concatenate([lane.keys[:n] for lane, n in ready])
        owner = np.concatenate([np.full(n, place) for place, (_, n) in enumerate(ready)])
        order = np.lexsort((owner, keys))[:max_records]
        forms = np.array([self._form_number(lane) for lane, _ in ready])[owner[order]]
        change = np.flatnonzero(forms != forms[0])
        order = order[: change[0]] if len(change) else order
        parts = [lane.pop(int((owner[order] == place).sum())) for place, (lane, _) in enumerate(ready)]
        whole = _join(parts, self._names)
        starts = np.concatenate([[0], np.cumsum([n for _, n in ready])])[:-1]
        taken = np.concatenate([[0], np.cumsum([len(part) for part in parts])])[:-1]
        chunk = whole.take(order - starts[owner[order]] + taken[owner[order]])
        chunk.dead = self._dead()
        return chunk

    def position(self) -> dict[str, Any]:
        return {"files": {lane.file.name: lane.position() for lane in self._lanes}}

    def seek(self, position: dict[str, Any]) -> None:
        files = dict(position["files"])
        for lane in self._lanes:
            if lane.file.name in files:
                lane.seek(files.pop(lane.file.name))
        gone = sorted(name for name, place in files.items() if not place["done"])
        if gone:
            raise SourceError(
                f"{gone[0]} is gone from {self.name}, and it had been read in part only; "
                "put it back, or start over with another state folder"
            )

    def unfinished(self) -> dict[str, int]:
        return {path: size for lane in self._lanes for path, size in lane.file.unfinished().items()}

    def close(self) -> None:
        for lane in self._lanes:
            lane.file.close()

    def _dead(self) -> list[DeadRecord]:
        return [dead for lane in self._lanes for dead in lane.take_dead()]

    def _empty(self, dead: list[DeadRecord]) -> Chunk:
        nothing = np.empty(0, dtype=np.int64)
        return Chunk("records", self._names, nothing, np.empty(0, dtype=np.uint32), nothing, dead=dead)

    def _form_number(self, lane: "_Lane") -> int:
        """Equal numbers: chunks that can be one chunk."""
        first = next(other for other in self._lanes if other.held and _fits(other.held[0], lane.held[0]))
        return first.index


class _Lane:
    """One file and what is read of it ahead of the merge."""

    def __init__(self, index: int, file: FileSource, time_of: TimeOf, horizon_ms: int | None) -> None:
        self.index = index
        self.file = file
        self.held: list[Chunk] = []
        """Read and keyed, not yet handed over; `keys` are those of the first chunk."""
        self.keys: Indices = np.empty(0, dtype=np.int64)
        self.ended = False
        """Whether nothing follows the first held chunk."""
        self._time_of = time_of
        self._clock = RunningClock(None, horizon_ms)
        self._ahead: list[tuple[Chunk, Indices]] = []
        self._file_ended = False
        self._error: SourceError | None = None
        self._dead: list[DeadRecord] = []
        self._place: dict[str, Any] = {"record": 0, "byte": 0, "passed": None, "clock": None, "done": False}

    @property
    def last_key(self) -> int:
        return int(self.keys[-1])

    def load(self, max_records: int) -> None:
        """Makes sure that a keyed chunk is held, unless the file is at its end."""
        if self.held:
            return
        while not self._file_ended and not (self._ahead and self._dated_after_first() >= CONFIRMING):
            self._read(max_records)
        if self._ahead:
            chunk, times = self._ahead.pop(0)
            following = np.concatenate([t[t != NO_TIME] for _, t in self._ahead] or [times[:0]])
            self.keys, chunk.forged = self._keys(times, following)
            self.held = [chunk]
        elif self._error:
            error, self._error = self._error, None
            raise error
        else:
            self._place["done"] = True
        self.ended = self._file_ended and not self._ahead

    def ready(self, bound: tuple[int, int] | None, most: int) -> int:
        """How many held records come at or before `bound` in the merge."""
        if bound is None:
            return min(len(self.keys), most)
        side = "right" if self.index <= bound[1] else "left"
        return min(int(np.searchsorted(self.keys, bound[0], side)), most)  # type: ignore[call-overload]

    def pop(self, count: int) -> Chunk:
        """The first `count` held records."""
        chunk = self.held[0]
        if count:
            last = count - 1
            clock = int(self.keys[last])
            self._place |= self.file.place(chunk, last)
            self._place["clock"] = None if clock == NO_TIME else clock
        rest = np.arange(count, len(chunk))
        self.keys = self.keys[count:]
        self.held = [chunk.take(rest)] if len(rest) else []
        return chunk.take(np.arange(count))

    def take_dead(self) -> list[DeadRecord]:
        """Bad rows that the position has passed: one that is read ahead comes again after a restart."""
        if self.position()["done"] and self._dead:
            self._place["record"] = max(self._place["record"], self._dead[-1].origin.offset + 1)
        passed = [dead for dead in self._dead if dead.origin.offset < self._place["record"]]
        self._dead = self._dead[len(passed) :]
        return passed

    def position(self) -> dict[str, Any]:
        done = not self.held and not self._ahead and self._file_ended and not self._error
        return {**self._place, "done": done and not self.file.unfinished()}

    def seek(self, place: dict[str, Any]) -> None:
        self.file.seek(place)
        self._place = dict(place)
        self._clock.clock_ms = place["clock"]

    def _dated_after_first(self) -> int:
        horizon = np.iinfo(np.int64).max if self._clock.horizon_ms is None else self._clock.horizon_ms
        return sum(int(((times != NO_TIME) & (times <= horizon)).sum()) for _, times in self._ahead[1:])

    def _read(self, max_records: int) -> None:
        try:
            chunk = self.file.read(max_records)
        except SourceError as error:
            self._error, chunk = error, None
        if chunk is None:
            self._file_ended = True
            return
        self._dead += chunk.dead
        if len(chunk):
            self._ahead.append((chunk, self._time_of(chunk)))

    def _keys(self, times: Indices, following: Indices) -> tuple[Indices, Mask]:
        start = NO_TIME if self._clock.clock_ms is None else self._clock.clock_ms
        dated = times != NO_TIME
        keys = np.full(len(times), start, dtype=np.int64)
        forged = np.zeros(len(times), dtype=np.bool_)
        keys[dated], forged[dated] = self._clock.admit(times[dated], following)
        return np.maximum.accumulate(keys), forged


def _fits(one: Chunk, other: Chunk) -> bool:
    same = one.kind == other.kind and one.text == other.text
    return same and (one.text or one.kind == "records" or one.table.schema == other.table.schema)


def _join(parts: list[Chunk], names: tuple[tuple[str, int], ...]) -> Chunk:
    """One chunk of several that fit; columns that one file does not have are missing in its rows."""
    full = [part for part in parts if len(part)]
    first = full[0]
    known = {name: place for place, name in enumerate(names)}
    index = np.concatenate([np.full(len(part), known[part.names[0]], dtype=np.uint32) for part in full])
    offsets, after = (np.concatenate([getattr(part, what) for part in full]) for what in ("offsets", "after"))
    records = [record for part in full for record in part.records]
    table = pl.concat([part.table for part in full], how="diagonal") if first.kind == "table" else first.table
    forged = np.concatenate([part.forged for part in full if part.forged is not None])
    return Chunk(first.kind, names, offsets, index, after, records, table, first.text, forged=forged)
