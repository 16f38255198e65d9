"""The columns that judge adds before rules: scores of models, and derived columns that read features, lists or scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from operators.documents import Json, status
from operators.failing import FAILURES, Mask
from operators.plan import EnsemblePlan, ModelPlan, Program
from operators.scoring import Floats, Scorer, Scorers, Scores
from operators.stamp import NULL_THERE, Stamped, derive, failure, of_types

DECIMALS = 6
"""Of every score."""


@dataclass(slots=True)
class Enriched:
    """A frame with every column that rules read."""

    frame: pl.DataFrame
    failed: dict[str, Mask] = field(default_factory=dict)
    """By derived column: rows for which it could not be computed, and so is NULL."""
    missing: dict[str, Mask] = field(default_factory=dict)
    """By model: rows without a score because there was no model or it failed. Rules that read it do not act there."""
    scorers: dict[str, Scorer] = field(default_factory=dict)
    """By model: what scored."""
    errors: list[Json] = field(default_factory=list)
    """Status records about what failed."""


def enrich(stamped: Stamped, frame: pl.DataFrame, program: Program, scorers: Scorers) -> Enriched:
    """Computes the steps of `program`; one call of each model. O(rows), vectorised.

    A model is asked only for events of types that some rule over it looks at; the others have no score.
    """
    found = Enriched(frame)
    for step in program.steps:
        if isinstance(step, tuple):
            found.frame, failed, names = derive(found.frame, step)
            for name, rows in failed.items():
                found.failed[name] = rows
                found.errors.append(failure(f"derived column {name}", NULL_THERE, rows, names[name], stamped))
        elif isinstance(step, ModelPlan):
            _score(stamped, program, step, scorers, found)
        else:
            _join(step, found)
    return found


def _score(stamped: Stamped, program: Program, plan: ModelPlan, scorers: Scorers, found: Enriched) -> None:
    frame = found.frame
    types = _types(program, plan.name)
    looked = None if types is None else frame.select(of_types(types)).to_series() if types else pl.Series([False])
    if looked is not None and not looked.any():
        found.frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(plan.name))
        return
    rows = frame if looked is None or looked.all() else frame.filter(looked)
    scorer = scorers.ready(plan.name, plan.version)
    if scorer is None:  # where batches are judged in another process than they were stamped in, it may be on its way
        scorers.settle(plan.name, plan.version)
        scorer = scorers.ready(plan.name, plan.version)
    scores = _answered(scorer, inputs_of(rows, plan), rows.height)
    values, missing = scores.values, scores.failed
    if rows is not frame:
        assert looked is not None
        at = looked.arg_true().to_numpy()
        values, missing = np.full(frame.height, np.nan), None if missing is None else np.zeros(frame.height, np.bool_)
        values[at] = scores.values
        if missing is not None:
            missing[at] = scores.failed
    found.frame = frame.hstack([pl.Series(plan.name, values, nan_to_null=True)])
    if scorer is not None:
        found.scorers[plan.name] = scorer
    if missing is not None:
        found.missing[plan.name] = missing
        trouble = "model_unavailable" if scorer is None else "model_failed"
        if scorers.first(plan.name, plan.version, trouble):
            found.errors.append(_trouble(stamped, plan, trouble, missing, scores.error))


def _answered(scorer: Scorer | None, inputs: pl.DataFrame, height: int) -> Scores:
    """The scores of a model; none where there is no model, or where it breaks altogether."""
    error = ""
    if scorer is not None:
        try:
            return scorer.score(inputs)
        except FAILURES as raised:  # whatever a model does, the other rules have their answer
            error = type(raised).__name__
    return Scores(np.full(height, np.nan), np.ones(height, np.bool_), error)


def inputs_of(frame: pl.DataFrame, plan: ModelPlan | EnsemblePlan) -> pl.DataFrame:
    """What a model reads; a column is all NULL where the newest policy dropped it while its events were on the way."""
    try:
        return frame[list(plan.reads)]
    except pl.exceptions.ColumnNotFoundError:
        known = set(frame.columns)
        none = [pl.lit(None, dtype=pl.Float64).alias(name) for name in plan.reads if name not in known]
        return frame.with_columns(none).select(plan.reads)


def _types(program: Program, model: str) -> tuple[str, ...] | None:
    """Event types that a rule over the model looks at, None for all; none at all where no rule reads it."""
    over = [rule for rule in program.rules if model in rule.models]
    if any(rule.types is None for rule in over):
        return None
    return tuple(dict.fromkeys(name for rule in over for name in rule.types or ()))


def _join(plan: EnsemblePlan, found: Enriched) -> None:
    """An ensemble: NULL where a member is, and without an answer where a member is."""
    members = [found.frame[name].to_numpy() for name in plan.reads]
    found.frame = found.frame.hstack([pl.Series(plan.name, joined(plan, members), nan_to_null=True)])
    masks = [found.missing[name] for name in plan.reads if name in found.missing]
    if masks:
        found.missing[plan.name] = np.logical_or.reduce(masks)


def joined(plan: EnsemblePlan, members: Sequence[Floats]) -> Floats:
    """The ensemble's score of each row, rounded; NaN where a member is NaN. Members are added in the policy's order."""
    if plan.how == "max":
        return np.asarray(np.maximum.reduce(list(members)), dtype=np.float64)
    total = np.zeros(len(members[0]))
    for weight, member in zip(plan.weights, members, strict=True):
        total = total + weight * member
    return np.round(total / sum(plan.weights), DECIMALS)


_TOLD = {
    "model_unavailable": "has no answer yet: events have no score of it, and rules that read it are shadow",
    "model_failed": "failed: those events have no score of it, and rules that read it are shadow there",
}


def _trouble(stamped: Stamped, plan: ModelPlan, kind: str, rows: Mask, error: str) -> Json:
    """Told once a version and job: what goes on failing is counted."""
    row, count = int(np.argmax(rows)), int(rows.sum())
    detail: Mapping[str, object] = {"model": plan.name, "version": plan.version, "events": count, "error": error}
    return status(
        kind,
        f"model/{plan.name}",
        f"model {plan.name}@{plan.version} {_TOLD[kind]}" + (f" ({error})" if error else ""),
        at_ms=stamped.frame["ingest_time"].to_physical()[row],
        epoch=stamped.epochs[stamped.epoch_index[row]].id,
        detail=dict(detail),
    )
