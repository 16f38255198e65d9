"""What a function of the language is: its name, how it is written, and how its arguments become a column expression."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from operators.expressions.errors import ExpressionError
from operators.expressions.syntax import Call
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call, already compiled. Every reader below raises ExpressionError with the place of the
    argument.
    """

    context: Context
    call: Call
    values: tuple[Value, ...]

    def __len__(self) -> int:
        return len(self.values)

    def fail(self, index: int, message: str, hint: str = "") -> ExpressionError:
        return self.context.error(self.values[index].node, message, hint)

    def of(self, index: int, wanted: Type, hint: str = "") -> pl.Expr:
        """The argument as a column of `wanted`."""
        value = self.values[index]
        if value.type in (wanted, Loose.NULL) or (wanted is Type.NUMBER and value.type is Type.INTEGER):
            return value.as_type(wanted)
        if not hint and wanted is Type.NUMBER and value.type is Type.STRING:
            hint = "write CAST(... AS DOUBLE) to read a text as a number"
        elif not hint and wanted is Type.STRING and isinstance(value.type, Type) and value.type is not Type.LIST:
            hint = "write CAST(... AS TEXT)"
        raise self.fail(index, f"{self.call.name} needs {wanted.value} here, this is {self.context.shown(value)}", hint)

    def text(self, index: int) -> pl.Expr:
        return self.of(index, Type.STRING)

    def literal_text(self, index: int, what: str) -> str:
        """The argument where it must be the same text for every event."""
        value = self.values[index]
        if not value.constant or not isinstance(value.value, str):
            raise self.fail(index, f"{what} of {self.call.name} must be a literal text", "write it in single quotes")
        return value.value

    def literal_integer(self, index: int, what: str, low: int, high: int) -> int:
        """The argument where it must be one whole number from `low` to `high`."""
        value = self.values[index]
        if (
            not value.constant
            or value.type is not Type.INTEGER
            or not isinstance(value.value, int)
            or not low <= value.value <= high
        ):
            raise self.fail(index, f"{what} of {self.call.name} must be a whole number from {low} to {high}")
        return value.value


@dataclass(frozen=True, slots=True)
class Function:
    """`form` is how it is written; it takes `least` to `most` arguments (None: any number). `build` gives the
    expression and its type.
    """

    name: str
    form: str
    least: int
    most: int | None
    build: Callable[[Arguments], tuple[pl.Expr, Type]]
