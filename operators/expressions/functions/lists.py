"""contains_any and list_length, of a column of type list<string>; contains_any also of a text."""

import polars as pl

from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.types import Type


def _contains_any(args: Arguments) -> tuple[pl.Expr, Type]:
    """TRUE where the list holds one of the texts, or the text has one of them in it."""
    wanted = [args.literal_text(i, "each text looked for") for i in range(1, len(args))]
    for i, text in enumerate(wanted, 1):
        if not text:
            raise args.fail(i, "the empty text is in every text")
    if args.values[0].type is Type.LIST:
        known = pl.Series(wanted, dtype=pl.String).implode()
        return args.values[0].expr.list.eval(pl.element().is_in(known).fill_null(False)).list.any(), Type.BOOLEAN
    return args.text(0).str.contains_any(wanted), Type.BOOLEAN


def _list_length(args: Arguments) -> tuple[pl.Expr, Type]:
    if args.values[0].type is Type.STRING:
        raise args.fail(0, "list_length is of a list", "write length(...)")
    return args.of(0, Type.LIST).list.len().cast(pl.Int64), Type.INTEGER


FUNCTIONS = (
    Function("contains_any", "contains_any(text or list, 'text', ...)", 2, None, _contains_any),
    Function("list_length", "list_length(list)", 1, 1, _list_length),
)
