"""in_list(account, 'vip'): is the entity of this event on the list? Lists are bits in the rows of entities."""

import polars as pl

from operators.expressions.errors import ExpressionError, nearest
from operators.expressions.syntax import Call, Literal, Name
from operators.expressions.types import Type
from operators.expressions.values import Context, Value


def flags_column(kind: str) -> str:
    """The UInt64 column with the list bits of an event's entity of `kind`."""
    return f"__flags:{kind}"


def in_list(context: Context, node: Call) -> Value:
    """TRUE or FALSE, never NULL: no entity is on no list. Raises ExpressionError for unknown lists and for a column
    that is not the list's.
    """
    form = "in_list(column, 'list')"
    if len(node.args) != 2:
        raise ExpressionError(
            f"in_list takes 2 arguments, not {len(node.args)}",
            context.text,
            node.call_start,
            len(node.name),
            f"write {form}",
        )
    entity, name = node.args
    if not isinstance(name, Literal) or not isinstance(name.value, str):
        raise context.error(name, "the list must be named by a literal text", f"write {form}")
    found = context.scope.lists.get(name.value)
    if found is None:
        known = ", ".join(sorted(context.scope.lists)[:5])
        hint = nearest(name.value, context.scope.lists, "'") or (
            f"lists of this policy: {known}" if known else "this policy has no lists (lists:)"
        )
        raise context.error(name, f"unknown list '{name.value}'", hint)
    if not isinstance(entity, Name):
        raise context.error(entity, "in_list asks about an entity, named by its column", f"write {form}")
    if entity.name != found.kind and entity.name not in found.key:
        hint = f"write in_list({found.key[0] if found.key else found.kind}, '{name.value}')"
        raise context.error(entity, f"list '{name.value}' is of {found.kind}, not of `{entity.name}`", hint)
    context.lists[name.value] = None
    bit = pl.lit(1 << found.bit, dtype=pl.UInt64)
    return Value(node, Type.BOOLEAN, (pl.col(flags_column(found.kind)).fill_null(0) & bit) != 0)
