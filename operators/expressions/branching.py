"""CASE: the first branch whose condition is TRUE; a NULL condition is not TRUE."""

import polars as pl

from operators.expressions.syntax import Case
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, bind, computed


def common_type(context: Context, values: list[Value], what: str) -> Type:
    """The one type of all `values`; whole numbers and numbers together are numbers. Raises ExpressionError at the first
    that differs.
    """
    typed = [value for value in values if value.type is not Loose.NULL]
    if not typed:
        raise context.error(values[0].node, f"{what} are all NULL")
    for value in typed:
        if value.type is Loose.INTERVAL:
            raise context.error(value.node, "an interval can only be added to or taken from a timestamp")
        if value.type is not typed[0].type and not (value.numeric and typed[0].numeric):
            raise context.error(
                value.node,
                f"{what} must have one type: this is {context.shown(value)}, the first is {context.shown(typed[0])}",
            )
    kinds = {value.type for value in typed}
    found = Type.NUMBER if Type.NUMBER in kinds else typed[0].type
    assert isinstance(found, Type)
    return found


def conditional(
    context: Context, node: Case, tests: list[Value], results: list[Value], otherwise: list[Value]
) -> Value:
    """CASE WHEN test THEN result ... ELSE otherwise END; NULL without ELSE (`otherwise` holds one value or none)."""
    for test in tests:
        if test.type not in (Type.BOOLEAN, Loose.NULL):
            raise context.error(
                test.node, f"WHEN needs a condition, this is {context.shown(test)}", "write a comparison"
            )
    kind = common_type(context, results + otherwise, "the results of CASE")
    rest = otherwise[0].as_type(kind) if otherwise else pl.lit(None, dtype=kind.dtype)
    for test, result in zip(reversed(tests), reversed(results), strict=True):
        rest = pl.when(test.as_type(Type.BOOLEAN)).then(result.as_type(kind)).otherwise(rest)
    return computed(node, kind, rest, *tests, *results, *otherwise)


def matched(
    context: Context, node: Case, subject: Value, keys: list[Value], results: list[Value], otherwise: list[Value]
) -> Value:
    """CASE subject WHEN key THEN result: the first branch whose key is equal to the subject."""
    same = common_type(context, [subject, *keys], "the subject and the keys of CASE")
    kind = common_type(context, results + otherwise, "the results of CASE")
    count = len(keys)

    def body(x: pl.Expr, *rest: pl.Expr) -> pl.Expr:
        chain = rest[2 * count] if otherwise else pl.lit(None, dtype=kind.dtype)
        for i in reversed(range(count)):
            chain = pl.when(x == rest[i]).then(rest[count + i]).otherwise(chain)
        return chain

    parts = [
        subject.as_type(same),
        *(key.as_type(same) for key in keys),
        *(result.as_type(kind) for result in results + otherwise),
    ]
    return computed(node, kind, bind(body, *parts), subject, *keys, *results, *otherwise)
