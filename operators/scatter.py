"""The way from a frame to one entity kind's part, and from its answers back to columns of the frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.ages import NEVER
from operators.hashing import hash_all, hash_series
from operators.keys import entity_keys
from operators.plan import KindPlan

Floats = npt.NDArray[np.float64]
T = TypeVar("T", bound=np.generic)
Hashes = dict[str, npt.NDArray[np.uint64]]


@dataclass(slots=True)
class Part:
    """What one entity kind needs of a batch, one row per entity of an event, in arrival order. All arrays are aligned.

    keys     Binary, no NULL
    time     int64, event time in ms
    ingest   int64, ingest time in ms
    row      int64, ascending: row of the frame (an `each:` kind may give one several times)
    columns  by name: float64 with NaN for NULL (inputs), bool (filters); by `hash_name(...)`: uint64 with 0 for NULL
             (inputs of distinct)
    nulls    rows of the frame that have no entity of this kind
    since    ingest time in ms from which each feature with `of_stream` has been in the stream, by fingerprint; one of which nothing
             is known is missing
    """

    keys: pl.Series
    time: npt.NDArray[np.int64]
    ingest: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]
    nulls: int = 0
    since: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def cut(self, start: int, stop: int) -> "Part":
        """Rows [start, stop); views, nothing is copied."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        rows = slice(start, stop)
        return replace(
            self,
            keys=self.keys[rows],
            time=self.time[rows],
            ingest=self.ingest[rows],
            row=self.row[rows],
            columns=columns,
        )

    def pick(self, at: npt.NDArray[np.int64]) -> "Part":
        """The rows `at`, copied."""
        columns = {name: values[at] for name, values in self.columns.items()}
        return replace(
            self,
            keys=self.keys.gather(at),
            time=self.time[at],
            ingest=self.ingest[at],
            row=self.row[at],
            columns=columns,
        )


def hash_name(column: str) -> str:
    """Name of the hashes of a column among a part's columns: one column may be summed and counted distinct at once."""
    return f"hash:{column}"


def scatter(
    frame: pl.DataFrame, plan: KindPlan, hashes: Hashes | None = None, since: Mapping[str, int] | None = None
) -> Part:
    """The part of `frame` that kind `plan` reads; O(rows), Python once per different value that is counted distinct.

    `hashes` is kept between the kinds of one frame, so that no column is hashed twice. `since`: by feature, the ingest time
    from which it has been in the stream.
    """
    hashes = {} if hashes is None else hashes
    entities = entity_keys(frame, plan)
    whole = len(entities.row) == frame.height and plan.each is None
    columns: dict[str, npt.NDArray[Any]] = {}

    def put(name: str, values: npt.NDArray[Any]) -> None:
        columns[name] = values if whole else values[entities.row]

    for feature in plan.features:
        if feature.filter is not None and feature.filter not in columns:
            put(feature.filter, _bools(frame[feature.filter]))
        if feature.column is None or feature.label is not None:
            continue
        if feature.aggregate in ("distinct", "first_seen"):
            if feature.column not in hashes:
                hashes[feature.column] = _hashes(frame[feature.column])
            put(hash_name(feature.column), hashes[feature.column])
        elif feature.column not in columns:
            put(feature.column, _floats(frame[feature.column]))
    if plan.tests:
        put(hash_name("event_id"), _event_ids(frame, hashes))
        for test in plan.tests:
            if test.tests is not None and test.tests not in columns:
                put(test.tests, _bools(frame[test.tests]))
    time, ingest = _ms(frame["event_time"]), _ms(frame["ingest_time"])
    if not whole:
        time, ingest = time[entities.row], ingest[entities.row]
    known = {
        f.fingerprint: since[f.name]
        for f in plan.features
        if f.of_stream and since and since.get(f.name, NEVER) > NEVER
    }
    return Part(entities.keys, time, ingest, entities.row, columns, entities.nulls, known)


def gather_floats(values: Floats, row: npt.NDArray[np.int64], height: int, each: bool) -> pl.Series:
    """Answers as a Float64 column of `height` rows: NaN where there is none, the greatest of a row's entities."""
    if each:
        values, row = _fold(np.fmax, values, row)
    if len(row) < height:
        full = np.full(height, np.nan)
        full[row] = values
        values = full
    return pl.Series(values, dtype=pl.Float64)


def gather_flags(flags: npt.NDArray[np.uint64], row: npt.NDArray[np.int64], height: int, each: bool) -> pl.Series:
    """List bits as a UInt64 column: 0 where a row has no entity, OR where it has several."""
    if each:
        flags, row = _fold(np.bitwise_or, flags, row)
    if len(row) < height:
        full = np.zeros(height, np.uint64)
        full[row] = flags
        flags = full
    return pl.Series(flags, dtype=pl.UInt64)


def gather_coverage(
    coverage: npt.NDArray[np.float32], row: npt.NDArray[np.int64], height: int, each: bool
) -> npt.NDArray[np.float32]:
    """Coverage row by row: 1 where a row has no entity, the least where it has several."""
    if each:
        coverage, row = _fold(np.minimum, coverage, row)
    full = np.ones(height, np.float32)
    full[row] = coverage
    return full


def _fold(
    fold: np.ufunc, values: npt.NDArray[T], row: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[T], npt.NDArray[np.int64]]:
    if not len(row):
        return values, row
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    return fold.reduceat(values, starts), row[starts]


def _ms(times: pl.Series) -> npt.NDArray[np.int64]:
    return times.to_numpy().view(np.int64)


def _bools(values: pl.Series) -> npt.NDArray[np.bool_]:
    return (values.fill_null(False) if values.null_count() else values).to_numpy()


def _floats(values: pl.Series) -> Floats:
    if values.dtype != pl.Float64:
        values = values.cast(pl.Float64)
    floats = values.to_numpy()  # NULL becomes NaN
    # Infinities are NULL, and 0.0 stands for -0.0: which of two equal values came first must not show in a row's bytes.
    return np.where(np.isfinite(floats), floats, np.nan) + 0.0


def _event_ids(frame: pl.DataFrame, hashes: Hashes) -> npt.NDArray[np.uint64]:
    if "event_id" not in hashes:
        hashes["event_id"] = hash_series(frame["event_id"])
    return hashes["event_id"]


def _hashes(values: pl.Series) -> npt.NDArray[np.uint64]:
    """As `hashing.hash_series`, but each different value is hashed once."""
    encoded = values.cast(pl.String).cast(pl.Binary).to_arrow().dictionary_encode()
    distinct = hash_all(pl.Series(encoded.dictionary, dtype=pl.Binary).to_list())
    codes = encoded.indices.fill_null(len(distinct)).to_numpy()
    hashes: npt.NDArray[np.uint64] = np.append(distinct, np.uint64(0))[codes]
    return hashes
