"""Table columns to typed columns: whole columns at once, and value by value only where a column is not of the declared
type."""

from decimal import Decimal

import numpy as np
import orjson
import polars as pl

from operators.decode_columns import (
    Column,
    Faults,
    Where,
    column_from_values,
    decimals_from_texts,
    decimals_of,
    floats_of,
    ids_from_texts,
    ids_from_values,
    integer_too_large,
    ips_from_texts,
    timestamps,
)
from operators.decode_times import times_from_column, times_from_texts

_WHOLE = r"^-?[0-9]+$"
_NUMBER = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?$"


def column_from_series(column: pl.Series, where: Where) -> Column:
    """A typed column of a table's column (parquet). Floats that are NaN or infinite are missing, as nowhere in JSON."""
    column = _plain(column)
    kind, dtype = where.spec.type, column.dtype
    if dtype == pl.Null:
        return column_from_values(column.to_list(), where)
    if kind == "timestamp":
        return timestamps(*times_from_column(column, where.spec.unit), where)
    if (kind == "string" and dtype == pl.String) or (kind == "boolean" and dtype == pl.Boolean):
        return column, {}
    if kind == "ip" and dtype == pl.String:
        return ips_from_texts(column, where)
    if kind == "integer" and dtype.is_integer():
        return _narrow(column, where)
    if kind in ("float", "decimal") and dtype.is_numeric():
        numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        if kind == "float":
            return floats_of(numbers), {}
        return decimals_of(np.where(np.isfinite(numbers), numbers, np.nan), where)
    if kind == "decimal" and dtype == pl.String:
        return decimals_from_texts(column, where)
    if (
        kind == "list<string>"
        and dtype == pl.List(pl.String)
        and not column.list.eval(pl.element().is_null()).list.any().any()
    ):
        return column, {}
    return column_from_values(_as_json(column), where)


def column_from_texts(texts: pl.Series, where: Where) -> Column:
    """A typed column of cells that are text (CSV); an empty cell is already NULL. Numbers as JSON writes them, true and
    false in any case or 1 and 0, a list as a JSON array."""
    match where.spec.type:
        case "string":
            return texts, {}
        case "integer":
            return _narrow(_only(texts, texts.str.contains(_WHOLE)), where, texts)
        case "float":
            numbers = _only(texts, texts.str.contains(_NUMBER)).cast(pl.Float64, strict=False)
            return floats_of(numbers.fill_null(np.nan).to_numpy()), _not_read(texts, numbers, "a number", where)
        case "decimal":
            return decimals_from_texts(texts, where)
        case "boolean":
            truths = boolean_texts(texts)
            return truths, _not_read(texts, truths, "true or false", where)
        case "ip":
            return ips_from_texts(texts, where)
        case "timestamp":
            return timestamps(*times_from_texts(texts, where.spec.unit), where)
    lists = {text: _text_list(text) for text in texts.drop_nulls().unique().to_list()}
    column = pl.Series([lists.get(text) for text in texts.to_list()], dtype=pl.List(pl.String))
    return column, _not_read(texts, column, 'a JSON array of strings such as ["a", "b"]', where)


def ids_from_series(column: pl.Series, pointer: str) -> Column:
    """Event ids of a table's column as text."""
    column = _plain(column)
    if column.dtype == pl.String:
        return ids_from_texts(column, pointer)
    if column.dtype.is_integer():
        return ids_from_texts(column.cast(pl.String), pointer)
    return ids_from_values(_as_json(column), pointer)


def boolean_texts(texts: pl.Series) -> pl.Series:
    """TRUE for `true` (any case) and `1`, FALSE for `false` and `0`, NULL for everything else."""
    low = texts.str.to_lowercase()
    truths = low.is_in(["true", "1"])
    return _only(truths, low.is_in(["true", "1", "false", "0"]))


def json_of_rows(table: pl.DataFrame) -> list[bytes]:
    """Each row as a JSON object: what stands in for the record's bytes in its hash and its dead letter. 0.4 us a
    row."""
    if table.width and all(_simple(dtype) for dtype in table.dtypes):
        texts = table.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        return texts.cast(pl.Binary).to_list()
    return [orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS) for row in table.iter_rows(named=True)]


def _simple(dtype: pl.DataType) -> bool:
    return dtype in (
        pl.String,
        pl.Boolean,
        pl.Int64,
        pl.Int32,
        pl.Int16,
        pl.Int8,
        pl.UInt32,
        pl.UInt16,
        pl.UInt8,
        pl.Float64,
    )


def _plain(column: pl.Series) -> pl.Series:
    return column.cast(pl.String) if isinstance(column.dtype, pl.Categorical | pl.Enum) else column


def _as_json(column: pl.Series) -> list[object]:
    """Values as JSON would bring them: NaN is missing, a decimal is a number."""
    if column.dtype.is_float():
        column = floats_of(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return [float(value) if isinstance(value, Decimal) else value for value in column.to_list()]


def _narrow(column: pl.Series, where: Where, texts: pl.Series | None = None) -> Column:
    narrow = column.cast(pl.Int64, strict=False)
    faults: Faults = {}
    if narrow.null_count() > column.null_count():
        for position in (narrow.is_null() & column.is_not_null()).arg_true().to_list():
            faults[position] = integer_too_large(where)
    return narrow, faults if texts is None else faults | _not_read(texts, column, "an integer", where)


def _not_read(texts: pl.Series, column: pl.Series, what: str, where: Where) -> Faults:
    if column.null_count() == texts.null_count():
        return {}
    fault = where.fault(
        "wrong_type",
        f"is a cell that is not {what}, the policy says {where.spec.type}",
        "fix the producer, or declare the field as string",
    )
    return dict.fromkeys((column.is_null() & texts.is_not_null()).arg_true().to_list(), fault)


def _only(column: pl.Series, keep: pl.Series) -> pl.Series:
    return column.zip_with(keep.fill_null(False), column.clear(len(column)))


def _text_list(text: str) -> list[str] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None
