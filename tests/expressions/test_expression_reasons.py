"""What a person is told: why a condition is TRUE or not, what would have turned it, and the one line of a verdict."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.expressions import Scope, Type, compile_expression, explain, reason_text

TIME = datetime(2026, 1, 5, 3, 30, tzinfo=UTC)
ROW: dict[str, object] = {
    "text": "secret words",
    "account": "ann",
    "amount": 12.5,
    "authors_1d": 4.0,
    "posts_1h": 3.0,
    "night": True,
    "event_time": TIME,
    "created": None,
    "__flags:account": 0,
}


def flips(text: str, scope: Scope, **values: object) -> list[str]:
    return explain(compile_expression(text, scope, Type.BOOLEAN), {**ROW, **values}).flips


def test_terms_have_text_answer_and_values(scope: Scope) -> None:
    compiled = compile_expression("authors_1d >= 3 AND NOT in_list(account, 'vip') AND created > event_time", scope)
    explanation = explain(compiled, ROW)
    assert explanation.fired is None
    assert [(term.text, term.value, term.operands) for term in explanation.terms] == [
        ("authors_1d >= 3", True, [("authors_1d", 4.0)]),
        ("NOT in_list(account, 'vip')", True, []),
        ("created > event_time", None, [("created", None), ("event_time", TIME)]),
    ]
    assert explanation.flips == ["it would fire if `created > event_time` were true"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("NOT (NOT night)", [("night", True)]),
        ("NOT (night AND amount > 20)", [("NOT night", False), ("NOT amount > 20", True)]),
        ("account NOT IN ('ann', 'bob')", [("NOT account IN ('ann', 'bob')", False)]),
        ("amount NOT BETWEEN 1 AND 2 AND created IS NOT NULL",
         [("NOT amount BETWEEN 1 AND 2", True), ("NOT created IS NULL", False)]),
        ("NOT created > event_time", [("NOT created > event_time", None)]),
        ("night OR NOT night OR night", [("night", True), ("NOT night", False)]),
    ],
)  # fmt: skip
def test_a_term_under_not_is_shown_as_it_counts(scope: Scope, text: str, terms: list[tuple[str, bool | None]]) -> None:
    """TRUE speaks for the condition, whatever stands around the term."""
    compiled = compile_expression(text, scope, Type.BOOLEAN)
    assert [(term.text, term.value) for term in explain(compiled, ROW).terms] == terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("account NOT LIKE 'a%'", ["it would fire if `account LIKE 'a%'` were false"]),
        ("posts_1h >= 3", ["it would not fire if posts_1h were 2 or less"]),
        ("posts_1h > 2", ["it would not fire if posts_1h were 2 or less"]),
        ("posts_1h > 2.5", ["it would not fire if posts_1h were 2 or less"]),
        ("posts_1h > 3", ["it would fire if posts_1h were 4 or more"]),
        ("authors_1d >= 3", ["it would not fire if authors_1d were below 3"]),
        ("3 <= authors_1d", ["it would not fire if authors_1d were below 3"]),
        ("NOT authors_1d > 3", ["it would fire if authors_1d were 3 or less"]),
        ("amount / 2 > 100", ["it would fire if amount / 2 were above 100"]),
        ("amount BETWEEN 10 AND 20", ["it would not fire if amount were not between 10 and 20"]),
        ("posts_1h IN (5, 6)", ["it would fire if posts_1h were one of 5, 6"]),
        ("account = 'bob'", ["it would fire if account were 'bob'"]),
        ("event_time < TIMESTAMP '2026-01-01'", ["it would fire if event_time were before 2026-01-01T00:00:00.000Z"]),
        (
            "night AND NOT in_list(account, 'vip')",
            ["it would not fire if night were false", "it would not fire if account were in list vip"],
        ),
        ("created IS NULL", ["it would not fire if created were present"]),
        (
            "created > event_time - INTERVAL '1d' AND night",
            ["it would fire if `created > event_time - INTERVAL '1d'` were true"],
        ),
        (
            "regexp_like(text, 'x') OR NOT night",
            ["it would fire if `regexp_like(text, 'x')` were true", "it would fire if night were false"],
        ),
        ("amount > 20 AND posts_1h > 5", ["it would fire if amount were above 20 and posts_1h were 6 or more"]),
        ("amount > 1 OR posts_1h > 1", ["it would not fire if amount were 1 or less and posts_1h were 1 or less"]),
        # A change of a column changes every condition on it: nothing is promised that cannot be
        ("amount > 20 AND amount < 5", []),
        ("amount > 5 AND amount < 10", ["it would fire if amount were below 10"]),
        ("account = 'a' AND account = 'b'", []),
        ("TRUE OR night", []),
    ],
)  # fmt: skip
def test_flips(text: str, expected: list[str], scope: Scope) -> None:
    assert flips(text, scope) == expected


def test_a_value_or_a_row_that_is_missing(scope: Scope) -> None:
    assert flips("authors_1d >= 3", scope, authors_1d=None) == ["it would fire if authors_1d were 3 or more"]
    explanation = explain(compile_expression("in_list(account, 'vip') OR amount > 1", scope), {})
    assert explanation.fired is None
    assert explain(compile_expression("event_time > created", scope), {"event_time": 5, "created": 3}).fired is True


def test_explain_needs_a_condition(scope: Scope) -> None:
    with pytest.raises(ValueError, match="only a condition can be explained, `amount` is a number"):
        explain(compile_expression("amount", scope), ROW)


NUMBERS = Scope({"a": Type.NUMBER, "b": Type.INTEGER})
leaf = st.builds(
    "{} {} {}".format, st.sampled_from("ab"), st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), st.integers(-3, 3)
)
trees = st.recursive(
    leaf,
    lambda t: (
        st.builds("({} AND {})".format, t, t) | st.builds("({} OR {})".format, t, t) | st.builds("(NOT {})".format, t)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(trees, st.none() | st.integers(-4, 4), st.none() | st.integers(-4, 4))
def test_the_answer_of_an_explanation_is_the_answer_of_the_rule(text: str, a: int | None, b: int | None) -> None:
    compiled = compile_expression(text, NUMBERS, Type.BOOLEAN)
    frame = pl.DataFrame({"a": [a], "b": [b]}, schema={"a": pl.Float64, "b": pl.Int64})
    explanation = explain(compiled, {"a": a, "b": b})
    assert explanation.fired is frame.select(compiled.expr.alias("_"))["_"][0]
    # A rule that can be turned by one column alone has a way out or is told to need none.
    assert all(
        sentence.startswith("it would not fire" if explanation.fired else "it would fire")
        for sentence in explanation.flips
    )


def told(text: str, scope: Scope, **values: Any) -> str:
    return reason_text(compile_expression(text, scope, Type.BOOLEAN), {**ROW, **values})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("authors_1d >= 3 AND NOT in_list(account, 'vip')", "authors_1d 4 (>= 3), not in list vip"),
        ("NOT authors_1d < 3", "authors_1d 4 (>= 3)"),
        ("amount > 100 OR posts_1h > 1", "posts_1h 3 (> 1)"),
        ("NOT (amount > 100 OR posts_1h > 100)", "amount 12.5 (<= 100), posts_1h 3 (<= 100)"),
        ("night", "night"),
        ("NOT night IS NULL AND created IS NULL", "night present, created missing"),
        ("regexp_like(text, 'secret') AND account = 'ann'", "text matched, account matched"),
        ("NOT contains(text, 'x') AND account != 'x'", "text did not match, account matched"),
        ("length(text) > 5", "length(text) > 5"),
        ("amount / posts_1h > 2", "amount / posts_1h > 2"),
        ("amount > posts_1h", "amount > posts_1h (amount 12.5, posts_1h 3)"),
        ("event_time > TIMESTAMP '2026-01-01'", "event_time 2026-01-05T03:30:00.000Z (> 2026-01-01T00:00:00.000Z)"),
        (
            "amount BETWEEN 10 AND 20 AND posts_1h NOT IN (1, 2)",
            "amount 12.5 (between 10 and 20), posts_1h 3 (not in 1, 2)",
        ),
        ("amount > 100 OR regexp_like(text, 'a')", "text matched"),
        ("regexp_like(account, 'a') OR regexp_like(text, 'a')", "account matched or text matched"),
        ("TRUE", "TRUE"),
    ],
)  # fmt: skip
def test_reason(text: str, expected: str, scope: Scope) -> None:
    assert told(text, scope) == expected


def test_reason_of_texts_joined_by_or_is_exact_with_the_leaves_columns(scope: Scope, frame: pl.DataFrame) -> None:
    compiled = compile_expression("regexp_like(account, 'zzz') OR contains(text, 'MONEY') OR amount > 100", scope)
    rows = frame.select(*compiled.reason_columns, *compiled.reason_exprs).rows(named=True)
    assert reason_text(compiled, rows[0]) == "text matched"


def test_no_text_of_the_event_is_in_a_reason(scope: Scope) -> None:
    for text in (
        "text = 'secret words'",
        "text IN ('secret words', 'b')",
        "lower(text) LIKE 'secret%'",
        "text BETWEEN 'a' AND 'z'",
        "text || account > 'a'",
    ):
        assert "secret" not in told(text, scope)
