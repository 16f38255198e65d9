"""Simple conditions on one value, readable without a frame: does a row meet it, how is it said, which value would meet
it.

Four sentences each: `holds` (NULL in, NULL out), `said` (the condition or its opposite, after "if X were"), `shown`
(for reasons, without any text of the event), `meeting` (the value nearest to the bound that gives a wanted truth, None
where there is no one value).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any, cast

from operators.expressions.types import Type

Row = Mapping[str, object]

_TESTS = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`subject op bound`, the bound a constant. `column` is None where the subject is more than a column."""

    subject: str
    column: str | None
    type: Type
    op: str
    bound: object

    def holds(self, row: Row) -> bool | None:
        value = row.get(self.column or "")
        return None if value is None else bool(_TESTS[self.op](cast(Any, value), cast(Any, self.bound)))

    def said(self, truth: bool) -> str:
        op, bound = self._whole(self.op if truth else _OPPOSITE[self.op])
        text = written(bound)
        if self.type is Type.TIMESTAMP:
            words = {
                "=": f"at {text}",
                "!=": f"not at {text}",
                "<": f"before {text}",
                "<=": f"at {text} or earlier",
                ">": f"after {text}",
                ">=": f"at {text} or later",
            }
        else:
            words = {
                "=": text,
                "!=": f"not {text}",
                "<": f"below {text}",
                "<=": f"{text} or less",
                ">": f"above {text}",
                ">=": f"{text} or more",
            }
        return f"{self.subject} were {words[op]}"

    def shown(self, row: Row, truth: bool) -> str:
        if self.type is Type.STRING:
            return matched(self.subject, truth)
        condition = f"{self.op if truth else _OPPOSITE[self.op]} {written(self.bound)}"
        return valued(self.subject, self.column, row, condition)

    def meeting(self, truth: bool) -> object:
        op, bound = self._whole(self.op if truth else _OPPOSITE[self.op])
        if op in ("=", "<=", ">="):
            return bound
        up = op == ">"
        if isinstance(bound, datetime):
            return bound + timedelta(milliseconds=1 if up else -1) if op in "<>" else None
        if isinstance(bound, (int, float)) and op in "<>" and self.type is not Type.BOOLEAN:
            return math.nextafter(bound, math.inf if up else -math.inf)
        return not bound if isinstance(bound, bool) else None

    def _whole(self, op: str) -> tuple[str, object]:
        """For whole numbers every bound can be named by a number that may be reached: > 2 is 3 or more."""
        if self.type is not Type.INTEGER or not isinstance(self.bound, (int, float)) or op in ("=", "!="):
            return op, self.bound
        if op in (">", ">="):
            return ">=", math.floor(self.bound) + 1 if op == ">" else math.ceil(self.bound)
        return "<=", math.ceil(self.bound) - 1 if op == "<" else math.floor(self.bound)


@dataclass(frozen=True, slots=True)
class Between:
    """`subject BETWEEN low AND high`, both bounds the same for every event."""

    subject: str
    column: str | None
    type: Type
    low: object
    high: object

    def holds(self, row: Row) -> bool | None:
        value = row.get(self.column or "")
        return None if value is None else bool(self.low <= value <= self.high)  # type: ignore[operator]

    def said(self, truth: bool) -> str:
        inside = f"between {written(self.low)} and {written(self.high)}"
        return f"{self.subject} were {inside}" if truth else f"{self.subject} were not {inside}"

    def shown(self, row: Row, truth: bool) -> str:
        if self.type is Type.STRING:
            return matched(self.subject, truth)
        return valued(
            self.subject,
            self.column,
            row,
            f"{'' if truth else 'not '}between {written(self.low)} and {written(self.high)}",
        )

    def meeting(self, truth: bool) -> object:
        return self.low if truth else None


@dataclass(frozen=True, slots=True)
class OneOf:
    """`subject IN (values)`, all the same for every event."""

    subject: str
    column: str | None
    type: Type
    values: tuple[object, ...]

    def holds(self, row: Row) -> bool | None:
        value = row.get(self.column or "")
        return None if value is None else value in self.values

    def said(self, truth: bool) -> str:
        return f"{self.subject} were {'' if truth else 'not '}one of {self._list()}"

    def shown(self, row: Row, truth: bool) -> str:
        if self.type is Type.STRING:
            return matched(self.subject, truth)
        return valued(self.subject, self.column, row, f"{'in' if truth else 'not in'} {self._list()}")

    def meeting(self, truth: bool) -> object:
        return self.values[0] if truth else None

    def _list(self) -> str:
        return ", ".join(map(written, self.values[:5])) + (", ..." if len(self.values) > 5 else "")


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean column by itself."""

    column: str

    def holds(self, row: Row) -> bool | None:
        value = row.get(self.column)
        return None if value is None else bool(value)

    def said(self, truth: bool) -> str:
        return f"{self.column} were {'true' if truth else 'false'}"

    def shown(self, row: Row, truth: bool) -> str:
        return self.column if truth else f"not {self.column}"

    def meeting(self, truth: bool) -> object:
        return truth


@dataclass(frozen=True, slots=True)
class Missing:
    """`subject IS NULL`."""

    subject: str
    column: str | None

    def holds(self, row: Row) -> bool | None:
        return row.get(self.column or "") is None

    def said(self, truth: bool) -> str:
        return f"{self.subject} were {'missing' if truth else 'present'}"

    def shown(self, row: Row, truth: bool) -> str:
        return f"{self.subject} {'missing' if truth else 'present'}"

    def meeting(self, truth: bool) -> object:
        return None


@dataclass(frozen=True, slots=True)
class Membership:
    """in_list(entity, 'name'); `column` holds the list bits."""

    entity: str
    name: str
    column: str
    bit: int

    def holds(self, row: Row) -> bool | None:
        flags = row.get(self.column)
        return bool(isinstance(flags, int) and flags >> self.bit & 1)

    def said(self, truth: bool) -> str:
        return f"{self.entity} were {'' if truth else 'not '}in list {self.name}"

    def shown(self, row: Row, truth: bool) -> str:
        return f"{'' if truth else 'not '}in list {self.name}"

    def meeting(self, truth: bool) -> object:
        return None


Bound = Comparison | Between | OneOf | Flag | Missing | Membership


def matched(subject: str, truth: bool) -> str:
    """What a reason says about a text of the event: never the text."""
    return f"{subject} {'matched' if truth else 'did not match'}"


def valued(subject: str, column: str | None, row: Row, condition: str) -> str:
    """`authors_1d 4 (>= 3)`; without a column the condition alone."""
    return f"{subject} {written(row.get(column))} ({condition})" if column else f"{subject} {condition}"


def written(value: object) -> str:
    """How a person reads a value: 4.0 as 4, timestamps in ISO 8601, texts in quotes.

    >>> written(4.0), written(0.1 + 0.2), written(None), written("x")
    ('4', '0.3', 'missing', "'x'")
    """
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1_000:03}Z"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
