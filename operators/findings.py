"""Which rules are TRUE for which events, and for which events they failed: whole columns, no event looked at singly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.documents import Json
from operators.enrich import Enriched
from operators.failing import FAILURES, Mask, evaluate
from operators.modes import Standing, standing
from operators.plan import Program, RulePlan
from operators.stamp import Stamped, failure, of_types

Rows = npt.NDArray[np.int64]
_NONE: Rows = np.zeros(0, np.int64)


@dataclass(slots=True)
class Finding:
    """The rows that one rule is about: where it is TRUE, and where it is not known because something failed."""

    plan: RulePlan
    stands: list[Standing]
    """How it stands in each epoch of the batch."""
    rows: Rows
    """Ascending."""
    doubtful: frozenset[int]
    """Rows for which the rule, or a column behind it, failed: a part of `rows`."""
    unscored: frozenset[int] = frozenset()
    """Rows for which a model behind it gave no answer: a part of `rows`."""
    challenger: bool = False
    """The rule was judged with a challenger's score."""


def find(stamped: Stamped, program: Program, enriched: Enriched, errors: list[Json]) -> list[Finding]:
    """The findings of every rule of `program` that has any, in the policy's order; none of rules that are off.

    `enriched` has every column that a rule reads, and where it could not be computed. What fails here is added to
    `errors` as status records. O(rows x rules), vectorised.
    """
    epochs, frame, failed = stamped.epochs, enriched.frame, {**stamped.failed, **enriched.failed}
    standings = {rule.name: [standing(rule, epoch) for epoch in epochs] for rule in program.rules}
    rules = [rule for rule in program.rules if not all(stands.off for stands in standings[rule.name])]
    if not rules or not frame.height:
        return []
    findings = []
    for rule, (true, rows) in zip(rules, _run(stamped, frame, rules, errors), strict=True):
        doubt = _doubt(program, rule, failed, rows, frame)
        stands = standings[rule.name]
        if doubt is None:
            # any() looks at the column as it is, arg_true makes a query of its own: most rules are TRUE for no row.
            found = true.arg_true().to_numpy().astype(np.int64) if true.any() else _NONE
        else:
            found = np.flatnonzero(true.fill_null(False).to_numpy() | doubt)
        if any(s.off for s in stands):
            on = np.array([not s.off for s in stands])
            found = found[on[stamped.epoch_index[found]]]
        if len(found):
            doubtful = frozenset() if doubt is None else frozenset(found[doubt[found]].tolist())
            findings.append(Finding(rule, stands, found, doubtful, _unscored(rule, found, enriched)))
    return findings


def _unscored(rule: RulePlan, found: Rows, enriched: Enriched) -> frozenset[int]:
    masks = [enriched.missing[name] for name in rule.models if name in enriched.missing]
    return frozenset(found[np.logical_or.reduce(masks)[found]].tolist()) if masks else frozenset()


def _run(
    stamped: Stamped, frame: pl.DataFrame, rules: Sequence[RulePlan], errors: list[Json]
) -> Iterator[tuple[pl.Series, Mask | None]]:
    """For each rule where it is TRUE, and the rows that it failed for (None: none)."""
    columns = [_on_types(rule).alias(f"__rule:{i}") for i, rule in enumerate(rules)]
    try:
        # Beside a column of the frame, so that a constant becomes as long as the frame is.
        answers = frame.select(pl.col("event_id"), *columns)
    except FAILURES:
        for rule in rules:
            yield _alone(stamped, frame, rule, errors)
        return
    for column in answers.get_columns()[1:]:
        yield column, None


def _alone(stamped: Stamped, frame: pl.DataFrame, rule: RulePlan, errors: list[Json]) -> tuple[pl.Series, Mask | None]:
    """One rule over the rows of its event types: what it would do for others is no failure."""
    looked = _looked_at(rule, frame)
    values, failing, error = evaluate(frame.filter(pl.Series(looked)), rule.when.expr, pl.Boolean())
    true, rows = np.zeros((2, frame.height), dtype=np.bool_)
    true[looked] = values.fill_null(False).to_numpy()
    if failing is None:
        return pl.Series(true), None
    rows[looked] = failing
    errors.append(failure(f"rule {rule.name}", "it is shadow there, with reason rule_error", rows, error, stamped))
    return pl.Series(true), rows


def _looked_at(rule: RulePlan, frame: pl.DataFrame) -> Mask:
    """Rows of the event types that the rule is for."""
    if rule.types is None:
        return np.ones(frame.height, dtype=np.bool_)
    return frame.select(of_types(rule.types)).to_series().to_numpy()


def _on_types(rule: RulePlan) -> pl.Expr:
    return rule.when.expr if rule.types is None else of_types(rule.types) & rule.when.expr


def _doubt(
    program: Program, rule: RulePlan, failed: dict[str, Mask], rows: Mask | None, frame: pl.DataFrame
) -> Mask | None:
    """Rows of the rule's types for which it failed, or anything that it reads did."""
    behind = _behind(program, rule) if failed else set()
    masks = [mask for name, mask in failed.items() if name in behind]
    if not masks:
        return rows
    doubt: Mask = np.logical_or.reduce(masks) & _looked_at(rule, frame)
    return doubt if rows is None else doubt | rows


def _behind(program: Program, rule: RulePlan) -> set[str]:
    """Every column that the rule's answer depends on, also through derived ones and features, and its target's key."""
    reads = {d.name: d.compiled.reads for d in (*program.early, *program.late)}
    reads |= {f.name: f.compiled.reads for f in program.filters if f.compiled is not None}
    reads |= {model.name: model.reads for model in program.models.values()}
    reads |= {ratio.name: (ratio.over, ratio.under) for ratio in program.ratios}
    keys = {kind.name: (*kind.key, *([kind.each] if kind.each else [])) for kind in program.kinds.values()}
    for kind in program.kinds.values():
        for feature in kind.features:
            reads[feature.name] = (*keys[kind.name], *(c for c in (feature.column, feature.filter) if c is not None))
    listed = {name: kind.name for kind in program.kinds.values() for name in kind.lists}
    lists = {d.name: d.compiled.lists for d in program.late}
    found: set[str] = set()
    open_ = [*rule.when.reads, *rule.features, *keys[rule.target_kind]]
    open_ += [column for name in rule.when.lists for column in keys[listed[name]]]
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_ += [*reads.get(name, ()), *(c for listing in lists.get(name, ()) for c in keys[listed[listing]])]
    return found


def union(rows: Sequence[Rows]) -> Rows:
    """The rows of any of these, ascending."""
    if len(rows) == 1:
        return rows[0]
    return np.unique(np.concatenate(rows)) if rows else np.zeros(0, dtype=np.int64)
