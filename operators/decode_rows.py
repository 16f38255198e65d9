"""Records and table rows behind one face: what an event spec asks of them, answered a column at a time."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import polars as pl

from operators.decode_columns import Column, Where, column_from_values, ids_from_values
from operators.decode_tables import boolean_texts, column_from_series, column_from_texts, ids_from_series
from operators.decode_times import Milliseconds, Wrong, times_from_column, times_from_values
from operators.pointer import Path, parse_pointer
from schemas.policy import Scalar

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


class Rows(Protocol):
    """Rows to decode: n records or the n rows of a table."""

    def __len__(self) -> int: ...

    def take(self, indices: Indices) -> "Rows":
        """The rows at `indices`, in that order."""
        ...

    def is_any(self, pointer: str, accepted: Sequence[Scalar]) -> Mask:
        """Where the value at `pointer` equals one of `accepted`; numbers equal numbers, and never booleans or
        strings."""
        ...

    def ids(self, pointer: str) -> Column:
        """Event ids as text."""
        ...

    def times(self, pointer: str, unit: str) -> tuple[Milliseconds, Wrong]:
        """Milliseconds since 1970, `NO_TIME` where missing or wrong."""
        ...

    def field(self, where: Where) -> Column:
        """One typed column."""
        ...


class JsonRows:
    """Rows of JSON values by pointer: `columns[pointer][row]`, None where missing."""

    def __init__(self, columns: Mapping[str, Sequence[object]], count: int, picked: list[int] | None = None) -> None:
        self._columns = columns
        self._count = count
        self._picked = picked

    def __len__(self) -> int:
        return self._count

    def take(self, indices: Indices) -> "JsonRows":
        picked = indices.tolist()
        if self._picked is not None:
            picked = [self._picked[i] for i in picked]
        return JsonRows(self._columns, len(picked), picked)

    def _column(self, pointer: str) -> Sequence[object]:
        column = self._columns[pointer]
        if self._picked is None:
            return column
        return itemgetter(*self._picked)(column) if self._count > 1 else [column[i] for i in self._picked]

    def is_any(self, pointer: str, accepted: Sequence[Scalar]) -> Mask:
        return _values_in(self._column(pointer), accepted)

    def ids(self, pointer: str) -> Column:
        return ids_from_values(self._column(pointer), pointer)

    def times(self, pointer: str, unit: str) -> tuple[Milliseconds, Wrong]:
        return times_from_values(self._column(pointer), unit)

    def field(self, where: Where) -> Column:
        return column_from_values(self._column(where.pointer), where)


class TableRows:
    """Rows of a table. The column `a.b`, or the field b of a struct column `a`, stands at `/a/b`.

    With `text` every cell is text that is parsed to the declared type, and an empty cell is missing.
    """

    def __init__(self, table: pl.DataFrame, text: bool) -> None:
        self._table = table
        self._text = text

    def __len__(self) -> int:
        return self._table.height

    def take(self, indices: Indices) -> "TableRows":
        return TableRows(self._table[indices], self._text)

    def is_any(self, pointer: str, accepted: Sequence[Scalar]) -> Mask:
        column = self._column(parse_pointer(pointer))
        if self._text:
            texts = {_cell(value) for value in accepted if isinstance(value, str | bool)}
            numbers = [
                float(value) for value in accepted if isinstance(value, int | float) and not isinstance(value, bool)
            ]
            found = column.is_in(sorted(texts))
            if any(isinstance(value, bool) for value in accepted):
                found |= boolean_texts(column).is_in([value for value in accepted if isinstance(value, bool)])
            if numbers:
                found |= column.cast(pl.Float64, strict=False).is_in(numbers)
            return found.fill_null(False).to_numpy()
        if column.dtype == pl.String:
            texts = {value for value in accepted if isinstance(value, str)}
            return column.is_in(sorted(texts)).fill_null(False).to_numpy()
        return _values_in(column.to_list(), accepted)

    def ids(self, pointer: str) -> Column:
        return ids_from_series(self._column(parse_pointer(pointer)), pointer)

    def times(self, pointer: str, unit: str) -> tuple[Milliseconds, Wrong]:
        return times_from_column(self._column(parse_pointer(pointer)), unit)

    def field(self, where: Where) -> Column:
        column = self._column(parse_pointer(where.pointer))
        return column_from_texts(column, where) if self._text else column_from_series(column, where)

    def _column(self, path: Path) -> pl.Series:
        for cut in range(len(path), 0, -1):
            name = ".".join(path[:cut])
            if name in self._table.columns:
                column = _field_of(self._table[name], path[cut:])
                return _without_empty(column) if self._text else column
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, self._table.height)


def _field_of(column: pl.Series, path: Path) -> pl.Series:
    for step in path:
        if not isinstance(column.dtype, pl.Struct) or step not in column.struct.fields:
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(column))
        column = column.struct.field(step)
    return column


def _without_empty(column: pl.Series) -> pl.Series:
    empty = (column == "").fill_null(False)
    return column.zip_with(~empty, column.clear(len(column))) if empty.any() else column


def _values_in(values: Sequence[object], accepted: Sequence[Scalar]) -> Mask:
    if all(isinstance(value, str) for value in accepted):
        try:
            return np.fromiter(map(frozenset(accepted).__contains__, values), dtype=np.bool_, count=len(values))
        except TypeError:
            pass  # a list or an object where a text is expected: not hashable
    wanted = {_comparable(value) for value in accepted}
    scalars = (str, int, float, bool)
    return np.array([type(value) in scalars and _comparable(value) in wanted for value in values], dtype=np.bool_)


def _comparable(value: object) -> tuple[str, object]:
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return kind, value


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
