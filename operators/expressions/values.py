"""A part of an expression while it is compiled, and what all parts share: names, errors, NULL in place of NaN."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import polars as pl

from operators.expressions.errors import ExpressionError
from operators.expressions.syntax import Node
from operators.expressions.types import Scope, Type


class Loose(Enum):
    """Types that no column has."""

    NULL = "NULL"
    INTERVAL = "an interval"


@dataclass(frozen=True, slots=True)
class Value:
    """A column expression with its type. `constant` parts have their `value` too: an interval's is milliseconds, a
    timestamp's a datetime.
    """

    node: Node
    type: Type | Loose
    expr: pl.Expr
    constant: bool = False
    value: object = None

    @property
    def numeric(self) -> bool:
        return self.type in (Type.INTEGER, Type.NUMBER)

    def as_type(self, wanted: Type) -> pl.Expr:
        """The expression as `wanted`: a NULL takes any type, a whole number may be a number. The types must have been
        checked.
        """
        if self.type is wanted:
            return self.expr
        return pl.lit(None, dtype=wanted.dtype) if self.type is Loose.NULL else self.expr.cast(wanted.dtype)


@dataclass(slots=True)
class Context:
    """What compiling one text carries along: the text, the names in force, and what has been read so far (in order)."""

    text: str
    scope: Scope
    reads: dict[str, Type] = field(default_factory=dict)
    lists: dict[str, None] = field(default_factory=dict)
    types: dict[Node, Type | Loose] = field(default_factory=dict)
    """Type of every part compiled so far."""
    constants: dict[Node, object] = field(default_factory=dict)
    """Value of every part that has the same one for each event."""

    def remember(self, node: Node, value: Value) -> None:
        self.types[node] = value.type
        if value.constant:
            self.constants[node] = value.value

    def error(self, node: Node, message: str, hint: str = "") -> ExpressionError:
        return ExpressionError(message, self.text, node.start, node.end - node.start, hint)

    def shown(self, value: Value) -> str:
        """How an error names a part: `a string (`text`)`."""
        source = " ".join(self.text[value.node.start : value.node.end].split())
        if value.type is Loose.NULL:
            return "NULL"
        return f"{value.type.value} (`{source if len(source) <= 40 else source[:39] + '…'}`)"


def constant(node: Node, kind: Type | Loose, value: object) -> Value:
    """A part that has the same value for every event."""
    dtype = kind.dtype if isinstance(kind, Type) else pl.Null()
    return Value(node, kind, pl.lit(None if kind is Loose.INTERVAL else value, dtype=dtype), True, value)


def computed(node: Node, kind: Type, expr: pl.Expr, *parts: Value) -> Value:
    """The result of an operation on `parts`: worked out now when all of them are constant."""
    if all(part.constant for part in parts):
        return constant(node, kind, pl.select(expr).to_series()[0])
    return Value(node, kind, expr)


def bind(body: Callable[..., pl.Expr], *exprs: pl.Expr) -> pl.Expr:
    """`body(x, ...)` with each of `exprs` computed once, however often `body` uses it: nested operations would cost
    2^depth otherwise.
    """
    fields = [pl.field(f"_{i}") for i in range(len(exprs))]
    bound = pl.struct([expr.alias(f"_{i}") for i, expr in enumerate(exprs)])
    return bound.struct.with_fields(body(*fields).alias("_")).struct.field("_")


def finite(expr: pl.Expr) -> pl.Expr:
    """NULL where a number is NaN or infinite: in polars `NaN >= 0.97` is TRUE."""
    return bind(lambda x: pl.when(x.is_finite()).then(x), expr)
