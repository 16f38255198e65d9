"""= != < <= > >=, IN, BETWEEN, LIKE, IS: what gives a boolean. NULL on either side gives NULL, except for IS."""

import polars as pl

from operators.expressions.functions.patterns import like_expression
from operators.expressions.syntax import Operator
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, bind, computed

_SAME_ORDER = (Type.STRING, Type.BOOLEAN, Type.TIMESTAMP)


def compare(context: Context, node: Operator, left: Value, right: Value) -> Value:
    """`left op right`. Raises ExpressionError where the two cannot be compared."""
    _check_pair(context, node, left, right)
    if node.op not in ("=", "!=") and left.type is Type.BOOLEAN:
        raise context.error(node, f"`{node.op}` does not order TRUE and FALSE", "write = or !=")
    return computed(node, Type.BOOLEAN, _compared(node.op, left.expr, right.expr), left, right)


def between(context: Context, node: Operator, value: Value, low: Value, high: Value) -> Value:
    """Both bounds included; FALSE also where one bound is NULL and the other one already excludes the value."""
    for bound in (low, high):
        _check_pair(context, node, value, bound)
    if value.type is Type.BOOLEAN:
        raise context.error(node, "BETWEEN does not order TRUE and FALSE", "write = or !=")
    if low.constant and high.constant and low.value is not None and high.value is not None and low.value > high.value:  # type: ignore[operator]
        raise context.error(node, "BETWEEN with the larger bound first is never TRUE", "write the smaller bound first")
    return computed(node, Type.BOOLEAN, value.expr.is_between(low.expr, high.expr), value, low, high)


def membership(context: Context, node: Operator, value: Value, items: list[Value]) -> Value:
    """IN over values: TRUE where one is equal; NULL where none is and something compared is NULL."""
    for item in items:
        if item.constant and item.value is None:
            raise context.error(item.node, "a NULL in a list of values is never equal to anything", "leave it out")
        _check_pair(context, node, value, item)
    fixed = [item.value for item in items if item.constant]
    others = [item.expr for item in items if not item.constant]
    mixed = {value.type, *(item.type for item in items)} == {Type.INTEGER, Type.NUMBER}
    dtype = Type.NUMBER.dtype if mixed else value.type.dtype  # type: ignore[union-attr]
    known = pl.Series(fixed, dtype=dtype, strict=False).implode()

    def found(x: pl.Expr, *rest: pl.Expr) -> pl.Expr:
        tests = [x.cast(dtype).is_in(known)] if fixed else []
        return pl.any_horizontal([*tests, *(x == other for other in rest)])

    return computed(
        node,
        Type.BOOLEAN,
        bind(found, value.expr, *others) if others else value.expr.cast(dtype).is_in(known),
        value,
        *items,
    )


def like(context: Context, node: Operator, value: Value, pattern: Value) -> Value:
    """% is any text, _ one character; the pattern is a literal. ILIKE ignores case."""
    if value.type not in (Type.STRING, Loose.NULL):
        raise context.error(value.node, f"{node.op.upper()} needs a string on its left, this is {context.shown(value)}")
    if not pattern.constant or not isinstance(pattern.value, str):
        raise context.error(
            pattern.node,
            f"the pattern of {node.op.upper()} must be a literal text",
            "write it in single quotes: text LIKE '%free%'",
        )
    return computed(
        node, Type.BOOLEAN, like_expression(value.as_type(Type.STRING), pattern.value, node.op == "ilike"), value
    )


def state(context: Context, node: Operator, value: Value) -> Value:
    """IS NULL, IS TRUE, IS FALSE: never NULL."""
    if value.type is Loose.INTERVAL or (node.op != "is null" and value.type not in (Type.BOOLEAN, Loose.NULL)):
        raise context.error(
            value.node, f"{node.op.upper()} does not work on {context.shown(value)}", "write a comparison"
        )
    if node.op == "is null":
        return computed(node, Type.BOOLEAN, value.expr.is_null(), value)
    truth = value.as_type(Type.BOOLEAN)
    expr = truth if node.op == "is true" else ~truth
    return computed(node, Type.BOOLEAN, expr.fill_null(False), value)


def _compared(op: str, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    match op:
        case "=":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case _:
            return a >= b


def _check_pair(context: Context, node: Operator, left: Value, right: Value) -> None:
    sign = node.op.upper()
    if Loose.NULL in (left.type, right.type):
        raise context.error(node, f"`{sign}` with NULL is never TRUE", "write IS NULL or IS NOT NULL")
    if (left.numeric and right.numeric) or (left.type is right.type and left.type in _SAME_ORDER):
        return
    kinds, hint = {left.type, right.type}, ""
    text = next((value for value in (left, right) if value.type is Type.STRING), None)
    if Type.LIST in kinds:
        hint = "write contains_any(list, 'text') or list_length(list) > 0"
    elif Loose.INTERVAL in kinds:
        span = left if left.type is Loose.INTERVAL else right
        assert isinstance(span.value, int)
        hint = f"the difference of two timestamps is in seconds: write {span.value / 1_000:g}"
    elif text is not None and text.constant and Type.TIMESTAMP in kinds:
        hint = "write TIMESTAMP '...'"
    elif text is not None and kinds & {Type.INTEGER, Type.NUMBER}:
        hint = (
            "write the number without quotes"
            if text.constant
            else "write the value in single quotes, or CAST(... AS DOUBLE) to read the text as a number"
        )
    elif text is not None and Type.BOOLEAN in kinds and text.constant:
        hint = "write TRUE or FALSE without quotes"
    elif Type.BOOLEAN in kinds and kinds & {Type.INTEGER, Type.NUMBER}:
        hint = "write = TRUE or = FALSE"
    raise context.error(node, f"`{sign}` cannot compare {context.shown(left)} with {context.shown(right)}", hint)
