"""Tables decode to what the same records would: parquet by columns, CSV by parsing cells."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import orjson
import polars as pl
import pytest

from operators.decode import Decoded, Decoder, decode_table
from operators.decode_tables import json_of_rows
from tests.decode.conftest import MS, Decode, post

BASE = {"kind": "post", "id": "e1", "ts": MS, "author.id": "anna"}


def table(decoder: Decoder, rows: pl.DataFrame, text: bool = False) -> Decoded:
    return decode_table(rows, np.arange(rows.height), ("t.parquet", 0), decoder, text)


def test_parquet_equals_json(decoder: Decoder, decode: Decode) -> None:
    records = [
        post(
            id=f"e{i}",
            text="t" * i,
            likes=i,
            score=i / 3,
            price=i / 4,
            bot=i % 2 == 0,
            ip=f"::ffff:10.0.0.{i}",
            tags=["a"] * i,
        )
        for i in range(7)
    ]
    for number, nested in enumerate((False, True)):
        rows = pl.DataFrame(records)
        if not nested:
            rows = rows.with_columns(pl.col("author").struct.field("id").alias("author.id")).drop("author")
        batch = table(decoder, rows)
        assert batch.frame.equals(decode(*records).frame), number
        assert not batch.dead


def test_columns_of_other_dtypes(decoder: Decoder) -> None:
    day = dt.datetime(2024, 1, 2, 3, 4, 5, 678_900)
    zone = pl.Series([day]).dt.replace_time_zone("Europe/Berlin")
    rows = pl.DataFrame(
        {
            "kind": pl.Series(["post"], dtype=pl.Categorical),
            "id": pl.Series([7], dtype=pl.UInt32),
            "ts": pl.Series([day], dtype=pl.Datetime("ns")),
            "likes": pl.Series([200], dtype=pl.UInt8),
            "score": pl.Series([float("nan")]),
            "price": pl.Series([Decimal("1.50")]),
            "joined": zone,
            "text": pl.Series(["x"], dtype=pl.Categorical),
            "tags": pl.Series([None], dtype=pl.Null),
        }
    )
    batch = table(decoder, rows)
    assert not batch.dead
    row = batch.frame.row(0, named=True)
    assert row["event_id"] == "7" and row["event_time"] == dt.datetime(2024, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
    assert row["joined"] == dt.datetime(2024, 1, 2, 2, 4, 5, 678_000, tzinfo=dt.UTC)
    assert (row["likes"], row["score"], row["price"], row["text"], row["tags"]) == (200, None, 1.5, "x", None)


@pytest.mark.parametrize(
    ("column", "value", "detail"),
    [
        ("text", pl.Series([5]), "field text at /text is an integer, the policy says string"),
        (
            "likes",
            pl.Series([5.0]),
            "field likes at /likes is a number with a fraction or exponent, the policy says integer",
        ),
        ("likes", pl.Series([2**63], dtype=pl.UInt64), "field likes at /likes is an integer beyond 64 bits"),
        ("score", pl.Series(["0.5"]), "field score at /score is a string, the policy says float"),
        ("bot", pl.Series([1]), "field bot at /bot is an integer, the policy says boolean"),
        ("ip", pl.Series(["host"]), "field ip at /ip is a string that is not an IP address, the policy says ip"),
        (
            "tags",
            pl.Series([["a", None]]),
            "field tags at /tags is a list that holds null, the policy says list<string>",
        ),
        ("text", pl.Series([b"raw"]), "field text at /text is a value of kind bytes, the policy says string"),
        (
            "price",
            pl.Series([float("inf"), 0.001])[1:],
            "field price at /price has more than 2 decimals, the policy says scale 2",
        ),
    ],
)
def test_wrong_columns(decoder: Decoder, column: str, value: pl.Series, detail: str) -> None:
    good = table(decoder, pl.DataFrame(BASE))
    bad = table(decoder, pl.DataFrame(BASE).with_columns(value.alias(column)))
    assert good.frame.height == 1 and bad.frame.height == 0
    [dead] = bad.dead
    assert (dead.detail, dead.field, dead.event_id) == (detail, column, "e1")
    assert json.loads(dead.payload)["id"] == "e1"


CELLS = {"kind": "post", "id": "e1", "ts": str(MS)}


def csv(decoder: Decoder, **cells: str) -> Decoded:
    return table(decoder, pl.DataFrame({**CELLS, **cells}), text=True)


def test_cells_are_parsed(decoder: Decoder) -> None:
    batch = csv(
        decoder,
        text=" a ",
        likes="-5",
        score="1e-3",
        price="3.10",
        bot="TRUE",
        ip="::1",
        joined="2024-01-01",
        tags='["a","b"]',
    )
    assert not batch.dead
    row = batch.frame.row(0, named=True)
    assert (row["text"], row["likes"], row["score"], row["price"], row["bot"]) == (" a ", -5, 0.001, 3.1, True)
    assert (row["ip"], row["joined"], row["tags"]) == ("::1", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), ["a", "b"])


def test_empty_cells_are_missing(decoder: Decoder) -> None:
    batch = csv(decoder, text="", likes="", score="", price="", bot="", ip="", joined="", tags="")
    assert not batch.dead and batch.frame.select("text", "likes", "tags").row(0) == (None, None, None)
    assert csv(decoder, id="").dead[0].reason == "missing_id"
    assert csv(decoder, ts="").dead[0].reason == "missing_time"


def test_when_in_cells(decoder: Decoder) -> None:
    rows = pl.DataFrame({"kind": ["pay"] * 4, "v": ["2", "2.0", "x", ""], "tx": list("abcd"), "at": ["2024-01-01"] * 4})
    assert table(decoder, rows, text=True).frame["event_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "cell", "detail"),
    [
        ("likes", "3.0", "field likes at /likes is a cell that is not an integer, the policy says integer"),
        ("likes", "9" * 20, "field likes at /likes is an integer beyond 64 bits"),
        ("score", "nan", "field score at /score is a cell that is not a number, the policy says float"),
        ("score", "1_0", "field score at /score is a cell that is not a number, the policy says float"),
        ("bot", "yes", "field bot at /bot is a cell that is not true or false, the policy says boolean"),
        (
            "tags",
            "a;b",
            'field tags at /tags is a cell that is not a JSON array of strings such as ["a", "b"], '
            "the policy says list<string>",
        ),
        (
            "price",
            "$5",
            "field price at /price is a string that is not a number such as 12.50, the policy says decimal",
        ),
    ],
)
def test_wrong_cells(decoder: Decoder, column: str, cell: str, detail: str) -> None:
    assert [dead.detail for dead in csv(decoder, **{column: cell}).dead] == [detail]


def test_large_rows(decoder: Decoder) -> None:
    rows = pl.DataFrame({**CELLS, "text": ["x", "y" * 5_000, "z"]})
    batch = table(decoder, rows.with_columns(pl.Series("id", ["a", "b", "c"])), text=True)
    assert batch.frame["event_id"].to_list() == ["a", "c"] and batch.frame["__offset"].to_list() == [0, 2]
    assert [dead.reason for dead in batch.dead] == ["too_large"]


def test_rows_as_json_are_what_orjson_writes() -> None:
    rows = pl.DataFrame({"a": ['q"\0é', None], "b": [1, -2], "c": [True, None]})
    assert [orjson.loads(line) for line in json_of_rows(rows)] == rows.to_dicts()
    odd = rows.with_columns(pl.Series("d", [dt.date(2024, 1, 1), None]))
    assert orjson.loads(json_of_rows(odd)[0])["d"] == "2024-01-01"


def test_no_rows(decoder: Decoder) -> None:
    assert table(decoder, pl.DataFrame(BASE).clear()).frame.height == 0
    assert table(decoder, pl.DataFrame()).frame.height == 0
