"""What an expression may name: columns with their types, lists, and models."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

import polars as pl


class Type(Enum):
    """Type of a column or of an expression. The value is what a person reads in an error."""

    STRING = "a string"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    TIMESTAMP = "a timestamp"
    LIST = "a list of strings"

    @property
    def dtype(self) -> pl.DataType:
        """The polars type of a column of this type."""
        return _DTYPES[self]

    @property
    def numeric(self) -> bool:
        return self in (Type.INTEGER, Type.NUMBER)


_DTYPES: dict[Type, pl.DataType] = {
    Type.STRING: pl.String(),
    Type.INTEGER: pl.Int64(),
    Type.NUMBER: pl.Float64(),
    Type.BOOLEAN: pl.Boolean(),
    Type.TIMESTAMP: pl.Datetime("ms", "UTC"),
    Type.LIST: pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class ListRef:
    """A list of entities: bit `bit` of the column `__flags:<kind>`. `key` are the key columns of the kind."""

    kind: str
    key: tuple[str, ...]
    bit: int


class ThresholdError(ValueError):
    """An operating point that has no number; the text says why."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


Threshold = Callable[[str, float], float | None]
"""From an operating point (`precision`, 0.95) to its number, None where the model is not known. Raises ThresholdError."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may use. `event_type` is a STRING here, whatever its physical type in the frame."""

    columns: Mapping[str, Type]
    lists: Mapping[str, ListRef] = field(default_factory=dict)
    models: Mapping[str, Threshold] = field(default_factory=dict)
    """Models by name, as what turns an operating point into a number."""
    ranked: Collection[str] = ()
    """Features that have p-values."""
