"""Random conditions and sums against plain Python, and random trees against sqlglot's reading of SQL."""

import math
import operator
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from operators.expressions import ExpressionError, Scope, Type, compile_expression
from operators.expressions.parsing import parse
from operators.expressions.syntax import canonical

SCOPE = Scope(
    {"p": Type.BOOLEAN, "q": Type.BOOLEAN, "x": Type.NUMBER, "y": Type.NUMBER, "i": Type.INTEGER, "j": Type.INTEGER}
)

Row = dict[str, Any]
Meaning = tuple[str, Callable[[Row], Any]]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def both(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def flip(a: bool | None) -> bool | None:
    return None if a is None else not a


def either(a: bool | None, b: bool | None) -> bool | None:
    return flip(both(flip(a), flip(b)))


def whole(op: str, a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return None
    if op == "%":
        result = 0 if b == 0 else int(math.copysign(1, a)) * (abs(a) % abs(b))
        return None if b == 0 else result
    result = {"+": a + b, "-": a - b, "*": a * b}[op]
    return result if -(2**63) <= result < 2**63 else None


def real(op: str, a: float | None, b: float | None) -> float | None:
    if a is None or b is None or (op == "/" and b == 0):
        return None
    result = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[op](a, b)
    return result if math.isfinite(result) else None


def binary(op: str, a: Meaning, b: Meaning, function: Callable[[Any, Any], Any]) -> Meaning:
    return f"({a[0]} {op} {b[0]})", lambda row: function(a[1](row), b[1](row))


def column(name: str) -> Meaning:
    return name, lambda row: row[name]


reals = st.recursive(
    st.sampled_from([column("x"), column("y")]) | st.floats(0, 1e300).map(lambda v: (repr(v), lambda row: v)),
    lambda inner: st.builds(
        lambda op, a, b: binary(op, a, b, lambda m, n: real(op, m, n)), st.sampled_from("+-*/"), inner, inner
    ),
    max_leaves=6,
)
wholes = st.recursive(
    st.sampled_from([column("i"), column("j")]) | st.integers(0, 2**63 - 1).map(lambda v: (repr(v), lambda row: v)),
    lambda inner: st.builds(
        lambda op, a, b: binary(op, a, b, lambda m, n: whole(op, m, n)), st.sampled_from("+-*%"), inner, inner
    ),
    max_leaves=6,
)


def comparison(op: str, a: Meaning, b: Meaning) -> Meaning:
    return binary(op, a, b, lambda m, n: None if m is None or n is None else COMPARE[op](m, n))


def missing(a: Meaning) -> Meaning:
    return f"({a[0]} IS NULL)", lambda row: a[1](row) is None


def truth(a: Meaning) -> Meaning:
    return f"({a[0]} IS TRUE)", lambda row: a[1](row) is True


def negation(a: Meaning) -> Meaning:
    return f"(NOT {a[0]})", lambda row: flip(a[1](row))


atoms = (
    st.sampled_from([column("p"), column("q")])
    | st.builds(comparison, st.sampled_from(list(COMPARE)), reals, reals)
    | st.builds(comparison, st.sampled_from(list(COMPARE)), wholes, wholes)
    | reals.map(missing)
    | wholes.map(missing)
)
conditions = st.recursive(
    atoms,
    lambda inner: (
        inner.map(negation)
        | inner.map(truth)
        | st.builds(lambda a, b: binary("AND", a, b, both), inner, inner)
        | st.builds(lambda a, b: binary("OR", a, b, either), inner, inner)
    ),
    max_leaves=8,
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
integers = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
rows = st.fixed_dictionaries(
    {
        "p": st.sampled_from([True, False, None]),
        "q": st.sampled_from([True, False, None]),
        "x": numbers,
        "y": numbers,
        "i": integers,
        "j": integers,
    }
)


@settings(deadline=None, max_examples=150)
@given(conditions, st.lists(rows, min_size=1, max_size=6))
def test_conditions_have_three_truth_values(condition: Meaning, data: list[Row]) -> None:
    text, meaning = condition
    frame = pl.DataFrame(data, schema={name: kind.dtype for name, kind in SCOPE.columns.items()})
    compiled = compile_expression(text, SCOPE, Type.BOOLEAN)
    assert frame.select(compiled.expr.alias("_"))["_"].to_list() == [meaning(row) for row in data]


@settings(deadline=None, max_examples=100)
@given(reals | wholes, st.lists(rows, min_size=1, max_size=6))
def test_arithmetic_is_null_where_no_finite_number_fits(sum_: Meaning, data: list[Row]) -> None:
    text, meaning = sum_
    frame = pl.DataFrame(data, schema={name: kind.dtype for name, kind in SCOPE.columns.items()})
    answers = frame.select(compile_expression(text, SCOPE).expr.alias("_"))["_"].to_list()
    assert answers == [meaning(row) for row in data]


NAMES = {
    exp.And: "and", exp.Or: "or", exp.Not: "not", exp.Neg: "neg", exp.DPipe: "||",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%",
    exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.In: "in", exp.Between: "between", exp.Like: "like",
}  # fmt: skip


def as_sqlglot(node: Any) -> object:
    """sqlglot's tree as nested lists."""
    if isinstance(node, exp.Paren):
        return as_sqlglot(node.this)
    if isinstance(node, exp.Column | exp.Literal):
        return node.name
    if isinstance(node, exp.Is):
        return ["is null", as_sqlglot(node.this)]
    parts = [node.this, *([node.expression] if "expression" in node.args else [])]
    parts += [*node.args.get("expressions", []), *([node.args["low"], node.args["high"]] if "low" in node.args else [])]
    return [NAMES[type(node)], *map(as_sqlglot, parts)]


def as_ours(node: Any) -> object:
    if hasattr(node, "op"):
        parts = [as_ours(arg) for arg in node.args]
        while node.op in ("and", "or") and len(parts) > 2:  # sqlglot has two operands each
            parts = [[node.op, *parts[:2]], *parts[2:]]
        return [node.op, *parts]
    return node.name if hasattr(node, "name") else str(node.value)


pieces = st.sampled_from(["a", "b", "c", "1", "2.5", "'t'", "(a)", "- a", "NOT a"])
signs = st.sampled_from(
    [
        " AND ",
        " OR ",
        " = ",
        " < ",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " || ",
        " AND NOT ",
        " IS NULL AND ",
        " IN (1, b) OR ",
        " BETWEEN 1 AND ",
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(pieces, signs), max_size=7), pieces)
def test_what_is_accepted_reads_as_sql_does(parts: list[tuple[str, str]], last: str) -> None:
    text = "".join(piece + sign for piece, sign in parts) + last
    try:
        ours = parse(text)
    except ExpressionError:
        return
    assert as_ours(ours) == as_sqlglot(sqlglot.parse_one(text)), text


@settings(deadline=None, max_examples=200)
@given(conditions)
def test_canonical_text_reads_as_itself(condition: Meaning) -> None:
    once = canonical(parse(condition[0]))
    assert canonical(parse(once)) == once


WORDS = "p q x i ( ) , ' \" + - * / % = < AND OR NOT IN IS NULL CASE WHEN THEN END CAST AS 1 .5 || lower"


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS.split())).map(" ".join))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    try:
        compile_expression(text, SCOPE)
    except ExpressionError as error:
        assert str(error).replace("\n", "").isprintable()
        assert 0 <= error.position <= len(text)


@pytest.mark.parametrize("text", ["p AND q OR p", "NOT p AND q"])
def test_and_binds_tighter_than_or_and_not_tighter_than_and(text: str) -> None:
    assert canonical(parse(text)) in ("(p AND q) OR p", "(NOT p) AND q")
