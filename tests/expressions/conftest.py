"""One scope for all tests of expressions, and a frame that fits it: full rows, NULL rows, and hostile numbers."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from operators.expressions import ListRef, Scope, Type, compile_expression

COLUMNS = {
    "text": Type.STRING,
    "account": Type.STRING,
    "ip": Type.STRING,
    "event_type": Type.STRING,
    "amount": Type.NUMBER,
    "authors_1d": Type.NUMBER,
    "posts_1h": Type.INTEGER,
    "logins": Type.INTEGER,
    "night": Type.BOOLEAN,
    "event_time": Type.TIMESTAMP,
    "created": Type.TIMESTAMP,
    "tags": Type.LIST,
}
LISTS = {"vip": ListRef("account", ("account",), 2), "bad_ips": ListRef("address", ("ip",), 63)}

Run = Callable[[str], list[object]]


@pytest.fixture
def scope() -> Scope:
    return Scope(COLUMNS, LISTS)


@pytest.fixture
def frame() -> pl.DataFrame:
    moments = [datetime(2026, 1, 5, 3, 30, tzinfo=UTC), None, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)]
    return pl.DataFrame(
        {
            "text": ["Free MONEY!", None, ""],
            "account": ["ann", None, "bob"],
            "ip": ["192.0.2.77", None, "not an address"],
            "event_type": pl.Series(["post", "pay", "post"], dtype=pl.Enum(["post", "pay"])),
            "amount": [12.5, None, -7.5],
            "authors_1d": [4.0, None, float("nan")],
            "posts_1h": pl.Series(
                [3.0, None, 0.0], dtype=pl.Float64
            ),  # features are Float64 in frames, whatever they count
            "logins": [2**63 - 1, None, -(2**63)],
            "night": [True, None, False],
            "event_time": pl.Series(moments, dtype=pl.Datetime("ms", "UTC")),
            "created": pl.Series([moments[2], None, moments[0]], dtype=pl.Datetime("ms", "UTC")),
            "tags": [["a", "b"], None, []],
            "__flags:account": pl.Series([4, None, 3], dtype=pl.UInt64),
            "__flags:address": pl.Series([2**63, 0, 2**63 - 1], dtype=pl.UInt64),
        }
    )


@pytest.fixture
def run(scope: Scope, frame: pl.DataFrame) -> Run:
    """The value of a text for each of the three rows; checks the promised type and length on the way."""

    def run_text(text: str) -> list[object]:
        compiled = compile_expression(text, scope)
        for rows in (frame, frame.head(1), frame.clear()):
            answer = rows.select(compiled.expr.alias("_")).to_series()
            assert answer.dtype == compiled.type.dtype
            assert len(answer) == rows.height
        return frame.select(compiled.expr.alias("_")).to_series().to_list()

    return run_text
