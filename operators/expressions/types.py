"""What an expression may name: columns with their types, and lists."""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may use. `event_type` is a STRING here, whatever its physical type in the frame."""

    columns: Mapping[str, Type]
    lists: Mapping[str, ListRef] = field(default_factory=dict)
