"""Values to typed columns. Nothing is cast silently: what is not of the declared type is a fault of that row, and of no
other.

A fault says which field, where, and of which kind the value is; it never holds the value, which may be private or
hostile.
"""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import polars as pl

from operators.decode_times import UNIT_WORDS, Wrong, times_from_values
from operators.pointer import Misplaced, kind_of
from schemas.counted import counted
from schemas.policy import FieldSpec

TIMESTAMP = pl.Datetime("ms", "UTC")
COLUMN_TYPES: dict[str, Any] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "decimal": pl.Float64(),
    "boolean": pl.Boolean(),
    "ip": pl.String(),
    "timestamp": TIMESTAMP,
    "list<string>": pl.List(pl.String),
}
EXACT = 2**53
"""Whole numbers up to here are exact in a float."""

_V4 = r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$"
_DECIMAL = r"^-?0*[0-9]{{1,17}}(?:\.[0-9]{{0,{scale}}}0{{0,40}})?$"
_DECIMAL_FORM = r"^-?[0-9]+(?:\.[0-9]+)?$"
_HINT_TYPE = {str: "string", int: "integer", float: "float", bool: "boolean", list: "list<string>"}
_NULL = type(None)

Reason = Literal["wrong_type", "out_of_range", "missing_id", "bad_id", "missing_time", "bad_time"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record cannot become an event; `field` is None where no field of the policy is to blame."""

    reason: str
    field: str | None
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Where:
    """A field of the policy and the pointer it is read from: how faults name it."""

    name: str
    pointer: str
    spec: FieldSpec

    def wrong(self, value: object) -> Fault:
        """The fault of a value that is not of the declared type."""
        if isinstance(value, Misplaced):
            detail = f"field {self.name} at {self.pointer} is not there: {value.at} is {value.kind}, not an object"
            return Fault("wrong_type", self.name, detail, "fix the producer, or the field's path in the policy")
        other = _HINT_TYPE.get(type(value))
        hint = (
            f"fix the producer, or declare the field as {other}"
            if other and other != self.spec.type
            else "fix the producer"
        )
        return self.fault("wrong_type", f"is {kind_of(value)}, the policy says {self.spec.type}", hint)

    def fault(self, reason: Reason, ends: str, hint: str) -> Fault:
        """A fault whose detail is `field NAME at POINTER <ends>`."""
        return Fault(reason, self.name, f"field {self.name} at {self.pointer} {ends}", hint)


Faults = dict[int, Fault]
Column = tuple[pl.Series, Faults]
"""A column with NULL where a value is missing or wrong, and the faults by position."""


def column_from_values(values: Sequence[object], where: Where) -> Column:
    """A typed column of JSON values (None is missing). O(n), in C where all values are of the declared type."""
    match where.spec.type:
        case "string":
            clean, faults = _of_kinds(values, {str, _NULL}, where)
            return pl.Series(clean, dtype=pl.String), faults
        case "integer":
            return _integers(values, where)
        case "float":
            clean, faults = _of_kinds(values, {int, float, _NULL}, where)
            return floats_of(np.array(clean, dtype=np.float64)), faults
        case "decimal":
            return _decimals(values, where)
        case "boolean":
            clean, faults = _of_kinds(values, {bool, _NULL}, where)
            return pl.Series(clean, dtype=pl.Boolean), faults
        case "ip":
            clean, faults = _of_kinds(values, {str, _NULL}, where)
            column, more = ips_from_texts(pl.Series(clean, dtype=pl.String), where)
            return column, more | faults
        case "timestamp":
            ms, wrong = times_from_values(values, where.spec.unit)
            return timestamps(ms, wrong, where)
    return _text_lists(values, where)


def ids_from_values(values: Sequence[object], pointer: str) -> Column:
    """Event ids as text: any JSON scalar; strings as they are, others as JSON writes them (7, 1.5, true)."""
    if set(map(type, values)) == {str}:
        return ids_from_texts(pl.Series(values, dtype=pl.String), pointer)
    faults: Faults = {}
    texts: list[str | None] = [None] * len(values)
    for position, value in enumerate(values):
        if isinstance(value, bool):
            texts[position] = "true" if value else "false"
        elif isinstance(value, str | int):
            texts[position] = str(value)
        elif isinstance(value, float) and abs(value) < 2**63:
            texts[position] = repr(value)
        elif isinstance(value, float):
            # The parser has rounded it: two ids could have become one.
            detail = f"the id at {pointer} is a number beyond 64 bits"
            faults[position] = Fault("bad_id", None, detail, "fix the producer: send long ids as strings")
        elif isinstance(value, Misplaced):
            detail = f"the id at {pointer} is not there: {value.at} is {value.kind}, not an object"
            faults[position] = Fault("missing_id", None, detail, "fix the producer, or `id:` in the policy")
        elif value is not None:
            detail = f"the id at {pointer} is {kind_of(value)}, it must be a string, a number or a boolean"
            faults[position] = Fault("bad_id", None, detail, "fix the producer, or `id:` in the policy")
    column, more = ids_from_texts(pl.Series(texts, dtype=pl.String), pointer)
    return column, more | faults


def ids_from_texts(texts: pl.Series, pointer: str) -> Column:
    """Faults for the ids that are missing or empty."""
    faults: Faults = {}
    hint = "fix the producer, or `id:` in the policy"
    if texts.null_count():
        for position in texts.is_null().arg_true().to_list():
            faults[position] = Fault("missing_id", None, f"there is no id at {pointer}", hint)
    for position in (texts == "").arg_true().to_list():
        faults[position] = Fault("bad_id", None, f"the id at {pointer} is empty", hint)
    return texts, faults


def floats_of(values: np.ndarray[Any, np.dtype[np.float64]]) -> pl.Series:
    """A Float64 column in which NaN and the infinities are NULL: in a comparison NaN would count as the greatest
    number."""
    column = pl.Series(values)
    finite = np.isfinite(values)
    return column if finite.all() else column.zip_with(pl.Series(finite), column.clear(len(column)))


def decimals_of(values: np.ndarray[Any, np.dtype[np.float64]], where: Where) -> Column:
    """Checks scale and size of decimals that arrived as numbers (NaN for missing)."""
    unit = 10.0**where.spec.scale
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * unit)
        large = np.abs(scaled) > EXACT
        uneven = (scaled / unit != values) & ~large & ~np.isnan(values)
    faults = {position: _too_fine(where) for position in np.flatnonzero(uneven).tolist()}
    faults |= {position: _too_large(where) for position in np.flatnonzero(large).tolist()}
    return floats_of(np.where(large | uneven, np.nan, values)), faults


def decimals_from_texts(texts: pl.Series, where: Where) -> Column:
    """Decimals written as `-12.50`: no exponent, no spaces, no separators, no more decimals than `scale` but zeros."""
    number = texts.str.contains(_DECIMAL_FORM)
    fits = texts.str.contains(_DECIMAL.format(scale=where.spec.scale))
    good = fits.fill_null(False)
    values = texts.zip_with(good, texts.clear(len(texts))).cast(pl.Float64).fill_null(np.nan).to_numpy()
    column, faults = decimals_of(values, where)
    for position in (number & ~fits).arg_true().to_list():
        # An integer part of more than 17 digits is over the limit at any scale.
        long = len(texts[position].lstrip("-").split(".")[0].lstrip("0")) > 16
        faults[position] = _too_large(where) if long else _too_fine(where)
    if not number.all():
        ends = "is a string that is not a number such as 12.50, the policy says decimal"
        for position in (~number).arg_true().to_list():
            faults[position] = where.fault("wrong_type", ends, "fix the producer, or declare the field as string")
    return column, faults


def ips_from_texts(texts: pl.Series, where: Where) -> Column:
    """Canonical addresses: dotted IPv4, compressed lower-case IPv6. An IPv4 address inside IPv6 (`::ffff:1.2.3.4`) is
    the IPv4 one."""
    plain = texts.str.contains(_V4)
    if plain.all():
        return texts, {}
    rest = ~plain.fill_null(True)
    known = {text: _ipv6(text) for text in texts.filter(rest).unique().to_list()}
    if not known:
        return texts, {}
    column = texts.zip_with(~rest, texts.replace_strict(known, default=None, return_dtype=pl.String))
    bad = (column.is_null() & texts.is_not_null()).arg_true().to_list()
    ends = "is a string that is not an IP address, the policy says ip"
    return column, {i: where.fault("wrong_type", ends, "fix the producer, or declare the field as string") for i in bad}


def timestamps(ms: np.ndarray[Any, np.dtype[np.int64]], wrong: Wrong, where: Where) -> Column:
    """A timestamp column of what `decode_times` gives: `NO_TIME` becomes NULL."""
    faults: Faults = {}
    for position, (ends, hint) in wrong.items():
        faults[position] = where.fault("out_of_range" if "outside" in ends else "wrong_type", ends, hint)
    return times_series(ms), faults


def times_series(ms: np.ndarray[Any, np.dtype[np.int64]]) -> pl.Series:
    """Datetime of milliseconds; negative (`NO_TIME`) is NULL."""
    column = pl.Series(ms)
    if len(ms) and ms.min() < 0:
        column = column.zip_with(pl.Series(ms >= 0), column.clear(len(column)))
    return column.cast(TIMESTAMP)


def time_faults(wrong: Wrong, missing: np.ndarray[Any, np.dtype[np.bool_]], pointer: str, unit: str) -> Faults:
    """The faults of an event's own time at `pointer`."""
    faults = {
        position: Fault("bad_time", None, f"the time at {pointer} {ends}", hint)
        for position, (ends, hint) in wrong.items()
    }
    if missing.any():
        absent = Fault(
            "missing_time",
            None,
            f"there is no time at {pointer}, the policy says {UNIT_WORDS[unit]}",
            "fix the producer, or `time:` in the policy",
        )
        for position in np.flatnonzero(missing).tolist():
            faults.setdefault(position, absent)
    return faults


def _of_kinds(values: Sequence[object], kinds: set[type], where: Where) -> tuple[Sequence[Any], Faults]:
    if set(map(type, values)) <= kinds:
        return values, {}
    faults = {position: where.wrong(value) for position, value in enumerate(values) if type(value) not in kinds}
    return [None if position in faults else value for position, value in enumerate(values)], faults


def _integers(values: Sequence[object], where: Where) -> Column:
    clean, faults = _of_kinds(values, {int, _NULL}, where)
    try:
        column = pl.Series(clean, dtype=pl.Int64)
    except (OverflowError, TypeError, pl.exceptions.PolarsError):
        small = [value if value is None or -(2**63) <= value < 2**63 else None for value in clean]
        column = pl.Series(small, dtype=pl.Int64)
        for position, value in enumerate(clean):
            if value is not None and small[position] is None:
                faults[position] = integer_too_large(where)
    if faults:
        # A whole number beyond 64 bits comes from the parser as a float.
        for position in [p for p, value in enumerate(values) if isinstance(value, float) and abs(value) >= 2**63]:
            faults[position] = integer_too_large(where)
    return column, faults


def integer_too_large(where: Where) -> Fault:
    """The fault of an integer beyond 64 bits."""
    return where.fault(
        "out_of_range", "is an integer beyond 64 bits", "fix the producer, or declare the field as float or string"
    )


def _decimals(values: Sequence[object], where: Where) -> Column:
    clean, faults = _of_kinds(values, {int, float, str, _NULL}, where)
    if str not in set(map(type, clean)):
        column, more = decimals_of(np.array(clean, dtype=np.float64), where)
        return column, more | faults
    texts = pl.Series([v if isinstance(v, str) else None for v in clean], dtype=pl.String)
    numbers = np.array([None if isinstance(v, str) else v for v in clean], dtype=np.float64)
    from_numbers, more = decimals_of(numbers, where)
    from_texts, most = decimals_from_texts(texts, where)
    return from_numbers.zip_with(texts.is_null(), from_texts), most | more | faults


def _too_fine(where: Where) -> Fault:
    scale = where.spec.scale
    ends = f"has more than {counted(scale, 'decimal')}, the policy says scale {scale}"
    return where.fault("out_of_range", ends, "fix the producer, or raise the field's `scale:`")


def _too_large(where: Where) -> Fault:
    ends = f"is too large: with scale {where.spec.scale} it has more than 15 digits"
    return where.fault("out_of_range", ends, "fix the producer, or lower the field's `scale:`, or declare it as float")


def _text_lists(values: Sequence[object], where: Where) -> Column:
    clean, faults = _of_kinds(values, {list, _NULL}, where)
    if not set(map(type, chain.from_iterable(filter(None, clean)))) <= {str}:
        kept: list[list[str] | None] = []
        for position, value in enumerate(clean):
            odd = next((item for item in value or () if type(item) is not str), "")
            kept.append(value if odd == "" else None)
            if odd != "":
                ends = f"is a list that holds {kind_of(odd)}, the policy says list<string>"
                faults[position] = where.fault("wrong_type", ends, "fix the producer: every element must be a string")
        clean = kept
    return pl.Series(clean, dtype=pl.List(pl.String)), faults


def _ipv6(text: str) -> str | None:
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    # The standard library and the C library write addresses below ::/96 differently; one of them has to be the form of
    # keys.
    return socket.inet_ntop(socket.AF_INET6, packed) if packed[0] else str(ipaddress.IPv6Address(packed))
