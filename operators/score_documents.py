"""Scores of the written rows as verdicts hold them, and what made them."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from operators.documents import Json
from operators.enrich import Enriched, inputs_of
from operators.plan import EnsemblePlan, ModelPlan, Program

MOST_TOLD = 3
"""Inputs of a score that a verdict names."""


class ScoreDocuments:
    """Made when they are first asked for: explanations cost a call of the model, for rows on which a rule fired only."""

    def __init__(self, program: Program, enriched: Enriched, at: Sequence[int], fired: Sequence[int]) -> None:
        """`at` are the written rows of the batch, `fired` positions in `at` of those on which a rule fired."""
        self._program = program
        self._enriched = enriched
        self._frame = enriched.frame if len(at) == enriched.frame.height else enriched.frame[list(at)]
        self._fired = list(fired)
        self._columns: dict[str, list[Json]] = {}

    def of(self, i: int, names: Iterable[str], beside: Program | None = None) -> Json:
        """The scores `names` of written row `i`. `beside` is the program in force where this one is its challenger."""
        return {self._key(name, beside): self._column(name)[i] for name in names}

    def _key(self, name: str, beside: Program | None) -> str:
        plan = self._program.models[name]
        if beside is None or not challenged(name, self._program, beside):
            return name
        return f"{name}@{plan.version}" if isinstance(plan, ModelPlan) else f"{name}@challenger"

    def _column(self, name: str) -> list[Json]:
        if name not in self._columns:
            plan = self._program.models[name]
            version = plan.version if isinstance(plan, ModelPlan) else None
            points = self._program.points.get(name, {})
            because = self._because(plan)
            self._columns[name] = [
                {"value": value, "version": version, "thresholds": points, "because": because.get(i, [])}
                for i, value in enumerate(self._frame[name].to_list())
            ]
        return self._columns[name]

    def _because(self, plan: ModelPlan | EnsemblePlan) -> dict[int, list[Json]]:
        if not self._fired:
            return {}
        return explained(self._frame[self._fired], plan, self._enriched, self._fired)


def explained(
    rows: pl.DataFrame, plan: ModelPlan | EnsemblePlan, enriched: Enriched, names: Sequence[int], most: int = MOST_TOLD
) -> dict[int, list[Json]]:
    """By `names[k]`, for row k: the inputs that moved its score most, strongest first, at most `most`.

    Empty for a score that is NULL and for a model without an explanation. Of an ensemble the members, each with its
    share of the score.
    """
    inputs = inputs_of(rows, plan)
    if isinstance(plan, EnsemblePlan):
        members = inputs.to_numpy()
        weights = np.asarray(plan.weights)
        effects = members * (weights / weights.sum())
        if plan.how == "max":
            effects = np.where(members == members.max(axis=1, keepdims=True), members, 0.0)
    else:
        scorer = enriched.scorers.get(plan.name)
        found = None if scorer is None else scorer.effects(inputs)
        if found is None:
            return {}
        effects = found
    known = rows[plan.name].is_not_null().to_list()
    values = [_shown(column) for column in inputs.get_columns()]
    # Ties go by the order of the inputs, so that the answer is one.
    order = np.argsort(-np.abs(np.nan_to_num(effects)), axis=1, kind="stable")
    told: dict[int, list[Json]] = {}
    for k, name in enumerate(names):
        if known[k]:
            told[name] = [
                {"input": plan.reads[j], "value": values[j][k], "effect": float(effects[k, j])}
                for j in order[k, :most].tolist()
                if np.isfinite(effects[k, j]) and effects[k, j] != 0
            ]
    return told


def challenged(name: str, program: Program, beside: Program) -> bool:
    """Whether a model's score is another one in the two programs: its version is, or that of something behind it."""
    plan, other = program.models[name], beside.models.get(name)
    if other is None or (
        isinstance(plan, ModelPlan) and isinstance(other, ModelPlan) and plan.version != other.version
    ):
        return True
    return any(challenged(column, program, beside) for column in plan.reads if column in program.models)


def _shown(column: pl.Series) -> list[float | None]:
    """Numbers as they are, texts never."""
    if column.dtype == pl.String or column.dtype == pl.Null:
        return [None] * len(column)
    return [None if v is None else float(v) for v in column.cast(pl.Float64, strict=False).to_list()]
