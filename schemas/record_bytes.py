"""From the bytes of a record that people and programs write to a checked document, with errors in words."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, PlainSerializer, ValidationError, WithJsonSchema

from schemas.complaints import complaints, without_echoes
from schemas.document import Document
from schemas.problem import BadValueError, Path, kind_of, printable, show
from schemas.times import iso, parse_iso

MAX_BYTES = 4 << 20
"""A longer record is refused."""

_LAST_MS = 253_402_300_799_999

_Record = TypeVar("_Record", bound=Document)


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise BadValueError(
            f"is {kind_of(value)}, and it should be a time: write ISO 8601 text, for example 2026-01-02T03:04:05Z"
        )
    try:
        ms = parse_iso(value)
    except ValueError as error:
        raise BadValueError(f"{show(value)} is {error}") from None
    if not 0 <= ms <= _LAST_MS:
        raise BadValueError(f"{show(value)} is before 1970")
    return ms


Instant = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-02T03:04:05.678Z"]}),
]
"""Milliseconds since 1970 UTC; written as ISO 8601 text."""


def object_of(data: bytes, refused: type[ValueError]) -> dict[str, Any]:
    """The JSON object in a record's bytes, no key twice; raises `refused` with what is wrong."""
    if len(data) > MAX_BYTES:
        raise refused(f"the record has {len(data):,} bytes, and {MAX_BYTES:,} are allowed")
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise refused("the record is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise refused(f"the record is not JSON, from character {error.pos + 1} on: write one JSON object") from None
    except RecursionError:
        raise refused("the record is nested too deep") from None
    except BadValueError as error:
        raise refused(str(error)) from None
    except ValueError:
        raise refused("the record holds a number with too many digits") from None
    if not isinstance(raw, dict):
        raise refused(f"the record is {kind_of(raw)}, and it should be a JSON object")
    return raw


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValueError(f"{show(twice)} is written twice in the record: keep one")
    return value


def _no_constant(text: str) -> Any:
    raise BadValueError(f"{text} is not JSON: write a number")


def validated(model: type[_Record], raw: dict[str, Any], refused: type[ValueError]) -> _Record:
    """A record as the model has it; raises `refused` with everything that is wrong and without the values."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = without_echoes(complaints(error, raw, model, lambda path: _literal(raw, path)))
        text = "; ".join(c.message + (f" ({c.hint})" if c.hint else "") for c in found)
        raise refused(printable(text)) from None


def _literal(raw: Any, path: Path) -> str:
    for part in path:
        raw = raw[part]
    return json.dumps(raw, ensure_ascii=False)
