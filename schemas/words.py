"""The words that a policy is written in: names, columns, pointers, modes, conditions, expressions, file names."""

import math
import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from schemas.problem import BadValueError, did_you_mean, show

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_INPUT = re.compile(r"(label\.)?[a-z][a-z0-9_]{0,62}")
_MODE = re.compile(r"off|shadow|live|live ([0-9]|[1-9][0-9]|100)%")
_MODE_MEANT = {
    **dict.fromkeys(("on", "true", "yes", "enabled", "enable", "active", "enforce"), "live"),
    **dict.fromkeys(("false", "no", "none", "disabled", "disable", "inactive"), "off"),
    **dict.fromkeys(("dry-run", "dryrun", "dry_run", "monitor", "test", "watch", "log"), "shadow"),
}

Scalar = str | int | float | bool


def check_name(text: str) -> str:
    """The text, if it is a name; raises BadValueError else."""
    if not _NAME.fullmatch(text):
        raise BadValueError(
            f"{show(text)} is not a name: lower-case letters, digits and _, at most 63, a letter first",
            _name_meant(text),
        )
    return text


def _name_meant(text: str) -> str | None:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:80]).lower()
    name = re.sub(r"[^a-z0-9]+", "_", words).strip("_").lstrip("0123456789_")
    return f"did you mean `{name}`?" if _NAME.fullmatch(name) else None


def _input(text: str) -> str:
    if not _INPUT.fullmatch(text):
        meant = _name_meant(text)
        raise BadValueError(
            f"{show(text)} is not a column: a name of lower-case letters, digits and _, or label.NAME", meant
        )
    return text


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        words = text.removeprefix("$").strip("./").replace(".", "/")
        hint = f"did you mean `/{words}`?" if re.fullmatch(r"[\w/-]{1,80}", words) else None
        raise BadValueError(f"{show(text)} is not a JSON pointer: it begins with / (for example /author/id)", hint)
    if re.search(r"~(?![01])", text):
        raise BadValueError(
            f"{show(text)} is not a JSON pointer: after ~ comes 0 or 1", "write ~ as ~0, and / inside a key as ~1"
        )
    return text


def _mode(value: object) -> object:
    text = re.sub(r"\s+", " ", value.strip()) if isinstance(value, str) else value
    if isinstance(text, str) and _MODE.fullmatch(text):
        return text
    raise BadValueError(
        f"{show(value)} is not a mode: off, shadow, live, or live N% with N from 0 to 100", _mode_meant(text)
    )


def _mode_meant(value: object) -> str | None:
    text = str(value).lower()
    share = re.fullmatch(r"(?:live)?[ :=]*([0-9]{1,2}|100) ?%?", text)
    meant = _MODE_MEANT.get(text) or (f"live {int(share[1])}%" if share and text else None)
    meant = meant or (text if _MODE.fullmatch(text) else None)
    if meant or re.search(r"\d", text):
        # A share that cannot be is no typing mistake for all of the traffic.
        return f"did you mean `{meant}`?" if meant else None
    return did_you_mean(text, ("off", "shadow", "live"))


def _expression(text: str) -> str:
    if not text.strip():
        raise BadValueError('is empty: write an expression, for example "amount > 100"')
    return text


def _below(text: str) -> str:
    path = PurePosixPath(text)
    if not text.strip() or path.is_absolute() or ".." in path.parts or "\\" in text:
        raise BadValueError(
            f"{show(text)} is not a file name below the lists folder",
            "write a name such as vip.txt, without .. and without a leading /",
        )
    return text


def _condition(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadValueError("is an empty list, so it takes no record", "write the values that it takes")
    for item in values:
        if not isinstance(item, str | int | float) or (isinstance(item, float) and not math.isfinite(item)):
            raise BadValueError(
                f"takes a text, a number, true or false, or a list of them, and {show(item)} is none of these"
            )
    return value


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _percent(value: object) -> float:
    match = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*%", value.strip()) if isinstance(value, str) else None
    if match is None or not 0.1 <= float(match[1]) <= 50:
        raise BadValueError(f"{show(value)} is not a share from 0.1% to 50%", "write for example 5%")
    return float(match[1]) / 100


Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_]{0,62}$"})]
Input = Annotated[
    str, AfterValidator(_input), Field(json_schema_extra={"pattern": r"^(label\.)?[a-z][a-z0-9_]{0,62}$"})
]
Pointer = Annotated[str, AfterValidator(_pointer), Field(json_schema_extra={"pattern": "^/"})]
Mode = Annotated[
    str,
    BeforeValidator(_mode),
    Field(json_schema_extra={"pattern": r"^\s*(off|shadow|live|live\s+([0-9]|[1-9][0-9]|100)%)\s*$"}),
]
Percent = Annotated[
    float,
    BeforeValidator(_percent),
    PlainSerializer(lambda share: f"{100 * share:g}%", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9]{1,2}(\.[0-9]{1,3})?\s*%\s*$"}),
]
"""A share, written as text such as `5%`."""
Scale = Annotated[int, Field(strict=True, ge=0, le=9)]
"""Decimals."""
Expression = Annotated[str, AfterValidator(_expression), Field(json_schema_extra={"minLength": 1})]
FileBelow = Annotated[str, AfterValidator(_below)]
Names = Annotated[list[Name], BeforeValidator(_several, json_schema_input_type=Name | list[Name])]
"""One name or several."""
Condition = Annotated[Scalar | list[Scalar], PlainValidator(_condition, json_schema_input_type=Scalar | list[Scalar])]
"""A value that a record must have at a pointer, or several, one of which it must have."""
