"""Times as text: ISO 8601, UTC, milliseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MINUTES = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1_440)]
_SECONDS = [f"{second:02}." for second in range(60)]
_MILLIS = [f"{milli:03}Z" for milli in range(1_000)]


def iso(ms: int) -> str:
    """A time in milliseconds since 1970 as text; O(1), under 1 us.

    >>> iso(1767323045678)
    '2026-01-02T03:04:05.678Z'
    """
    day, rest = divmod(int(ms), _DAY_MS)
    minute, rest = divmod(rest, 60_000)
    second, milli = divmod(rest, 1_000)
    return _date(day) + _MINUTES[minute] + _SECONDS[second] + _MILLIS[milli]


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d").zfill(10)


def parse_iso(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 text; without a zone it is UTC, digits below a millisecond are cut off.

    >>> parse_iso("2026-01-02T04:04:05.678+01:00")
    1767323045678

    Raises ValueError with the accepted form.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, TypeError, OverflowError):
        raise ValueError("not a time: write ISO 8601, for example 2026-01-02T03:04:05Z") from None
    return since.days * _DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000
