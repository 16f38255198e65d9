"""Durations and budgets as people write them: `10s`, `1h`, `500/1h`."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from schemas.problem import BadValueError, show

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"([0-9]{1,15})\s*(ms|s|m|h|d|w)")
_BUDGET = re.compile(r"([0-9]{1,15})\s*/\s*(.+)")
_LOOSE = re.compile(r"([0-9]{1,9})(?:\.([0-9]))?\s*([a-zA-Z]+)")
_WORDS = {
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_LONGEST_MS = 3_650 * 86_400_000
_FORM = "a whole number and a unit, one of ms, s, m, h, d, w (for example 10s, 1h, 7d)"


def parse_duration(text: object) -> int:
    """Milliseconds of a duration such as `90s` or `7d`.

    >>> parse_duration("90s")
    90000

    Raises ValueError with the accepted form when the text is not one, or is more than 3650 days.
    """
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise BadValueError(f"{show(text)} is not a duration: write {_FORM}", _meant(text))
    ms = int(match[1]) * _UNITS[match[2]]
    if ms > _LONGEST_MS:
        raise BadValueError(f"{show(text)} is too long: a duration is 3650d at most")
    return ms


def _meant(text: object) -> str | None:
    """`1 hour` is meant as 1h, `1.5h` as 90m."""
    match = _LOOSE.fullmatch(text.strip()) if isinstance(text, str) else None
    unit = _WORDS.get(match[3].lower()) if match else None
    if match is None or unit is None or match[3] == "M":
        return None
    tenths = int(match[1]) * 10 + int(match[2] or 0)
    return f"did you mean `{format_duration(tenths * _UNITS[unit] // 10)}`?"


def format_duration(ms: int) -> str:
    """The shortest exact form of a duration.

    >>> format_duration(90_000), format_duration(604_800_000)
    ('90s', '1w')
    """
    for unit in ("w", "d", "h", "m", "s"):
        if ms and ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"


def _duration(value: object) -> int:
    # A bare number has no unit and would be read as milliseconds by some and as seconds by others; zero is zero in all.
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        raise BadValueError(f"{show(value)} has no unit: write {_FORM}", f"{value}s if seconds are meant")
    return parse_duration(value)


def _window(value: object) -> int:
    ms = _duration(value)
    if not 10_000 <= ms <= 90 * 86_400_000:
        raise BadValueError(f"{show(value)} is out of range: a window is 10s at least and 90d at most")
    return ms


def _tick(value: object) -> int:
    ms = _duration(value)
    if not 1_000 <= ms <= 86_400_000:
        raise BadValueError(f"{show(value)} is out of range: a tick is 1s at least and 1d at most")
    return ms


def _delay(value: object) -> int:
    ms = _duration(value)
    if not 1_000 <= ms <= 7_776_000_000:
        raise BadValueError(f"{show(value)} is out of range: a delay is 1s at least and 90d at most")
    return ms


_DURATION_SCHEMA = {"type": "string", "pattern": r"^\s*[0-9]+\s*(ms|s|m|h|d|w)\s*$", "examples": ["10s", "1h", "7d"]}

_Milliseconds = Annotated[int, PlainSerializer(format_duration, return_type=str), WithJsonSchema(_DURATION_SCHEMA)]

Duration = Annotated[_Milliseconds, BeforeValidator(_duration)]
"""Milliseconds; written as text such as `1h`."""

Window = Annotated[_Milliseconds, BeforeValidator(_window)]
"""Milliseconds of a window: 10 seconds to 90 days."""

Delay = Annotated[_Milliseconds, BeforeValidator(_delay)]
"""Milliseconds of a delay: 1 second to 90 days."""


def _hourly_tick(value: object) -> int:
    ms = _duration(value)
    if not 1_000 <= ms <= 3_600_000:
        raise BadValueError(
            f"{show(value)} is out of range: a tick of an envelope is 1s at least and 1h at most, it learns the hours of the day"
        )
    return ms


Tick = Annotated[_Milliseconds, BeforeValidator(_tick)]
"""Milliseconds of a tick: 1 second to 1 day."""

HourlyTick = Annotated[_Milliseconds, BeforeValidator(_hourly_tick)]
"""Milliseconds of a tick that has an hour of the day: 1 second to 1 hour."""


def parse_budget(text: object) -> tuple[int, int]:
    """Count and milliseconds of a budget such as `500/1h`.

    >>> parse_budget("500/1h")
    (500, 3600000)

    Raises ValueError with the accepted form.
    """
    match = _BUDGET.fullmatch(text.strip()) if isinstance(text, str) else None
    window = _DURATION.fullmatch(match[2]) if match else None
    if match is None or window is None or int(match[1]) < 1 or int(window[1]) < 1:
        raise BadValueError(
            f"{show(text)} is not a budget: write count/duration, for example 500/1h", _budget_meant(text)
        )
    return int(match[1]), parse_duration(match[2])


def _budget_meant(text: object) -> str | None:
    """`500/hour` and `500 per hour` are meant as 500/1h, and so is 500 alone."""
    match = re.fullmatch(r"([1-9][0-9]{0,14})(?:\s*(?:/|per|in)\s*(?:1\s*)?([a-z]+))?", str(text).strip().lower())
    if match is None:
        return None
    unit = _WORDS.get(match[2] or "h")
    return f"did you mean `{match[1]}/1{unit}`?" if unit else None


def _budget(value: object) -> object:
    return value if isinstance(value, tuple) else parse_budget(value)


def _format_budget(budget: tuple[int, int]) -> str:
    return f"{budget[0]}/{format_duration(budget[1])}"


Budget = Annotated[
    tuple[int, int],
    BeforeValidator(_budget),
    PlainSerializer(_format_budget, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*[0-9]+\s*/\s*[0-9]+\s*(ms|s|m|h|d|w)\s*$", "examples": ["500/1h"]}
    ),
]
"""(count, milliseconds); written as text such as `500/1h`."""
