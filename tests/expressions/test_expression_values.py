"""What each operator gives for full, NULL and hostile rows (see conftest for the frame)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from operators.expressions import Scope, Type, compile_expression

Run = Callable[[str], list[object]]

LARGEST = 2**63 - 1
N = None
CASES: list[tuple[str, list[object]]] = [
    # Comparisons; NaN was put in the third row of authors_1d
    ("amount > 1", [True, N, False]),
    ("authors_1d >= 0.97", [True, N, N]),
    ("authors_1d", [4.0, N, N]),
    ("posts_1h = 3", [True, N, False]),
    ("posts_1h < 2.5", [False, N, True]),
    ("event_type = 'post'", [True, False, True]),
    ("event_type != 'nothing'", [True, True, True]),
    ("account < 'b'", [True, N, False]),
    ("night = FALSE", [False, N, True]),
    ("Amount<>12.5 -- comment", [False, N, True]),
    ("amount BETWEEN -8 AND 0", [False, N, True]),
    ("amount NOT BETWEEN -8 AND 0", [True, N, False]),
    ("5 BETWEEN amount AND 20", [False, N, True]),
    ("posts_1h IN (1, 3)", [True, N, False]),
    ("posts_1h IN (0.5, 0)", [False, N, True]),
    ("logins NOT IN (9223372036854775807)", [False, N, True]),
    ("'ann' IN (account, 'x')", [True, N, False]),
    ("account IN ('ann', text)", [True, N, False]),
    ("amount IS NULL", [False, True, False]),
    ("amount IS NOT NULL", [True, False, True]),
    ("night IS TRUE", [True, False, False]),
    ("night IS NOT TRUE", [False, True, True]),
    ("night IS FALSE", [False, False, True]),
    ("(amount > 1) IS NULL", [False, True, False]),
    # Three truth values
    ("night AND amount > 100", [False, N, False]),
    ("night AND TRUE", [True, N, False]),
    ("amount IS NULL OR night", [True, True, False]),
    ("amount IS NOT NULL AND night", [True, False, False]),
    ("NOT night", [False, N, True]),
    ("night AND NULL", [N, N, False]),
    ("night OR NULL", [True, N, N]),
    # LIKE
    ("text LIKE 'Free%'", [True, N, False]),
    ("text LIKE '%MONEY_'", [True, N, False]),
    ("text LIKE '%'", [True, N, True]),
    ("text LIKE ''", [False, N, True]),
    ("text LIKE 'free%'", [False, N, False]),
    ("text ILIKE 'free%y!'", [True, N, False]),
    ("text NOT LIKE '%(%'", [True, N, True]),
    ("'a.c*' LIKE 'a._*' AND NOT 'abc*' LIKE 'a._*'", [True, True, True]),
    ("'x\ny' LIKE 'x%y'", [True, True, True]),
    # Arithmetic
    ("amount * 2", [25.0, N, -15.0]),
    ("amount / 0", [N, N, N]),
    ("0 / amount", [0.0, N, 0.0]),
    ("7 / 2", [3.5, 3.5, 3.5]),
    ("posts_1h / 2", [1.5, N, 0.0]),
    ("posts_1h % 2", [1, N, 0]),
    ("posts_1h % 0", [N, N, N]),
    ("-7 % 3", [-1, -1, -1]),
    ("7 % -3", [1, 1, 1]),
    ("amount % 5", [2.5, N, -2.5]),
    ("amount % 0", [N, N, N]),
    ("logins + 1", [N, N, -LARGEST]),
    ("logins - 1", [LARGEST - 1, N, N]),
    ("logins * 2", [N, N, N]),
    ("- logins", [-LARGEST, N, N]),
    ("abs(logins)", [LARGEST, N, N]),
    ("logins % -1", [0, N, 0]),
    ("1e308 * 10", [N, N, N]),
    ("1 / (amount * 1e308)", [N, N, N]),
    ("1 + 2 * 3 - 4", [3, 3, 3]),
    ("2 - 1 - 1", [0, 0, 0]),
    ("-2 * +3", [-6, -6, -6]),
    ("account || '/' || posts_1h", ["ann/3", N, "bob/0"]),
    # Time
    ("event_time - created", [1767583800.001, N, -1767583800.001]),
    ("event_time > TIMESTAMP '2026-01-05T04:00:00+01:00'", [True, N, False]),
    ("event_time = TIMESTAMP '2026-01-05 03:30'", [True, N, False]),
    ("event_time - INTERVAL '3h 30m' = TIMESTAMP '2026-01-05'", [True, N, False]),
    ("INTERVAL 2 days + created > event_time", [False, N, True]),
    ("created + - INTERVAL '1ms' = TIMESTAMP '1969-12-31T23:59:59.998Z'", [True, N, False]),
    # CASE and CAST
    ("CASE WHEN night THEN 'n' WHEN amount < 0 THEN 'neg' ELSE 'none' END", ["n", "none", "neg"]),
    ("CASE WHEN night THEN 1 END", [1, N, N]),
    ("CASE WHEN night THEN 1 ELSE 2.5 END", [1.0, 2.5, 2.5]),
    ("CASE account WHEN 'ann' THEN 1 WHEN text THEN 2 ELSE 3 END", [1, 3, 3]),
    ("CASE WHEN NULL THEN 1 ELSE NULL END", [N, N, N]),
    ("CAST('12.5' AS DOUBLE)", [12.5] * 3),
    ("CAST(account AS BIGINT)", [N, N, N]),
    ("TRY_CAST(' 42 ' AS INTEGER)", [42] * 3),
    ("CAST('nan' AS DOUBLE)", [N, N, N]),
    ("CAST('1e999' AS DOUBLE)", [N, N, N]),
    ("CAST(-2.7 AS INT)", [-2] * 3),
    ("CAST(1e300 AS BIGINT)", [N, N, N]),
    ("CAST('True' AS BOOLEAN)", [True] * 3),
    ("CAST(text AS BOOLEAN)", [N, N, N]),
    ("CAST(night AS BIGINT)", [1, N, 0]),
    ("CAST(posts_1h AS BOOLEAN)", [True, N, False]),
    ("CAST(event_time AS TEXT)", ["2026-01-05T03:30:00.000Z", N, "1969-12-31T23:59:59.999Z"]),
    ("CAST('2026-01-05T04:30+01:00' AS TIMESTAMP) = event_time", [True, N, False]),
    ("CAST('soon' AS TIMESTAMP)", [N, N, N]),
    # Lists of entities
    ("in_list(account, 'vip')", [True, False, False]),
    ("NOT in_list(account, 'vip')", [False, True, True]),
    ("in_list(ip, 'bad_ips')", [True, False, False]),
    ("in_list(address, 'bad_ips')", [True, False, False]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_value(text: str, expected: list[object], run: Run) -> None:
    assert run(text) == expected


def test_timestamps_come_back_as_utc_milliseconds(run: Run) -> None:
    moments = run("event_time + INTERVAL '1 week'")
    assert moments[0] == datetime(2026, 1, 12, 3, 30, tzinfo=UTC)
    assert run("TIMESTAMP '2026-01-05T03:30:00.123456'")[0] == datetime(2026, 1, 5, 3, 30, tzinfo=UTC) + timedelta(
        milliseconds=123
    )


def test_reads_and_lists_in_order_of_appearance(scope: Scope) -> None:
    compiled = compile_expression(
        "night OR amount > 1 AND in_list(account, 'vip') OR lower(text) = 'a' OR amount > 3 OR in_list(ip, 'bad_ips')",
        scope,
    )
    assert compiled.reads == ("night", "amount", "text")
    assert compiled.lists == ("vip", "bad_ips")
    assert compiled.flags == ("__flags:account", "__flags:address")
    assert compiled.reason_columns == (*compiled.reads, *compiled.flags)
    assert compile_expression("CASE WHEN amount > 1 THEN text ELSE account END", scope).reads == (
        "amount",
        "text",
        "account",
    )


def test_canonical_text_is_free_of_spacing_case_comments_and_parentheses(scope: Scope) -> None:
    texts = [
        "NOT in_list(account,'vip') AND Amount >= 3.50 AND (night OR text LIKE 'A%')",
        "not IN_LIST( ACCOUNT , 'vip' )\n and ((amount)>=3.5 /* why */ AND (NIGHT or (\"text\" like 'A%')))",
    ]
    canonical = {compile_expression(text, scope).canonical for text in texts}
    assert canonical == {"(NOT in_list(account, 'vip')) AND (amount >= 3.5) AND (night OR (text LIKE 'A%'))"}
    for other in (
        "amount > 3",
        "amount > 3.0",
        "amount - (1 - 2) > 3",
        "(amount - 1) - 2 > 3",
        "text = 'A'",
        "text = 'a'",
    ):
        canonical.add(compile_expression(other, scope).canonical)
    assert len(canonical) == 7


@pytest.mark.parametrize(
    "text", ["x / 103", "103 / x", "x % 7.3", "x / y", "x * 0.1 - y / 3", "round(x, 1)", "ln(x)", "power(x, 0.3)"]
)
def test_no_answer_depends_on_how_many_rows_are_computed_together(text: str) -> None:
    compiled = compile_expression(text, Scope({"x": Type.NUMBER, "y": Type.NUMBER}), Type.NUMBER)
    frame = pl.DataFrame({"x": [3.0 + i / 7 for i in range(50)], "y": [0.1 * i for i in range(50)]})
    together = frame.select(compiled.expr.alias("_"))["_"].to_list()
    assert together == [frame.slice(i, 1).select(compiled.expr.alias("_"))["_"][0] for i in range(50)]
    if text == "x / 103":
        assert together == [x / 103 for x in frame["x"]]


def test_deep_arithmetic_is_linear_not_exponential(scope: Scope, frame: pl.DataFrame) -> None:
    text = "amount" + " / authors_1d" * 60
    assert frame.select(compile_expression(text, scope).expr).height == 3
    text = "CASE WHEN amount % 7 > 1 THEN 1 ELSE " * 30 + "2" + " END" * 30
    assert frame.select(compile_expression(text, scope).expr).height == 3
    text = "nullif(" * 60 + "amount" + ", 1)" * 60
    assert frame.select(compile_expression(text, scope).expr).height == 3


def test_many_branches_and_values(scope: Scope, frame: pl.DataFrame) -> None:
    text = "CASE " + " ".join(f"WHEN amount>{i} THEN {i}" for i in range(150)) + " END"
    assert frame.select(compile_expression(text, scope).expr.alias("_"))["_"].to_list() == [0, None, None]
    text = "posts_1h IN (" + ", ".join(map(str, range(800))) + ")"
    assert frame.select(compile_expression(text, scope).expr.alias("_"))["_"].to_list() == [True, None, True]


def test_whole_numbers_stay_whole_except_under_division(scope: Scope) -> None:
    assert compile_expression("posts_1h + 1", scope).type is Type.INTEGER
    assert compile_expression("posts_1h + 1", scope, Type.NUMBER).expr is not None
    assert compile_expression("posts_1h / 1", scope).type is Type.NUMBER
