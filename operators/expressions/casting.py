"""CAST(value AS type): NULL where the value does not have the form of the type, never an error at run time."""

import polars as pl

from operators.expressions.errors import nearest
from operators.expressions.functions.unique import by_unique_text
from operators.expressions.literals import parse_timestamp
from operators.expressions.syntax import Cast
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, computed, finite

TYPE_NAMES = {
    **dict.fromkeys(("text", "string", "varchar", "char"), Type.STRING),
    **dict.fromkeys(("bigint", "integer", "int", "int64"), Type.INTEGER),
    **dict.fromkeys(("double", "float", "number", "real", "numeric", "decimal"), Type.NUMBER),
    **dict.fromkeys(("boolean", "bool"), Type.BOOLEAN),
    "timestamp": Type.TIMESTAMP,
}


def cast(context: Context, node: Cast, value: Value) -> Value:
    """`value` as another type. Raises ExpressionError for an unknown type and for a pair that has no meaning."""
    wanted = TYPE_NAMES.get(node.type_name)
    if wanted is None:
        place = Cast(node.type_start, node.type_end, 1, node.operand, "", 0, 0)
        hint = nearest(node.type_name, TYPE_NAMES) or "types: TEXT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP"
        raise context.error(place, f"unknown type `{node.type_name.upper()}`", hint)
    if value.type in (wanted, Loose.NULL):
        return computed(node, wanted, value.as_type(wanted), value)
    expr = as_text(value) if wanted is Type.STRING else _read(value, wanted)
    if expr is None:
        hint = "seconds between two timestamps: event_time - other" if value.type is Type.TIMESTAMP else ""
        raise context.error(node, f"{context.shown(value)} cannot become {wanted.value}", hint)
    return computed(node, wanted, expr, value)


def as_text(value: Value) -> pl.Expr | None:
    """The text of a value: numbers in their shortest form, timestamps in ISO 8601, booleans as true and false; None for
    lists and intervals.
    """
    if value.type is Type.STRING:
        return value.expr
    if value.type in (Type.INTEGER, Type.NUMBER, Type.BOOLEAN):
        return value.expr.cast(pl.String)
    return value.expr.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ") if value.type is Type.TIMESTAMP else None


def _read(value: Value, wanted: Type) -> pl.Expr | None:
    expr = value.expr
    match value.type, wanted:
        case Type.STRING, Type.NUMBER:
            return finite(expr.str.strip_chars().cast(pl.Float64, strict=False))
        case Type.STRING, Type.INTEGER:
            return expr.str.strip_chars().cast(pl.Int64, strict=False)
        case Type.STRING, Type.BOOLEAN:
            words = expr.str.strip_chars().str.to_lowercase()
            return words.replace_strict(
                {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False},
                default=None,
                return_dtype=pl.Boolean,
            )
        case Type.STRING, Type.TIMESTAMP:
            return by_unique_text(expr, parse_timestamp, Type.TIMESTAMP.dtype)
        case Type.NUMBER, Type.INTEGER:
            return expr.cast(pl.Int64, strict=False)
        case ((Type.INTEGER | Type.BOOLEAN), (Type.NUMBER | Type.INTEGER)):
            return expr.cast(wanted.dtype)
        case ((Type.INTEGER | Type.NUMBER), Type.BOOLEAN):
            return expr != 0
    return None
