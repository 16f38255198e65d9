"""lower, upper, trim, length, concat, contains, starts_with, ends_with: of characters, case-sensitive."""

from collections.abc import Sequence

import polars as pl

from operators.expressions.casting import as_text
from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.syntax import Node
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, computed


def _lower(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.to_lowercase(), Type.STRING


def _upper(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.to_uppercase(), Type.STRING


def _trim(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.strip_chars(), Type.STRING


def _length(args: Arguments) -> tuple[pl.Expr, Type]:
    """Characters (code points), not bytes."""
    if args.values[0].type is Type.LIST:
        raise args.fail(0, "length is of a text", "write list_length(...)")
    return args.text(0).str.len_chars().cast(pl.Int64), Type.INTEGER


def _concat(args: Arguments) -> tuple[pl.Expr, Type]:
    return _joined(args.context, "concat", args.values), Type.STRING


def joined(context: Context, node: Node, values: Sequence[Value]) -> Value:
    """a || b."""
    return computed(node, Type.STRING, _joined(context, "||", values), *values)


def _joined(context: Context, name: str, values: Sequence[Value]) -> pl.Expr:
    """NULL if any part is NULL: ("a", NULL) must not become the same key as ("a", "")."""
    parts: list[pl.Expr] = []
    for value in values:
        part = pl.lit(None, dtype=pl.String) if value.type is Loose.NULL else as_text(value)
        if part is None:
            raise context.error(value.node, f"{name} does not join {context.shown(value)}")
        parts.append(part)
    return pl.concat_str(parts, ignore_nulls=False)


def _contains(args: Arguments) -> tuple[pl.Expr, Type]:
    if args.values[0].type is Type.LIST:
        raise args.fail(0, "contains looks into a text", "write contains_any(list, 'text')")
    return args.text(0).str.contains(args.text(1), literal=True), Type.BOOLEAN


def _starts_with(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.starts_with(args.text(1)), Type.BOOLEAN


def _ends_with(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.ends_with(args.text(1)), Type.BOOLEAN


FUNCTIONS = (
    Function("lower", "lower(text)", 1, 1, _lower),
    Function("upper", "upper(text)", 1, 1, _upper),
    Function("trim", "trim(text)", 1, 1, _trim),
    Function("length", "length(text)", 1, 1, _length),
    Function("concat", "concat(value, value, ...)", 1, None, _concat),
    Function("contains", "contains(text, part)", 2, 2, _contains),
    Function("starts_with", "starts_with(text, beginning)", 2, 2, _starts_with),
    Function("ends_with", "ends_with(text, ending)", 2, 2, _ends_with),
)
