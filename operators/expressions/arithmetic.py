"""+ - * / % and the minus sign. No result is ever NaN, infinite or wrapped around: it is NULL instead.

Whole numbers stay whole under + - * % (computed in 128 bits; NULL where 64 do not hold the result); / is always a
number. % has the sign of its left side, as in SQL. A timestamp minus a timestamp is seconds.
"""

import polars as pl

from operators.expressions.syntax import Node, Operator
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, bind, computed, constant, finite

_WIDE = pl.Int128()


def arithmetic(context: Context, node: Operator, left: Value, right: Value) -> Value:
    """The value of `left op right`. Raises ExpressionError where the types do not fit."""
    if left.type is Loose.NULL or right.type is Loose.NULL:
        raise context.error(node, f"`{node.op}` with NULL is always NULL", "leave it out")
    if Type.TIMESTAMP in (left.type, right.type):
        return _time(context, node, left, right)
    if not (left.numeric and right.numeric):
        raise _misfit(context, node, left, right)
    if left.type is Type.INTEGER and right.type is Type.INTEGER and node.op != "/":
        wide = _operate(node.op, left.expr.cast(_WIDE), right.expr.cast(_WIDE))
        return computed(node, Type.INTEGER, wide.cast(pl.Int64, strict=False), left, right)
    return computed(
        node,
        Type.NUMBER,
        finite(_operate(node.op, left.expr.cast(pl.Float64), right.expr.cast(pl.Float64))),
        left,
        right,
    )


def negative(context: Context, node: Node, operand: Value) -> Value:
    """- operand; NULL for the one whole number whose opposite does not fit."""
    if operand.type is Loose.INTERVAL:
        assert isinstance(operand.value, int)
        return constant(node, Loose.INTERVAL, -operand.value)
    if not operand.numeric:
        raise context.error(node, f"a minus sign needs a number, this is {context.shown(operand)}")
    if operand.type is Type.INTEGER:
        wide = pl.lit(0, dtype=_WIDE) - operand.expr.cast(_WIDE)
        return computed(node, Type.INTEGER, wide.cast(pl.Int64, strict=False), operand)
    return computed(node, Type.NUMBER, -operand.expr, operand)


def _operate(op: str, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    if op == "+":
        return a + b
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    return quotient(a, b) if op == "/" else bind(_remainder, a, b)


def quotient(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """a / b, correctly rounded. polars divides a column by a literal by multiplying with 1 / b, one bit off, except in
    a frame of one row: the answer would depend on where batches are cut.
    """
    return bind(lambda x, y: x / y, a, b)


def _remainder(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """polars' % has the sign of the right side."""
    floored = a % b
    return pl.when((b != 0) & (floored != 0) & ((a < 0) != (b < 0))).then(floored - b).when(b != 0).then(floored)


def _time(context: Context, node: Operator, left: Value, right: Value) -> Value:
    if node.op == "-" and left.type is right.type:
        seconds = quotient((left.expr - right.expr).dt.total_milliseconds().cast(pl.Float64), pl.lit(1_000.0))
        return computed(node, Type.NUMBER, seconds, left, right)
    moment, span = (left, right) if left.type is Type.TIMESTAMP else (right, left)
    if (
        isinstance(span.value, int)
        and span.type is Loose.INTERVAL
        and (node.op == "+" or (node.op == "-" and moment is left))
    ):
        step = pl.duration(milliseconds=span.value, time_unit="ms")
        return computed(node, Type.TIMESTAMP, moment.expr + step if node.op == "+" else moment.expr - step, left, right)
    raise _misfit(context, node, left, right)


def _misfit(context: Context, node: Operator, left: Value, right: Value) -> Exception:
    hint = ""
    kinds = {left.type, right.type}
    if Loose.INTERVAL in kinds:
        hint = "an interval is added to or taken from a timestamp: event_time - INTERVAL '1h'"
    elif Type.TIMESTAMP in kinds:
        hint = "write timestamp - timestamp (seconds) or timestamp + INTERVAL '1h'"
    elif node.op == "+" and Type.STRING in kinds:
        hint = "texts are joined by || or concat(...)"
    elif Type.STRING in kinds:
        hint = "write CAST(... AS DOUBLE) to read a text as a number"
    elif Type.BOOLEAN in kinds:
        hint = "write CAST(... AS BIGINT) to count TRUE as 1"
    return context.error(node, f"`{node.op}` does not work on {context.shown(left)} and {context.shown(right)}", hint)
