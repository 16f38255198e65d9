"""Which keys of a policy's parts go together: what types alone cannot say.

Each function looks only at which keys are written, not at whether their values are right, so that a policy with a
bad value still learns of everything else.
"""

from collections.abc import Mapping
from typing import NamedTuple

AGGREGATES = (
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "last",
    "distinct",
    "first_seen",
    "rate",
    "ratio",
    "age",
    "idle",
    "surprise",
    "envelope",
)
WINDOWED = ("count", "sum", "mean", "min", "max", "last", "distinct", "rate")
MODEL_KINDS = ("version", "mean", "max", "weighted")

_PANED = ("count", "sum", "mean", "min", "max", "last", "rate")
_BELONGS = {
    "cap": ("distinct", "first_seen"),
    "per": ("rate",),
    "scale": ("sum", "mean", "envelope"),
    "delay": _PANED,
    "of": ("envelope",),
    "since": ("surprise",),
}
"""Keys that only some aggregates take."""
_DEFAULTS: dict[str, tuple[object, ...]] = {
    "cap": (32,),
    "per": (60_000, "1m", "60s"),
    "scale": (None,),
    "delay": (None,),
    "of": (None,),
    "since": (None,),
}


class Mistake(NamedTuple):
    """Something wrong with a part of a policy, at one of its keys or (None) at the part itself."""

    key: str | None
    message: str
    hint: str | None = None
    missing: tuple[str, ...] = ()
    """The keys, one of which would have to be there."""


def feature_mistakes(feature: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with the keys of a feature."""
    given = [name for name in AGGREGATES if feature.get(name) is not None]
    if not given:
        empty = [name for name in AGGREGATES if name in feature]
        message = f"`{empty[0]}` is empty" if empty else "a feature has exactly one aggregate, and this one has none"
        hint = "write what it counts" if empty else f"add one of {', '.join(AGGREGATES)}"
        return [Mistake(empty[0] if empty else None, message, hint, () if empty else AGGREGATES)]
    if len(given) > 1:
        names = [name for name in feature if name in given]
        return [
            Mistake(
                names[1],
                f"a feature has exactly one aggregate, and this one has {' and '.join(names)}",
                "make one feature of each",
            )
        ]
    kind = given[0]
    return _needed(feature, kind) + _unwanted(feature, kind)


def _needed(feature: Mapping[str, object], kind: str) -> list[Mistake]:
    mistakes = []
    if kind in (*WINDOWED, "first_seen", "surprise", "envelope") and feature.get("by") is None:
        mistakes.append(
            Mistake(
                None, f"{kind} needs `by`: the entity that it is kept for", "add for example `by: account`", ("by",)
            )
        )
    if kind in WINDOWED and feature.get("over") is None:
        mistakes.append(
            Mistake(
                None,
                f"{kind} needs `over`: the length of its window, 10s to 90d",
                "add for example `over: 1h`",
                ("over",),
            )
        )
    return mistakes


def _unwanted(feature: Mapping[str, object], kind: str) -> list[Mistake]:
    mistakes = []
    if kind in ("ratio", "age", "idle"):
        hint = (
            "a ratio divides two features that have their own: take it out"
            if kind == "ratio"
            else f"write only `{kind}: ENTITY`"
        )
        for key in ("by", "over", "on", "where", "panes"):
            if feature.get(key) not in (None, 12):
                mistakes.append(Mistake(key, f"{kind} does not take `{key}`", hint))  # noqa: PERF401
    if kind in ("count", "rate") and feature.get("on") is not None:
        mistakes.append(
            Mistake("on", f"{kind} does not take `on`", f"name the event type at `{kind}` itself, and take `on` out")
        )
    if kind in ("surprise", "envelope"):
        hint = f"{kind} compares the entity with all of its own history, tick by tick: take it out"
        for key in ("over", "panes"):
            if feature.get(key) not in (None, 12):
                mistakes.append(Mistake(key, f"{kind} does not take `{key}`", hint))  # noqa: PERF401
    for key, kinds in _BELONGS.items():
        if kind not in kinds and feature.get(key) is not None and feature[key] not in _DEFAULTS[key]:
            mistakes.append(
                Mistake(key, f"{kind} does not take `{key}`", f"`{key}` belongs to {_listed(kinds)}: take it out")
            )
    return mistakes


def _listed(words: tuple[str, ...]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def envelope_mistakes(looks_at: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with the keys of what an envelope looks at."""
    if looks_at.get("sum") is not None and looks_at.get("mean") is not None:
        return [Mistake("mean", "an envelope looks at a sum or at a mean, not at both", "make one feature of each")]
    return []


def entity_mistakes(entity: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with the keys of an entity."""
    key, each = entity.get("key") not in (None, []), entity.get("each") is not None
    if key and each:
        return [
            Mistake(
                "each",
                "an entity has `key` or `each`, not both",
                "keep `key` for columns, `each` for the elements of one list<string> column",
            )
        ]
    if not key and not each:
        message = "an entity has `key` (one column or several) or `each` (a list<string> column), and this one has none"
        return [Mistake(None, message, "add for example `key: account`", ("key", "each"))]
    return []


def field_mistakes(field: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with the keys of a field."""
    kind = field.get("type", "string")
    mistakes = []
    if kind != "decimal" and field.get("scale", 2) != 2:
        mistakes.append(
            Mistake("scale", "`scale` belongs to fields of type decimal", "write `type: decimal`, or take `scale` out")
        )
    if kind != "timestamp" and field.get("unit", "iso") != "iso":
        mistakes.append(
            Mistake("unit", "`unit` belongs to fields of type timestamp", "write `type: timestamp`, or take `unit` out")
        )
    return mistakes


def model_mistakes(model: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with the keys of a model."""
    given = [name for name in MODEL_KINDS if model.get(name) is not None]
    if not given:
        message = "a model has `version`, or for an ensemble one of `mean`, `max`, `weighted`, and this one has none"
        return [Mistake(None, message, "add for example `version: 1`", MODEL_KINDS)]
    if len(given) > 1:
        message = f"a model has exactly one of {', '.join(MODEL_KINDS)}, and this one has {' and '.join(given)}"
        return [Mistake(given[1], message, "make one model of each")]
    if given[0] == "version":
        return []
    return [
        Mistake(key, f"an ensemble does not take `{key}`", f"`{key}` belongs to a version of the registry: take it out")
        for key in ("inputs", "challenger")
        if model.get(key) not in (None, [])
    ]
