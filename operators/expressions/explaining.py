"""Why a condition is TRUE or not for one event, and what would have turned it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import polars as pl

from operators.expressions.bounds import Membership, Row
from operators.expressions.compiling import Compiled
from operators.expressions.leaves import Leaf, Logic, outcome

MOST_FLIPS = 12
MOST_PAIRED = 40
"""Changes that are tried in pairs; with more of them only single changes are."""


@dataclass(frozen=True, slots=True)
class Term:
    """A leaf of the condition as it counts there: its text, its answer, and the columns it read with their values.

    Under NOT it is `NOT leaf` with the opposite answer, so that TRUE always speaks for the condition.
    """

    text: str
    value: bool | None
    operands: list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`fired` is the answer of the condition (None: NULL, which does not fire). `flips` are sentences, the smallest
    changes only.
    """

    fired: bool | None
    terms: list[Term]
    flips: list[str]


@dataclass(frozen=True, slots=True)
class _Change:
    words: str
    answers: dict[str, bool | None]
    """Answers that the change gives, by canonical text of the leaf: its own and those of other leaves on the same
    column.
    """


def explain(compiled: Compiled, row: Row) -> Explanation:
    """Evaluates each leaf on `row` (values by column name; a missing name is NULL) and looks for changes that would
    turn the answer.

    `row` also brings the UInt64 flag columns (`compiled.flags`); a missing one means: on no list. Timestamps may be
    datetimes or milliseconds. Raises ValueError for an expression that is no condition. Not for hot paths: one polars
    call, then O(leaves^2) tries.
    """
    tree = compiled.tree
    if tree is None:
        raise ValueError(f"only a condition can be explained, `{compiled.text}` is {compiled.type.value}")
    answers = _answers(compiled, row)
    fired = outcome(tree, lambda leaf: answers[leaf.canonical])
    terms = {
        (leaf.canonical, truth): Term(
            leaf.text if truth else f"NOT {leaf.text}",
            answer if truth or answer is None else not answer,
            [(name, row.get(name)) for name in leaf.reads],
        )
        for leaf, truth in _literals(tree, True)
        for answer in [answers[leaf.canonical]]
    }
    return Explanation(fired, list(terms.values()), _flips(tree, answers, fired is True))


def _literals(tree: Logic, truth: bool) -> Iterator[tuple[Leaf, bool]]:
    """Each leaf, and the answer of it that speaks for the condition."""
    if isinstance(tree, Leaf):
        yield tree, truth
        return
    for part in tree.parts:
        yield from _literals(part, truth != (tree.op == "not"))


def _answers(compiled: Compiled, row: Row) -> dict[str, bool | None]:
    columns = [
        pl.Series(name, [row.get(name)], dtype=kind.dtype, strict=False) for name, kind in compiled.columns.items()
    ]
    columns += [pl.Series(name, [row.get(name) or 0], dtype=pl.UInt64) for name in compiled.flags]
    leaves = {leaf.canonical: leaf.expr for leaf in compiled.leaves}
    answers = pl.DataFrame(columns or {"_": [None]}).select(**{f"_{i}": expr for i, expr in enumerate(leaves.values())})
    return dict(zip(leaves, answers.row(0), strict=True))


def _flips(tree: Logic, answers: Mapping[str, bool | None], fired: bool) -> list[str]:
    start = "it would not fire if " if fired else "it would fire if "

    def turns(*changes: _Change) -> bool:
        changed = dict(answers)
        for change in changes:
            changed |= change.answers
        return (outcome(tree, lambda leaf: changed[leaf.canonical]) is True) != fired

    changes = list({change.words: change for change in _changes(tree, answers)}.values())
    found = [start + change.words for change in changes if turns(change)]
    if not found and len(changes) <= MOST_PAIRED:
        pairs = ((a, b) for a, b in combinations(changes, 2) if not _clash(a, b))
        found = [f"{start}{a.words} and {b.words}" for a, b in pairs if turns(a, b)]
    return found[:MOST_FLIPS]


def _clash(a: _Change, b: _Change) -> bool:
    """Two changes that ask for different answers of one leaf cannot both be."""
    return any(b.answers.get(leaf, answer) != answer for leaf, answer in a.answers.items())


def _changes(tree: Logic, answers: Mapping[str, bool | None]) -> Iterator[_Change]:
    leaves = {leaf.canonical: leaf for leaf in tree.leaves()}
    for leaf in leaves.values():
        for truth in (True, False):
            if answers[leaf.canonical] is not truth and (leaf.reads or isinstance(leaf.bound, Membership)):
                words = (
                    leaf.bound.said(truth)
                    if leaf.bound is not None
                    else f"`{leaf.text}` were {'true' if truth else 'false'}"
                )
                yield _Change(words, {leaf.canonical: truth, **_along(leaf, truth, leaves)})


def _along(leaf: Leaf, truth: bool, leaves: Mapping[str, Leaf]) -> dict[str, bool | None]:
    """What happens to other leaves on the same column when it gets the value nearest to the bound: x above 10 is not
    below 5.
    """
    value = leaf.bound.meeting(truth) if leaf.bound is not None and leaf.bound.column is not None else None
    if value is None or leaf.bound is None:
        return {}
    column = leaf.bound.column
    return {
        other.canonical: other.bound.holds({column: value})
        for other in leaves.values()
        if other is not leaf and other.bound is not None and other.bound.column == column and column is not None
    }
