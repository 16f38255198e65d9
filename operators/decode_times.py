"""Times as producers write them (counts since 1970 in s, ms, us, ns; ISO 8601) to int64 milliseconds, whole columns at
once."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from operators.pointer import Misplaced, kind_of

NO_TIME = np.iinfo(np.int64).min
"""Stands for a time that is missing or cannot be read."""
LAST_MS = 7_258_118_400_000
"""The first millisecond of the year 2200: times lie in [0, LAST_MS)."""

UNIT_WORDS = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "iso": "ISO 8601",
}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_GREATEST = 2**63 - 1
_COUNT = r"^-?[0-9]{1,40}(?:\.[0-9]{1,9})?$"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$"
_SHORT_ISO = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"([Tt ][0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]{1,9})?)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)

Complaint = tuple[str, str]
"""What is wrong with a time, as the end of a sentence about it, and what to do."""
Wrong = dict[int, Complaint]
Milliseconds = np.ndarray[Any, np.dtype[np.int64]]


def times_from_values(values: Sequence[object], unit: str) -> tuple[Milliseconds, Wrong]:
    """Milliseconds of JSON values, `NO_TIME` where missing or wrong; and what is wrong, by position. O(n).

    Integers count `unit` since 1970, a fraction is taken for `s` only (whole floats for every unit), numeric strings as
    the number in them. With `iso` only strings are times; without a zone they are UTC. Below a millisecond: rounded
    down.
    """
    kinds = set(map(type, values))
    if kinds == {int} and unit != "iso":
        try:
            return _in_range(_count_ms(np.array(values, dtype=np.int64), unit), unit)
        except OverflowError:
            pass
    if kinds <= {str, type(None)}:
        return times_from_texts(pl.Series(values, dtype=pl.String), unit)
    ms = np.full(len(values), NO_TIME, dtype=np.int64)
    wrong: Wrong = {}
    _spread(values, unit, {int, float}, ms, wrong, lambda picked: _numbers(picked, unit))
    _spread(values, unit, {str}, ms, wrong, lambda picked: times_from_texts(pl.Series(picked, dtype=pl.String), unit))
    for position, value in enumerate(values):
        if value is not None and type(value) not in (int, float, str):
            wrong[position] = _wrong_kind(value, unit)
    return ms, wrong


def times_from_texts(texts: pl.Series, unit: str) -> tuple[Milliseconds, Wrong]:
    """The same for a String series: ISO 8601, or the text of a number where `unit` is a count."""
    if unit == "iso":
        ms = _iso_ms(texts)
        form = "is a string that is not an ISO 8601 time", "write 2026-01-02T03:04:05Z, or give the `unit:` of a number"
    else:
        ms = _count_texts_ms(texts, unit)
        words = UNIT_WORDS[unit].split()[0]
        form = f"is a string that is not a number of {words}", "fix the producer, or leave `unit:` out for ISO 8601"
    filled = ms.fill_null(NO_TIME).to_numpy()
    unread = np.flatnonzero(ms.is_null().to_numpy() & texts.is_not_null().to_numpy())
    times, wrong = _in_range(filled, unit)
    for position in unread.tolist():
        wrong[position] = form
    return times, wrong


def times_from_column(column: pl.Series, unit: str) -> tuple[Milliseconds, Wrong]:
    """The same for a column of a table: Datetime and Date of any unit and zone (none is UTC), integers, floats,
    strings."""
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        if isinstance(dtype, pl.Datetime) and dtype.time_zone not in (None, "UTC"):
            column = column.dt.convert_time_zone("UTC")
        ms = column.cast(pl.Datetime("us")).cast(pl.Int64) if dtype == pl.Date else column.cast(pl.Int64)
        scale = 1_000 if dtype == pl.Date else {"ms": 1, "us": 1_000, "ns": 1_000_000}[dtype.time_unit]  # type: ignore[attr-defined]
        counts = ms.fill_null(NO_TIME).to_numpy()
        return _in_range(np.where(counts == NO_TIME, NO_TIME, counts // scale), unit)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return times_from_texts(column, unit)
    if column.dtype == pl.Int64 and not column.null_count() and unit != "iso":
        return _in_range(_count_ms(column.to_numpy(), unit), unit)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return times_from_values(column.to_list(), unit)


def _spread(
    values: Sequence[object],
    unit: str,
    kinds: set[type],
    ms: Milliseconds,
    wrong: Wrong,
    read: Callable[[list[Any]], tuple[Milliseconds, Wrong]],
) -> None:
    places = [position for position, value in enumerate(values) if type(value) in kinds]
    if not places:
        return
    if unit == "iso" and str not in kinds:
        wrong.update({place: _wrong_kind(values[place], unit) for place in places})
        return
    found, bad = read([values[place] for place in places])
    ms[places] = found
    wrong.update({places[position]: complaint for position, complaint in bad.items()})


def _numbers(values: list[int | float], unit: str) -> tuple[Milliseconds, Wrong]:
    floats = np.array(values, dtype=np.float64)
    whole = np.array([type(value) is int for value in values])
    # What does not fit is not a time in any unit; the check on the range says so.
    exact = np.array([min(max(v, -1), _GREATEST) if type(v) is int else 0 for v in values], dtype=np.int64)
    ms = _count_ms(exact, unit)
    near = np.clip(floats, -1.0, 9.2e18)
    ms = np.where(whole, ms, _float_ms(near, unit))
    times, wrong = _in_range(ms, unit)
    if unit != "s":
        for position in np.flatnonzero(~whole & (np.rint(near) != near)).tolist():
            times[position] = NO_TIME
            wrong[position] = (
                "is a number with a fraction, which only unit s takes",
                "fix the producer, or check `unit:`",
            )
    return times, wrong


def _count_ms(counts: Milliseconds, unit: str) -> Milliseconds:
    if unit == "s":
        # One second past the range stays outside of it, and the product cannot overflow.
        return np.clip(counts, -1, LAST_MS // 1_000) * 1_000
    return counts // (_PER_SECOND[unit] // 1_000)


def _float_ms(counts: np.ndarray[Any, np.dtype[np.float64]], unit: str) -> Milliseconds:
    if unit == "s":
        # By way of whole microseconds: 1.001 s is 1,001 ms, although 1.001 * 1000 lies below it.
        micros: Milliseconds = np.rint(np.clip(counts, -1.0, LAST_MS / 1_000) * 1e6).astype(np.int64)
        return micros // 1_000
    return _count_ms(np.floor(counts).astype(np.int64), unit)


def _in_range(ms: Milliseconds, unit: str) -> tuple[Milliseconds, Wrong]:
    outside = ((ms < 0) | (ms >= LAST_MS)) & (ms != NO_TIME)
    if not outside.any():
        return ms, {}
    does = "fix the producer" if unit == "iso" else f"check `unit:`, it says {unit}"
    wrong = dict.fromkeys(np.flatnonzero(outside).tolist(), ("is outside the years 1970 to 2199", does))
    return np.where(outside, NO_TIME, ms), wrong


def _wrong_kind(value: object, unit: str) -> Complaint:
    if isinstance(value, Misplaced):
        return f"is not there: {value.at} is {value.kind}, not an object", "fix the producer, or the path in the policy"
    does = (
        "fix the producer, or give its `unit:` (s, ms, us, ns)" if type(value) in (int, float) else "fix the producer"
    )
    return f"is {kind_of(value)}, the policy says {UNIT_WORDS[unit]}", does


def _count_texts_ms(texts: pl.Series, unit: str) -> pl.Series:
    fits = texts.str.contains(_COUNT if unit == "s" else _COUNT.replace(r"(?:\.[0-9]{1,9})?", r"(?:\.0{1,9})?"))
    usual = _only(texts, fits.fill_null(False))
    parts = usual.str.splitn(".", 2)
    digits = parts.struct.field("field_0")
    # More digits than fit are no time in any unit; the check on the range says so.
    whole = digits.cast(pl.Int64, strict=False).fill_null(_GREATEST)
    whole = _only(whole, digits.is_not_null())
    ms = pl.Series(_count_ms(whole.fill_null(0).to_numpy(), unit))
    if unit == "s":
        ms = ms + parts.struct.field("field_1").fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    # -0.5 has no sign left in its whole part: any minus sign is before 1970.
    before = usual.str.starts_with("-").fill_null(False)
    ms = ms.zip_with(~before, pl.Series([-1], dtype=pl.Int64).new_from_index(0, len(ms)))
    return _only(ms, whole.is_not_null())


def _only(series: pl.Series, where: pl.Series) -> pl.Series:
    return series if where.all() else series.zip_with(where, series.clear(len(series)))


def _iso_ms(texts: pl.Series) -> pl.Series:
    """Int64 milliseconds, NULL where a text is not a time. The common long form in columns, shorter ones once per
    unique text."""
    fits = texts.str.contains(_ISO).fill_null(False)
    usual = _only(texts, fits)
    head = usual.str.slice(0, 19).str.replace(" ", "T", literal=True)
    seconds = head.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False, cache=False).cast(pl.Int64)
    tail = usual.str.slice(19)
    fraction = tail.str.extract(r"^\.([0-9]+)").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64).fill_null(0)
    ms = seconds + fraction - _zone_ms(tail)
    rest = texts.filter(~fits).drop_nulls().unique().to_list()
    if rest:
        short = {text: _short_iso_ms(text) for text in rest}
        ms = ms.zip_with(fits, texts.replace_strict(short, default=None, return_dtype=pl.Int64))
    return ms


def _zone_ms(tail: pl.Series) -> pl.Series:
    zone = tail.str.extract(r"([+-][0-9]{2}:?[0-9]{2})$")
    if zone.null_count() == len(zone):
        return pl.zeros(len(zone), dtype=pl.Int64, eager=True)
    offsets: dict[str, int | None] = {}
    for text in zone.drop_nulls().unique().to_list():
        hours, minutes = int(text[1:3]), int(text[-2:])
        ms = (hours * 60 + minutes) * 60_000
        offsets[text] = (-ms if text[0] == "-" else ms) if hours < 24 and minutes < 60 else None
    known = zone.replace_strict(offsets, default=None, return_dtype=pl.Int64)
    return known.zip_with(zone.is_not_null(), pl.zeros(len(zone), dtype=pl.Int64, eager=True))


def _short_iso_ms(text: str) -> int | None:
    if not _SHORT_ISO.fullmatch(text):
        return None
    try:
        parsed = datetime.fromisoformat(text.upper().replace(",", "."))
        since = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
