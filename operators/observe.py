"""observe: every event updates the rows of its entities, and reads from them one value for each feature.

    frame -> scatter (one part a kind) -> KindObserver.update -> gather -> frame with a column for each feature

An event sees what came before it and itself, wherever batches are cut and whatever is cached.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.kind_observer import KindObserver, PartAnswer
from operators.labels.desk import Changes
from operators.labels.part import scatter_labels
from operators.plan import KindPlan, Program, RatioPlan
from operators.scatter import Hashes, Part, gather_coverage, gather_flags, gather_floats, scatter

__all__ = ["Answered", "KindObserver", "Observed", "Part", "PartAnswer", "flags_name", "join", "observe"]


@dataclass(slots=True)
class Observed:
    """A frame with what is known about its entities.

    frame         the events, then `__flags:<kind>` (UInt64, 0 without an entity) for each kind, then a Float64 for
                  each feature and ratio
    coverage      by kind: float32 by row, the share of the window's panes that still counted for the event, of the
                  window with the least; None where every event has all of it
    late_dropped  entities of events that were too old for a window
    nulls         by kind: events without an entity of it
    labels        changes of labels that came for an entity that was not known (`labels_unknown`), or that no window
                  reaches any more (`labels_late`)
    """

    frame: pl.DataFrame
    coverage: dict[str, npt.NDArray[np.float32] | None]
    late_dropped: int
    nulls: dict[str, int]
    labels: dict[str, int] = field(default_factory=dict)


def flags_name(kind: str) -> str:
    """The column of a kind's list bits."""
    return f"__flags:{kind}"


@dataclass(slots=True)
class Answered:
    """What one kind answered. `row`: the frame's row of each of the answer's rows; `nulls`: rows without an entity."""

    row: npt.NDArray[np.int64]
    answer: PartAnswer
    nulls: int


def observe(
    frame: pl.DataFrame,
    program: Program,
    observers: Mapping[str, KindObserver],
    changes: Changes | None = None,
    since: Mapping[str, int] | None = None,
) -> Observed:
    """Updates the state of every entity of `frame` and joins the answers; O(rows log rows). Rows are in arrival order.

    `changes`: what labels changed up to the last row's ingest time; `since`: by feature, the ingest time from which it has been in
    the stream.

    Kinds without an observer keep no state. A feature that an observer's newer plan dropped is NULL.
    """
    hashes: Hashes = {}
    answered: dict[str, Answered] = {}
    for name, plan in program.kinds.items():
        if name in observers:
            part = scatter(frame, plan, hashes, since)
            labels = scatter_labels(changes, plan, part) if changes and plan.reads_labels else None
            answered[name] = Answered(part.row, observers[name].update(part, labels), part.nulls)
    return join(frame, program, answered)


def join(frame: pl.DataFrame, program: Program, answered: Mapping[str, Answered]) -> Observed:
    """The second half of `observe`, for a runtime whose observers are elsewhere: answers by kind as columns."""
    columns: list[pl.Series] = []
    observed = Observed(frame, {}, 0, {})
    unknown, too_late = [], []
    for name, plan in program.kinds.items():
        if name not in answered:
            continue
        found = answered[name]
        columns += gather(plan, found.row, found.answer, frame.height)
        coverage = found.answer.coverage
        observed.coverage[name] = (
            None if coverage is None else gather_coverage(coverage, found.row, frame.height, plan.each is not None)
        )
        observed.late_dropped += found.answer.late_dropped
        observed.nulls[name] = found.nulls
        unknown.append(found.answer.unknown)
        too_late.append(found.answer.too_late)
    for name, numbers_of in (("labels_unknown", unknown), ("labels_late", too_late)):
        if count := len(np.unique(np.concatenate(numbers_of))) if numbers_of else 0:
            observed.labels[name] = count
    numbers = [column.name for column in columns if column.dtype == pl.Float64]
    observed.frame = frame.with_columns(columns).with_columns(pl.col(numbers).fill_nan(None))
    if program.ratios:
        observed.frame = observed.frame.with_columns(_ratio(ratio) for ratio in program.ratios)
    return observed


def gather(plan: KindPlan, row: npt.NDArray[np.int64], answer: PartAnswer, height: int) -> list[pl.Series]:
    """The flags and features of one kind as columns of a frame of `height` rows; NaN where there is no answer."""
    each = plan.each is not None
    columns = [gather_flags(answer.flags, row, height, each).alias(flags_name(plan.name))]
    for feature in plan.features:
        values = answer.values.get(feature.name)
        if values is None:
            columns.append(pl.Series(feature.name, np.full(height, np.nan)))
        else:
            columns.append(gather_floats(values, row, height, each).alias(feature.name))
    for test in plan.tests:
        sign = -1.0 if test.level is None else 1.0  # of several entities the least p-value, and any discovery
        tested = sign * answer.values.get(test.name, np.full(len(row), np.nan))
        columns.append((sign * gather_floats(tested, row, height, each)).alias(test.name))
    return columns


def _ratio(ratio: RatioPlan) -> pl.Expr:
    value = pl.col(ratio.over) / pl.col(ratio.under)
    return pl.when((pl.col(ratio.under) != 0) & value.is_finite()).then(value).alias(ratio.name)
