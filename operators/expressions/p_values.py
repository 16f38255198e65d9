"""p(feature): the conformal p-value of an event's feature, a column that observe adds beside the feature."""

import polars as pl

from operators.expressions.errors import ExpressionError, nearest
from operators.expressions.syntax import Call, Name
from operators.expressions.types import Type
from operators.expressions.values import Context, Value

FORM = "p(feature)"


def p_column(feature: str) -> str:
    """The column with the p-values of a feature."""
    return f"p({feature})"


def p_value(context: Context, node: Call) -> Value:
    """A number from 0 to 1, NULL where there is none. Raises ExpressionError for what is no feature with state."""
    if len(node.args) != 1:
        raise ExpressionError(
            f"p takes 1 argument, not {len(node.args)}", context.text, node.call_start, len(node.name), f"write {FORM}"
        )
    feature = node.args[0]
    ranked = context.scope.ranked
    if not isinstance(feature, Name):
        raise context.error(feature, "p asks about a feature, named without quotes", f"write {FORM}")
    if feature.name not in ranked:
        known = ", ".join(sorted(ranked)[:5])
        hint = nearest(feature.name, ranked) or (
            f"features that it ranks: {known}" if known else "this policy has no features here (features:)"
        )
        raise context.error(feature, f"p of `{feature.name}`, which is no feature that is kept for an entity", hint)
    column = p_column(feature.name)
    context.reads.setdefault(column, Type.NUMBER)
    return Value(node, Type.NUMBER, pl.when(pl.col(column).is_finite()).then(pl.col(column)))
