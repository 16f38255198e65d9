"""coalesce, nullif, greatest, least: one value out of several."""

import polars as pl

from operators.expressions.branching import common_type
from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.types import Type
from operators.expressions.values import bind


def _coalesce(args: Arguments) -> tuple[pl.Expr, Type]:
    """The first that is not NULL."""
    kind = _kind(args)
    return pl.coalesce([value.as_type(kind) for value in args.values]), kind


def _nullif(args: Arguments) -> tuple[pl.Expr, Type]:
    """NULL where the two are equal, else the first."""
    kind = _kind(args)
    if kind is Type.LIST:
        raise args.fail(0, "nullif does not compare lists")
    return bind(
        lambda a, b: pl.when((a == b).fill_null(False)).then(None).otherwise(a), *(v.as_type(kind) for v in args.values)
    ), kind


def _greatest(args: Arguments) -> tuple[pl.Expr, Type]:
    kind = _ordered(args)
    return pl.max_horizontal([value.as_type(kind) for value in args.values]), kind


def _least(args: Arguments) -> tuple[pl.Expr, Type]:
    kind = _ordered(args)
    return pl.min_horizontal([value.as_type(kind) for value in args.values]), kind


def _kind(args: Arguments) -> Type:
    return common_type(args.context, list(args.values), f"the arguments of {args.call.name}")


def _ordered(args: Arguments) -> Type:
    kind = _kind(args)
    if kind not in (Type.INTEGER, Type.NUMBER, Type.TIMESTAMP):
        raise args.fail(
            0, f"{args.call.name} needs numbers or timestamps, this is {args.context.shown(args.values[0])}"
        )
    return kind


FUNCTIONS = (
    Function("coalesce", "coalesce(value, value, ...)", 1, None, _coalesce),
    Function("nullif", "nullif(value, value)", 2, 2, _nullif),
    Function("greatest", "greatest(value, value, ...)", 1, None, _greatest),
    Function("least", "least(value, value, ...)", 1, None, _least),
)
"""greatest and least leave NULLs out, as in PostgreSQL: NULL only where all are."""
