"""Scores of the written rows as verdicts hold them, and what made them."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from operators.documents import Json
from operators.enrich import Enriched, inputs_of
from operators.plan import EnsemblePlan, ModelPlan, Program
from operators.scoring import Floats, Span

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
    """By `names[k]`, for row k: what moved its score most, strongest first, at most `most`.

    That is inputs; of a model that reads a text, parts of it by their place; of an ensemble the members, each with its
    share of the score. Empty for a score that is NULL and for a model without an explanation.
    """
    inputs = inputs_of(rows, plan)
    scorer = enriched.scorers.get(plan.name)
    spans = None if scorer is None else scorer.spans(inputs)
    if isinstance(plan, EnsemblePlan):
        told = _inputs(inputs, _shares(inputs, plan), most)
    elif spans is not None:
        told = [_places(plan.reads[0], row, most) for row in spans]
    else:
        effects = None if scorer is None else scorer.effects(inputs)
        told = [] if effects is None else _inputs(inputs, effects, most)
    known = rows[plan.name].is_not_null().to_list()
    return {names[k]: contributions for k, contributions in enumerate(told) if known[k]}


def _shares(inputs: pl.DataFrame, plan: EnsemblePlan) -> Floats:
    members = inputs.to_numpy()
    if plan.how == "max":
        return np.asarray(np.where(members == members.max(axis=1, keepdims=True), members, 0.0))
    weights = np.asarray(plan.weights)
    return np.asarray(members * (weights / weights.sum()))


def _inputs(inputs: pl.DataFrame, effects: Floats, most: int) -> list[list[Json]]:
    values = [_shown(column) for column in inputs.get_columns()]
    # Ties go by the order of the inputs, so that the answer is one.
    order = np.argsort(-np.abs(np.nan_to_num(effects)), axis=1, kind="stable")[:, :most].tolist()
    return [
        [
            _contribution(inputs.columns[j], values[j][k], float(effects[k, j]), None)
            for j in row
            if np.isfinite(effects[k, j]) and effects[k, j] != 0
        ]
        for k, row in enumerate(order)
    ]


def _places(name: str, spans: list[Span], most: int) -> list[Json]:
    strongest = sorted((span for span in spans if span.effect), key=lambda span: -abs(span.effect))[:most]
    return [_contribution(name, None, span.effect, [span.start, span.end]) for span in strongest]


def _contribution(name: str, value: float | None, effect: float, span: list[int] | None) -> Json:
    return {"input": name, "value": value, "effect": effect, "span": span}


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
