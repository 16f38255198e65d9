"""abs, round, floor, ceil, ln, log10, sqrt, power: NULL where the result is not a finite number (ln(0), sqrt(-1),
power(10, 999)).
"""

from collections.abc import Callable

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.types import Type
from operators.expressions.values import finite


def _abs(args: Arguments) -> tuple[pl.Expr, Type]:
    number = args.of(0, Type.NUMBER)
    if args.values[0].type is Type.INTEGER:  # in 128 bits: the smallest whole number has no opposite in 64
        return args.values[0].expr.cast(pl.Int128).abs().cast(pl.Int64, strict=False), Type.INTEGER
    return number.abs(), Type.NUMBER


def _round(args: Arguments) -> tuple[pl.Expr, Type]:
    """Half away from zero, to `digits` decimals (0 to 15)."""
    number = args.of(0, Type.NUMBER)
    digits = args.literal_integer(1, "the number of digits", 0, 15) if len(args) == 2 else 0
    if args.values[0].type is Type.INTEGER:
        return args.values[0].expr, Type.INTEGER
    return finite(number.round(digits, mode="half_away_from_zero")), Type.NUMBER


def _real(operation: Callable[[pl.Expr], pl.Expr]) -> Callable[[Arguments], tuple[pl.Expr, Type]]:
    def build(args: Arguments) -> tuple[pl.Expr, Type]:
        return finite(operation(args.of(0, Type.NUMBER))), Type.NUMBER

    return build


def _power(args: Arguments) -> tuple[pl.Expr, Type]:
    return finite(args.of(0, Type.NUMBER).pow(args.of(1, Type.NUMBER))), Type.NUMBER


FUNCTIONS = (
    Function("abs", "abs(number)", 1, 1, _abs),
    Function("round", "round(number [, digits])", 1, 2, _round),
    Function("floor", "floor(number)", 1, 1, _real(pl.Expr.floor)),
    Function("ceil", "ceil(number)", 1, 1, _real(pl.Expr.ceil)),
    Function("ln", "ln(number)", 1, 1, _real(pl.Expr.log)),
    Function("log10", "log10(number)", 1, 1, _real(pl.Expr.log10)),
    Function("sqrt", "sqrt(number)", 1, 1, _real(pl.Expr.sqrt)),
    Function("power", "power(base, exponent)", 2, 2, _power),
)
