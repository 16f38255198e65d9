"""stamp: each event gets the epoch in force at its ingest time, and the columns that need nothing but the event."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.batch import Batch, DeadRecord, Origin
from operators.documents import Json, status
from operators.expressions import Compiled, Type
from operators.failing import FAILURES, Mask, evaluate
from operators.plan import Bounded, Derived, FeatureFilter, FeaturePlan, Program
from operators.timeline import Epoch, Timeline
from schemas.counted import counted

NULL_THERE = "it is NULL there, and rules that read it are shadow"

_LARGEST = 2**46
"""The largest sum input in units of its scale: 64 bits then hold half a million of them in one pane."""


@dataclass(slots=True)
class Stamped:
    """Events of one batch that one program judges, in arrival order."""

    frame: pl.DataFrame
    """The decoded columns, the early derived columns, and one boolean column per filter."""
    program: Program
    epochs: list[Epoch]
    epoch_index: npt.NDArray[np.int32]
    """Index into `epochs` of each row."""
    sources: tuple[tuple[str, int], ...]
    since: Mapping[str, int]
    """By feature: the ingest time (ms) from which it has been in the stream."""
    failed: dict[str, Mask] = field(default_factory=dict)
    """By column: rows for which it could not be computed, and so is NULL (a filter: FALSE)."""
    errors: list[Json] = field(default_factory=list)
    """Status records about `failed`."""

    def keep(self, rows: Mask) -> None:
        """Leaves only the rows where `rows` is true."""
        self.frame = self.frame.filter(pl.Series(rows))
        self.epoch_index = self.epoch_index[rows]
        self.failed = {name: mask[rows] for name, mask in self.failed.items()}

    def cut(self, rows: Sequence[int]) -> list["Stamped"]:
        """The same events in pieces that begin at these rows (ascending); the first piece keeps the status records."""
        pieces = []
        for start, stop in pairwise([0, *rows, self.frame.height]):
            failed = {name: mask[start:stop] for name, mask in self.failed.items()}
            piece = replace(
                self,
                frame=self.frame.slice(start, stop - start),
                epoch_index=self.epoch_index[start:stop],
                failed=failed,
                errors=[] if start else self.errors,
            )
            pieces.append(piece)
        return pieces

    def origin(self, row: int) -> Origin:
        """Where the record of a row came from."""
        name, partition = self.sources[self.frame["__source"][row]]
        return Origin(name, partition, self.frame["__offset"][row])


def stamp(batch: Batch, timeline: Timeline) -> tuple[list[Stamped], list[DeadRecord]]:
    """Cuts a batch where the program changes and adds the early columns; also the events that cannot be summed.

    O(events) vectorised; columns that fail for some rows cost more, for those rows.
    """
    frame = batch.frame
    if not frame.height:
        return [], []
    index, epochs = timeline.assign(frame["ingest_time"].to_physical().to_numpy())
    stamped, dead = [], []
    for start, stop in _runs(index, epochs):
        part = frame if stop - start == frame.height else frame.slice(start, stop - start)
        epoch = epochs[index[start]]
        one = Stamped(part, epoch.program, epochs, index[start:stop], batch.sources, epoch.since)
        _derive(one)
        dead += _refuse(one)
        _filter(one)
        if one.frame.height:
            stamped.append(one)
    return stamped, dead


def derive(frame: pl.DataFrame, columns: Sequence[Derived]) -> tuple[pl.DataFrame, dict[str, Mask], dict[str, str]]:
    """Adds derived columns, NULL where they fail; the rows that failed and the error's name by column.

    Columns that do not read each other are computed in one call.
    """
    failed: dict[str, Mask] = {}
    names: dict[str, str] = {}
    for level in _levels(columns):
        try:
            frame = frame.with_columns([finite(d.compiled).alias(d.name) for d in level])
        except FAILURES:
            for d in level:
                values, rows, error = evaluate(frame, finite(d.compiled), d.compiled.type.dtype)
                frame = frame.with_columns(values.alias(d.name))
                if rows is not None:
                    failed[d.name], names[d.name] = rows, error
    return frame, failed, names


def finite(compiled: Compiled) -> pl.Expr:
    """The expression with NaN and infinities as NULL: polars holds that NaN >= 0.97."""
    if compiled.type is not Type.NUMBER:
        return compiled.expr
    return pl.when(compiled.expr.is_finite()).then(compiled.expr)


def of_types(types: Sequence[str]) -> pl.Expr:
    """Rows of one of these event types; never NULL."""
    tests = [pl.col("event_type") == name for name in types]
    return tests[0] if len(tests) == 1 else pl.any_horizontal(tests)


def failure(subject: str, consequence: str, rows: Mask, error: str, stamped: Stamped) -> Json:
    """The status record of a computation that failed for some rows.

    It names the error's kind only: its text may hold the events' values.
    """
    row = int(np.argmax(rows))
    count = int(rows.sum())
    epoch = stamped.epochs[stamped.epoch_index[row]]
    events = counted(count, "event")
    origin = _origin(stamped.sources, stamped.frame, row)
    return status(
        "rule_error",
        subject,
        f"{subject} failed for {events} ({error}), first at record {origin.offset} of {origin.name}: {consequence}",
        at_ms=stamped.frame["ingest_time"].to_physical()[row],
        epoch=epoch.id,
        detail={"events": count, "error": error, "first": asdict(origin)},
    )


def _runs(index: npt.NDArray[np.int32], epochs: list[Epoch]) -> list[tuple[int, int]]:
    """Stretches of rows whose epochs share program (with its models) and feature ages."""
    if len(epochs) == 1:
        return [(0, len(index))]
    same = {(id(epoch.program), id(epoch.since)): i for i, epoch in reversed(list(enumerate(epochs)))}
    program = np.array([same[id(epoch.program), id(epoch.since)] for epoch in epochs])[index]
    cuts = [0, *(np.flatnonzero(np.diff(program)) + 1).tolist(), len(index)]
    return list(pairwise(cuts))


def _levels(columns: Sequence[Derived]) -> list[list[Derived]]:
    levels: list[list[Derived]] = []
    depth: dict[str, int] = {}
    for d in columns:
        depth[d.name] = max((depth[name] + 1 for name in d.compiled.reads if name in depth), default=0)
        if depth[d.name] == len(levels):
            levels.append([])
        levels[depth[d.name]].append(d)
    return levels


def _derive(stamped: Stamped) -> None:
    stamped.frame, stamped.failed, errors = derive(stamped.frame, stamped.program.early)
    for name, rows in stamped.failed.items():
        stamped.errors.append(failure(f"derived column {name}", NULL_THERE, rows, errors[name], stamped))


def _filter(stamped: Stamped) -> None:
    filters = stamped.program.filters
    if not filters:
        return
    try:
        stamped.frame = stamped.frame.with_columns([_condition(f).fill_null(False).alias(f.name) for f in filters])
        return
    except FAILURES:
        pass
    for f in filters:
        values, rows, error = evaluate(stamped.frame, _condition(f), pl.Boolean())
        stamped.frame = stamped.frame.with_columns(values.fill_null(False).alias(f.name))
        if rows is not None:
            stamped.failed[f.name] = rows
            named = [plan.name for plan in _plans(stamped.program) if plan.filter == f.name]
            consequence = "the event is not counted there, and rules that read it are shadow"
            stamped.errors.append(failure(f"where: of {', '.join(named)}", consequence, rows, error, stamped))


def _condition(f: FeatureFilter) -> pl.Expr:
    if f.compiled is None:
        return of_types(f.types or ())
    return f.compiled.expr if f.types is None else of_types(f.types) & f.compiled.expr


def _refuse(stamped: Stamped) -> list[DeadRecord]:
    """Takes out the events with a value that is too large to be summed exactly."""
    frame = stamped.frame
    refused: dict[int, Bounded] = {}
    for bound in stamped.program.bounded:
        values = frame[bound.column].cast(pl.Float64).abs() * 10.0**bound.scale
        largest = values.max()
        if isinstance(largest, float) and not largest <= _LARGEST:
            for row in (~(values <= _LARGEST)).fill_null(False).arg_true().to_list():
                refused.setdefault(row, bound)
    if not refused:
        return []
    rows = sorted(refused)
    dead = [_dead(stamped, row, refused[row]) for row in rows]
    keep = np.ones(frame.height, dtype=np.bool_)
    keep[rows] = False
    stamped.keep(keep)
    return dead


def _dead(stamped: Stamped, row: int, bound: Bounded) -> DeadRecord:
    limit = f"{_LARGEST / 10**bound.scale:.15g}"
    summed = [p.name for p in _plans(stamped.program) if (p.column, p.scale) == (bound.column, bound.scale)]
    exactly = f"which {', '.join(summed)} cannot sum exactly with {bound.scale} decimals"
    return DeadRecord(
        origin=_origin(stamped.sources, stamped.frame, row),
        stage="stamp",
        reason="out_of_range",
        field=bound.column,
        detail=f"{bound.column} is a number beyond {limit}, {exactly}",
        hint="fix the producer, or give the feature a smaller scale:",
        payload=b"",
        event_id=stamped.frame["event_id"][row],
        ingest_ms=stamped.frame["ingest_time"].to_physical()[row],
    )


def _plans(program: Program) -> list[FeaturePlan]:
    return [plan for kind in program.kinds.values() for plan in kind.features]


def _origin(sources: tuple[tuple[str, int], ...], frame: pl.DataFrame, row: int) -> Origin:
    name, partition = sources[frame["__source"][row]]
    return Origin(name, partition, frame["__offset"][row])
