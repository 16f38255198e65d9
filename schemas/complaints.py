"""What pydantic finds wrong with a document, in plain sentences: what is there, what should be, what to write."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from schemas.counted import counted
from schemas.problem import Path, kind_of, nearest, show

_SYNONYMS = {
    "over": ("window", "period", "interval", "within", "last", "duration"),
    "by": ("group_by", "groupby", "entity", "for", "key"),
    "where": ("filter", "only", "having", "when", "if"),
    "when": ("condition", "expression", "expr", "if", "sql", "where", "match", "filter"),
    "action": ("then", "do"),
    "expires": ("ttl", "expiry", "expire", "duration"),
    "on": ("event", "events", "type"),
    "policy": ("name", "id"),
    "path": ("pointer", "json_path", "jsonpath", "source", "field", "from"),
    "source": ("file", "path"),
    "mode": ("status", "enabled", "state"),
    "max_actions": ("limit", "budget", "fuse", "rate_limit"),
    "key": ("columns", "column", "field", "fields"),
    "fields": ("schema", "columns"),
    "derive": ("variables", "computed", "columns"),
    "distinct": ("unique", "count_distinct", "nunique"),
    "mean": ("avg", "average"),
    "time": ("timestamp", "ts", "event_time"),
    "given": ("file", "input", "data"),
    "inputs": ("features", "columns"),
}
"""What other systems call a key."""
_CHOICES = {
    **dict.fromkeys(("int", "int64", "long", "bigint"), "integer"),
    **dict.fromkeys(("str", "text", "varchar", "uuid"), "string"),
    **dict.fromkeys(("number", "double", "real", "float64"), "float"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("money", "numeric", "currency"), "decimal"),
    **dict.fromkeys(("datetime", "date", "time"), "timestamp"),
    **dict.fromkeys(("list", "array", "strings", "list<str>", "list[string]", "list[str]"), "list<string>"),
    **dict.fromkeys(("ipv4", "ipv6", "inet"), "ip"),
    **dict.fromkeys(("sec", "seconds", "second"), "s"),
    **dict.fromkeys(("millis", "milliseconds", "msec"), "ms"),
    **dict.fromkeys(("urgent", "severe", "p0"), "critical"),
    **dict.fromkeys(("true", "yes", "on", "hashed", "sha256"), "hash"),
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """A sentence about one place of a document. `at_key`: the key is wrong, not its value."""

    path: Path
    message: str
    hint: str | None = None
    at_key: bool = False
    missing: tuple[str, ...] = ()
    """The keys, one of which would have to be there."""
    meant: str | None = None
    """The key that an unknown one was probably meant as."""


def complaints(
    error: ValidationError, raw: object, model: type[BaseModel], literal: Callable[[Path], str]
) -> list[Complaint]:
    """Every error as a complaint. `raw` is the document, `literal` gives a value as it is written."""
    return [_complaint(found, raw, model, literal) for found in error.errors(include_url=False)]


def without_echoes(found: list[Complaint]) -> list[Complaint]:
    """Drops what only follows from a misspelt key: with `overr` there is no need to say that `over` is missing."""
    meant = {(c.path[:-1], c.meant) for c in found if c.meant}
    merged = {c.path[:-1] for c in found if c.path[-1:] == ("<<",)}
    return [
        c for c in found if not (c.missing and c.path in merged) and not any((c.path, k) in meant for k in c.missing)
    ]


def _complaint(found: ErrorDetails, raw: object, model: type[BaseModel], literal: Callable[[Path], str]) -> Complaint:
    path, rest = _walk(raw, found["loc"])
    kind, context, value = found["type"], found.get("ctx", {}), found["input"]
    slot = _slot(model, (*path, *(part for part in rest if part != "[key]")))
    label = _label(path, rest, model)
    if rest[-1:] == ("[key]",):
        error = context.get("error")
        return Complaint(
            path, str(error or f"{show(path[-1])} is not a name"), getattr(error, "hint", None), at_key=True
        )
    if kind == "missing":
        return _missing(path, str(found["loc"][-1]), model)
    if kind == "extra_forbidden":
        return _unknown(path, model, _at(raw, path[:-1]))
    if kind in ("value_error", "shape"):
        error = context.get("error") or context.get("text")
        text = str(error)
        joined = (
            f"{label} {text}"
            if text.startswith(("is ", "takes "))
            else f"{label}: {text}"
            if kind == "value_error"
            else text
        )
        return Complaint(path, joined, getattr(error, "hint", None))
    if kind == "literal_error":
        return _choice(path, f"`{rest[-1]}` of {label}" if rest else label, value, slot)
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        low, high = slot.bounds
        reach = (
            f"it goes from {low} to {high}"
            if low is not None and high is not None
            else f"it is {low} at least"
            if low is not None
            else f"it is {high} at most"
            if high is not None
            else f"it must be above {slot.above}"
        )
        return Complaint(path, f"{label} is {show(value)}: {reach}")
    if kind in ("too_short", "too_long", "string_too_short"):
        if not value:
            return Complaint(path, f"{label} is empty", _for_example(path, slot) or slot.advice)
        exact = context.get("min_length", context.get("max_length"))
        return Complaint(
            path,
            f"{label} has {counted(len(value), 'entry', 'entries')}, and it takes {exact}",
            slot.advice,
        )
    return _wrong_kind(path, label, value, slot, literal)


def _walk(raw: object, location: tuple[str | int, ...]) -> tuple[Path, tuple[str | int, ...]]:
    """The part of a location that the document has, and the rest (a missing key, or inside a shorthand)."""
    for depth, part in enumerate(location):
        if isinstance(raw, dict) and part in raw:
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[int(part)]
        else:
            return location[:depth], location[depth:]
    return location, ()


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a place of a model asks for."""

    type: Any
    metadata: tuple[Any, ...]
    field: FieldInfo | None

    @property
    def bounds(self) -> tuple[Any, Any]:
        low = [m.ge for m in self.metadata if getattr(m, "ge", None) is not None]
        high = [m.le for m in self.metadata if getattr(m, "le", None) is not None]
        return (low or [None])[0], (high or [None])[0]

    @property
    def above(self) -> Any:
        return next((m.gt for m in self.metadata if getattr(m, "gt", None) is not None), None)

    @property
    def advice(self) -> str | None:
        return self.field.description if self.field else None


def _slot(model: type[BaseModel], path: Path) -> _Slot:
    slot = _Slot(model, (), None)
    for part in path:
        kind = slot.type
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            slot = _plain(field.annotation, tuple(field.metadata), field) if field else _Slot(Any, (), None)
        else:
            inner = get_args(kind) if get_origin(kind) in (dict, list) else ()
            slot = _plain(inner[-1], (), None) if inner else _Slot(Any, (), None)
    return slot


def _plain(annotation: Any, metadata: tuple[Any, ...], field: FieldInfo | None) -> _Slot:
    """Takes Annotated and Optional off a type."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += tuple(
                m for extra in more for m in (extra.metadata if isinstance(extra, FieldInfo) else [extra])
            )
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not NoneType)
        else:
            return _Slot(annotation, metadata, field)


def _noun(kind: Any) -> str:
    return str(getattr(kind, "noun", "this"))


def _label(path: Path, rest: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """`panes`, rule copied_text, item 2 of `include`, or the whole document."""
    if not path:
        return f"the {_noun(model).split(' ', 1)[-1]}"
    last = path[-1]
    kind = _slot(model, path).type
    if isinstance(last, int):
        named = _noun(kind).split(" ", 1)[-1] if hasattr(kind, "noun") else None
        return f"{named} {last + 1}" if named else f"item {last + 1} of `{path[-2]}`"
    if hasattr(kind, "noun") and get_origin(_slot(model, path[:-1]).type) is dict:
        return f"{_noun(kind).split(' ', 1)[-1]} {last}"
    return f"`{last}`"


def _missing(path: Path, key: str, model: type[BaseModel]) -> Complaint:
    slot = _slot(model, (*path, key))
    example = _example(slot)
    hint = f"add for example `{key}: {example}`" if example is not None else f"add `{key}`"
    return Complaint(path, f"{_label(path, (), model)} has no `{key}`", hint, missing=(key,))


def _unknown(path: Path, model: type[BaseModel], siblings: object) -> Complaint:
    key, owner = str(path[-1]), _slot(model, path[:-1]).type
    keys = list(owner.model_fields)
    message = f"`{key[:63]}` is not a key of {_noun(owner)}"
    if key == "<<":
        return Complaint(path, message, "merge keys are not taken: write the keys out", at_key=True)
    synonym = next((to for to in keys if key.lower() in _SYNONYMS.get(to, ())), None)
    elsewhere = next((_noun(other) for other in _models(model) if key in other.model_fields), None)
    # `over` in a rule is a key at the wrong place, not a misspelt `owner`; `list` at the top is a misspelt `lists`.
    meant = synonym or nearest(key, keys, 0.8) or (None if elsewhere else nearest(key, keys))
    if meant and isinstance(siblings, dict) and meant in siblings:
        return Complaint(path, message, f"`{meant}` is already there: take this out", at_key=True)
    if meant:
        return Complaint(path, message, f"did you mean `{meant}`?", at_key=True, meant=meant)
    belongs = f"`{key}` belongs to {elsewhere}; " if elsewhere else ""
    return Complaint(path, message, f"{belongs}keys of {_noun(owner)}: {', '.join(keys)}", at_key=True)


def _at(raw: object, path: Path) -> object:
    for part in path:
        raw = raw[part]  # type: ignore[index]
    return raw


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and the models below it."""
    yield model
    for field in model.model_fields.values():
        kind = _plain(field.annotation, (), None).type
        while get_origin(kind) in (dict, list):
            kind = _plain(get_args(kind)[-1], (), None).type
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _models(kind)


def _choice(path: Path, label: str, value: object, slot: _Slot) -> Complaint:
    choices = [str(choice) for choice in get_args(slot.type)]
    one = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if value is None:
        return Complaint(path, f"{label} is empty: it is {one}")
    word = str(value).lower() if isinstance(value, bool) else str(value)
    meant = next((to for name, to in _CHOICES.items() if name == word.lower() and to in choices), None) or nearest(
        word, choices
    )
    pointer = re.fullmatch(r"\$?\.?([\w-]+(?:[./][\w-]+)+)", word)
    hint = f"did you mean `{meant}`?" if meant else None
    if pointer and "string" in choices:
        hint = f"a JSON pointer begins with /: did you mean `/{pointer[1].replace('.', '/')}`?"
    return Complaint(path, f"{label} is {show(value)}: it is {one}", hint)


def _example(slot: _Slot) -> object:
    examples = (slot.field.examples if slot.field else None) or (None,)
    return examples[0] if examples[0] is not None else getattr(slot.type, "example", None)


def _for_example(path: Path, slot: _Slot) -> str | None:
    example = _example(slot)
    if example is None or (path and isinstance(path[-1], int)):
        return None
    return f"write for example `{path[-1]}: {example}`" if path else f"write for example {example}"


def _wrong_kind(path: Path, label: str, value: object, slot: _Slot, literal: Callable[[Path], str]) -> Complaint:
    kind = slot.type
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    hint: str | None = None
    if is_model or get_origin(kind) is dict:
        wanted = "a map"
        hint = "write `name: ...` for each, without `- `" if isinstance(value, list) and not is_model else None
    elif get_origin(kind) is list:
        wanted = "a list"
        hint = f"write [{literal(path)}]" if isinstance(value, str) else "write [one, another]"
    elif kind is int:
        wanted = "a whole number"
        if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,15}\s*", value):
            hint = f"write {value.strip()} without quotes"
    elif kind is float:
        wanted = "a number"
    else:
        wanted = "a text"
        hint = f'put it in quotes: "{literal(path)}"' if isinstance(value, bool | int | float) else None
    if value is None:
        return Complaint(
            path, f"{label} is empty", _for_example(path, slot) or "write what belongs there, or take the key out"
        )
    what = kind_of(value)
    if isinstance(value, bool | int | float):
        what = literal(path)[:40] if isinstance(value, bool) else f"{what} ({literal(path)[:40]})"
    return Complaint(path, f"{label} is {what}, and it should be {wanted}", hint or _for_example(path, slot))
