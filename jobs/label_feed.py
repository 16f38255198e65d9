"""Labels from a file, handed over when the ingest clock reaches what they are known from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from integration.kafka.address import is_kafka
from integration.kafka.client import KafkaError
from integration.sources import Chunk, FileSource, SourceError, open_source
from jobs.engine import EngineError
from operators.batch import DeadRecord
from operators.decode import Sources
from operators.labels.decode import LabelDecoder
from operators.plan import Program

CHUNK = 16_384


@dataclass(slots=True)
class _Ahead:
    """A decoded chunk of which `used` labels were handed over. `before`: where reading stood before it; `ranks`: of each
    dead record, how many labels stand before it; `at`: where each label stands in the chunk."""

    chunk: Chunk
    at: list[int]
    labels: pl.DataFrame
    dead: list[DeadRecord]
    ranks: list[int]
    before: dict[str, Any]
    used: int = 0


class LabelFeed:
    """Iterates nothing by itself: `until` gives the labels that are known at a moment of the ingest clock.

    A label counts from its `known_at` on, or from that of a label before it in the file that became known later: a file in
    the order of `known_at` is best. Batches never show, as long as nothing is appended while it is read.
    """

    def __init__(
        self, path: str, program: Program, position: dict[str, Any] | None, horizon_ms: int | None, follow: bool = False
    ) -> None:
        """`horizon_ms`: no label is known after it (None: no such bound). Raises SourceError where the file cannot be read."""
        try:
            topic = is_kafka(path)
        except KafkaError as error:
            raise SourceError(str(error)) from None
        if topic:
            raise SourceError(
                f"{path} cannot be read as labels: only a job on Flink reads a topic of them. Name one file here"
            )
        if path == "-" or Path(path).is_dir():
            raise SourceError(f"{path} cannot be read as labels: name one file (.jsonl, .jsonl.gz, .csv or .parquet)")
        self.horizon_ms = horizon_ms
        self.kinds = tuple(program.kinds)
        self._decoder = LabelDecoder(program)
        appended = follow and path.endswith(".jsonl")
        self._source = cast(FileSource, open_source(path, follow=appended, sleep=lambda _: None))
        self._ahead: _Ahead | None = None
        self._clock = self._reached = 0
        """When the last label was counted, and up to when labels were asked for."""
        self._skip = 0
        if position is not None:
            if position["passed"] is not None:
                _check_passed(path, position["passed"])
            self._source.seek(position["source"])
            self._skip, self._clock, self._reached = position["used"], position["clock"], position["reached"]
        self._start = self._source.position()
        self._passed = None if position is None else position["passed"]

    def position(self) -> dict[str, Any]:
        """Where to go on, JSON-able. `passed`: where reading would stand behind the last of the `used` labels, by which
        another file is told from the one that they came from."""
        ahead = self._ahead
        source, used, passed = (self._source.position(), 0, None) if ahead is None else (ahead.before, ahead.used, None)
        if self._skip:
            source, used, passed = self._start, self._skip, self._passed
        elif ahead is not None and used:
            passed = self._source.place(ahead.chunk, ahead.at[used - 1])
        return {"source": source, "used": used, "passed": passed, "clock": self._clock, "reached": self._reached}

    def until(self, ingest_ms: int) -> tuple[pl.DataFrame, list[tuple[int, DeadRecord]]]:
        """Labels that are known at `ingest_ms`, with `at_ms`, when each is counted; and records that are none, each with
        when the label behind it is counted, or the one before it where it is the last.

        Each is given once. Raises SourceError where the file breaks.
        """
        frames: list[pl.DataFrame] = []
        dead: list[tuple[int, DeadRecord]] = []
        while self._load():
            ahead = self._ahead
            assert ahead is not None
            first = ahead.used
            at = self._counted_at(ahead.labels["known_ms"].to_numpy()[first:])
            due = int(np.searchsorted(at, ingest_ms, side="right"))
            if due:
                frames.append(ahead.labels[first : first + due].with_columns(at_ms=pl.Series(at[:due])))
                self._clock = int(at[due - 1])
            ahead.used += due
            whole = ahead.used == ahead.labels.height
            dead += [
                (int(at[rank - first]) if rank < ahead.used else self._clock, record)
                for record, rank in zip(ahead.dead, ahead.ranks, strict=True)
                if rank >= first and (rank < ahead.used or whole)
            ]
            if not whole:
                break
            self._ahead = None
        self._reached = max(self._reached, ingest_ms)
        return (pl.concat(frames) if frames else _nothing(self.kinds)), dead

    def waiting(self) -> tuple[int, int | None]:
        """How many labels are left, and from when on the next one is known. It reads to the end: nothing can be asked for after
        it, nor where to go on."""
        count, first = 0, None
        while self._load():
            assert self._ahead is not None
            known = self._ahead.labels["known_ms"][self._ahead.used :]
            if count == 0 and len(known):
                first = int(known[0])
            count += len(known)
            self._ahead = None
        return count, first

    def unfinished(self) -> dict[str, int]:
        """`Source.unfinished`."""
        return self._source.unfinished()

    def close(self) -> None:
        self._source.close()

    def _counted_at(self, known: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        # What was appended only after the clock had passed it is counted from now on, never looking back.
        # Just behind it: a window that began with the last event counts the label, and must know so when it is corrected.
        late = np.where(known <= self._reached, self._reached + 1, known)
        return np.maximum.accumulate(np.maximum(late, self._clock)) if len(late) else late

    def _load(self) -> bool:
        """Whether there are labels ahead; reads the next chunk where the last one is used up."""
        if self._ahead is not None:
            return True
        before = self._source.position()
        chunk = self._source.read(CHUNK)
        if chunk is None or not (len(chunk) or chunk.dead):
            return False
        labels, dead = self._decode(chunk)
        dead = sorted([*chunk.dead, *dead], key=lambda record: record.origin.offset)
        offsets = labels["__offset"].to_numpy()
        ranks = np.searchsorted(offsets, [record.origin.offset for record in dead]).tolist()
        at = np.searchsorted(chunk.offsets, offsets).tolist()
        self._ahead = _Ahead(chunk, at, labels.drop("__offset"), dead, ranks, before, self._skip)
        self._skip = 0
        return True

    def _decode(self, chunk: Chunk) -> tuple[pl.DataFrame, list[DeadRecord]]:
        origin = Sources(chunk.names, chunk.index)
        if chunk.kind == "records":
            return self._decoder.records(chunk.records, chunk.offsets, origin, self.horizon_ms)
        return self._decoder.table(chunk.table, chunk.offsets, origin, chunk.text, self.horizon_ms, chunk.payload)


def _check_passed(path: str, place: dict[str, Any]) -> None:
    source = open_source(path)
    try:
        source.seek(place)
    finally:
        source.close()


def check_labels(program: Program, given: bool, mend: str = "Name their file with --labels.") -> None:
    """Raises EngineError where a policy reads labels and none are given: every answer would be NULL. `mend`: what to do."""
    if given or not program.labels:
        return
    label, features = next(iter(program.labels.items()))
    raise EngineError(
        f"policy {program.name} reads label.{label} (feature {', '.join(features)}), and no labels are given. {mend}"
    )


def _nothing(kinds: tuple[str, ...]) -> pl.DataFrame:
    columns = ("event_id", "name", "value", "event_ms", "known_ms", "amount", "source", "at_ms")
    types = (pl.String, pl.String, pl.Float64, pl.Int64, pl.Int64, pl.Float64, pl.String, pl.Int64)
    return pl.DataFrame(schema=dict(zip(columns, types, strict=True)) | {f"key:{kind}": pl.String for kind in kinds})
