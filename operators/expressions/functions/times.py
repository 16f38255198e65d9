"""hour and weekday of a timestamp, in UTC."""

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.types import Type


def _hour(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.of(0, Type.TIMESTAMP).dt.hour().cast(pl.Int64), Type.INTEGER


def _weekday(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.of(0, Type.TIMESTAMP).dt.weekday().cast(pl.Int64), Type.INTEGER


FUNCTIONS = (
    Function("hour", "hour(timestamp)", 1, 1, _hour),
    Function("weekday", "weekday(timestamp)", 1, 1, _weekday),
)
"""hour: 0 to 23; weekday: 1 (Monday) to 7."""
