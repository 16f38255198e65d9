"""TIMESTAMP '...' and INTERVAL '...': the two quoted forms whose text has a meaning of its own."""

import re
from datetime import UTC, datetime

from operators.expressions.syntax import TimeLiteral
from operators.expressions.types import Type
from operators.expressions.values import Context, Loose, Value, constant

_UNITS = {
    "ms": 1,
    "millisecond": 1,
    "s": 1_000,
    "second": 1_000,
    "m": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
}
_UNITS |= {"d": 86_400_000, "day": 86_400_000, "w": 604_800_000, "week": 604_800_000}
_PART = re.compile(r"\s*([0-9]{1,12})\s*([a-z]+)\s*", re.IGNORECASE)
_LONGEST = 366 * 200 * 86_400_000


def time_literal(context: Context, node: TimeLiteral) -> Value:
    """An interval in milliseconds or a UTC timestamp; both are constants."""
    if node.duration:
        return constant(node, Loose.INTERVAL, _interval(context, node))
    moment = parse_timestamp(node.text)
    if moment is None:
        raise context.error(
            node,
            "this is not a timestamp",
            "write ISO 8601: TIMESTAMP '2026-01-31' or TIMESTAMP '2026-01-31T18:00:00Z' (UTC without a zone)",
        )
    return constant(node, Type.TIMESTAMP, moment)


def parse_timestamp(text: str) -> datetime | None:
    """The moment of an ISO 8601 text in UTC, cut to milliseconds; UTC where it names no zone; None when it is none.

    >>> parse_timestamp("2026-01-31T19:00+01:00")
    datetime.datetime(2026, 1, 31, 18, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def _interval(context: Context, node: TimeLiteral) -> int:
    total, position = 0, 0
    while match := _PART.match(node.text, position):
        name = match[2].lower()
        unit = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
        if unit is None:
            longer = name.removesuffix("s") in ("month", "mon", "quarter", "year", "y")
            message = (
                f"a {name.removesuffix('s')} has no fixed length" if longer else f"`{match[2]}` is not a unit of time"
            )
            raise context.error(node, message, "units: ms, s, m, h, d, w, or second, minute, hour, day, week")
        total, position = total + int(match[1]) * unit, match.end()
    if not position or position < len(node.text):
        raise context.error(
            node, "this is not an interval", "write INTERVAL '90s', INTERVAL '1h 30m' or INTERVAL '7 days'"
        )
    if total > _LONGEST:
        raise context.error(node, "this interval is longer than 200 years")
    return total
