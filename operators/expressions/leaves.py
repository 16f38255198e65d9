"""A condition cut at AND, OR and NOT: what explanations and reasons are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from operators.expressions.bounds import Between, Bound, Comparison, Flag, Membership, Missing, OneOf
from operators.expressions.entity_lists import flags_column
from operators.expressions.p_values import p_column
from operators.expressions.syntax import Call, Literal, Name, Node, Operator, canonical
from operators.expressions.types import Type
from operators.expressions.values import Context, Value

_MIRROR = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """A condition that has no AND, OR, NOT on its outside.

    `bound` is what can be said of it as a simple condition on one value, None for all others (two columns, texts,
    CASE).
    """

    text: str
    canonical: str
    expr: pl.Expr
    reads: Mapping[str, Type]
    bound: Bound | None

    @property
    def column(self) -> str:
        """The name under which a row may bring the leaf's own truth; equal leaves share it."""
        return f"__leaf:{self.canonical}"

    @property
    def decided_by_row(self) -> bool:
        """Whether the values of the columns show if the leaf is TRUE, in plain Python."""
        return self.bound is not None and self.bound.column is not None

    def leaves(self) -> tuple["Leaf", ...]:
        return (self,)


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """`op` is and, or, not."""

    op: str
    parts: tuple["Logic", ...]

    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for part in self.parts for leaf in part.leaves())


Logic = Leaf | Branch


def outcome(tree: Logic, truth: Callable[[Leaf], bool | None]) -> bool | None:
    """The condition's answer when its leaves have the answers `truth`, with three truth values."""
    if isinstance(tree, Leaf):
        return truth(tree)
    answers = [outcome(part, truth) for part in tree.parts]
    if tree.op == "not":
        return None if answers[0] is None else not answers[0]
    decisive = tree.op == "or"
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


def make_leaf(context: Context, node: Node, value: Value, reads: Mapping[str, Type]) -> Leaf:
    """The leaf of a part that compiled to `value` and reads `reads`. A constant leaf has one row in any frame."""
    return Leaf(
        source(context, node),
        canonical(node),
        value.as_type(Type.BOOLEAN) if value.type is Type.BOOLEAN else value.expr,
        dict(reads),
        _bound(context, node, reads),
    )


def source(context: Context, node: Node, without: tuple[int, int] | None = None) -> str:
    """The part's own text on one line; `without` is a word to leave out, from and to which character."""
    start, end = without or (node.end, node.end)
    return " ".join((context.text[node.start : start] + context.text[end : node.end]).split())


def _column(node: Node) -> str | None:
    if isinstance(node, Call) and node.name == "p" and isinstance(node.args[0], Name):
        return p_column(node.args[0].name)
    return node.name if isinstance(node, Name) else None


def _bound(context: Context, node: Node, reads: Mapping[str, Type]) -> Bound | None:
    if isinstance(node, Name):
        return Flag(node.name)
    if isinstance(node, Call) and node.name == "in_list":
        entity, name = node.args
        assert isinstance(entity, Name) and isinstance(name, Literal)
        found = context.scope.lists[str(name.value)]
        return Membership(entity.name, str(name.value), flags_column(found.kind), found.bit)
    if not isinstance(node, Operator):
        return None
    subject, *others = node.args
    if node.op in _MIRROR and subject in context.constants and others[0] not in context.constants:
        subject, others = others[0], [subject]
    if subject in context.constants or not all(other in context.constants for other in others):
        return None
    kind, column, text = (
        context.types[subject],
        _column(subject),
        source(context, subject),
    )
    if node.op == "is null":
        return Missing(text, column)
    if not isinstance(kind, Type):
        return None
    fixed = [context.constants[other] for other in others]
    if any(value is None for value in fixed):
        return None
    if node.op in _MIRROR:
        return Comparison(text, column, kind, node.op if subject is node.args[0] else _MIRROR[node.op], fixed[0])
    if node.op == "between":
        return Between(text, column, kind, fixed[0], fixed[1])
    return OneOf(text, column, kind, tuple(fixed)) if node.op == "in" else None
