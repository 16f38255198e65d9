"""Policies, frames and config records for the tests of stamp, timeline, judge and act."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import polars as pl

from operators.batch import Batch
from operators.judge import Judged, judge
from operators.observe import Observed
from operators.plan import Program
from operators.program import compile_program
from operators.stamp import Stamped, stamp
from operators.timeline import Timeline
from schemas.policy_file import parse_policy_value

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z"""

Json = dict[str, Any]

EVENTS: Json = {
    "post": {
        "when": {"/kind": "post"},
        "id": "/id",
        "time": {"path": "/ts", "unit": "ms"},
        "fields": {"account": "string", "ip": {"path": "/ip", "type": "ip", "pii": "hash"}, "text": "string"},
    },
    "payment": {
        "when": {"/kind": "pay"},
        "id": "/id",
        "time": {"path": "/ts", "unit": "ms"},
        "fields": {"account": "string", "amount": {"path": "/amount", "type": "decimal", "scale": 2}},
    },
}


def document(**parts: Any) -> Json:
    """A small policy; `parts` take the place of its own."""
    policy: Json = {
        "policy": "shop",
        "events": EVENTS,
        "entities": {"account": "account", "ip": {"key": "ip"}, "pair": {"key": ["account", "ip"]}},
        "lists": {"vip": {"of": "account"}, "trusted": {"of": "account"}},
        "features": {
            "posts_1h": {"count": "post", "by": "account", "over": "1h"},
            "spend_1d": {"sum": "amount", "by": "account", "over": "1d"},
            "seen": {"age": "account"},
        },
        "rules": {
            "burst": {"on": "post", "when": "posts_1h >= 3", "action": "limit", "target": "account", "mode": "live"}
        },
    }
    return policy | parts


def rule(when: str = "posts_1h >= 3", **parts: Any) -> Json:
    return {"when": when, "action": "limit", "target": "account", "mode": "live", "warmup": "ignore"} | parts


def program(**parts: Any) -> Program:
    return compile_document(document(**parts))


def compile_document(value: dict[str, object]) -> Program:
    return compile_program(parse_policy_value(value, "config"))


def timeline(base: Program | None = None, configured: bool = True, name: str = "t") -> Timeline:
    return Timeline(base or program(), compile_document, name if configured else "0", configured)


def record(key: str, value: Any, effective_at: str | None = None, by: str = "ann", reason: str = "a test") -> bytes:
    return orjson.dumps(
        {"key": key, "value": value, "effective_at": effective_at, "by": by, "reason": reason, "at": None}
    )


def mode(rule_name: str, text: str, effective_at: str | None = None, digest: str | None = None) -> bytes:
    return record(f"mode/{rule_name}", {"mode": text, "digest": digest}, effective_at)


def ceiling(text: str) -> bytes:
    return record("mode/*", {"ceiling": text})


def batch(ingest: Sequence[int], first: int = 0, **columns: Sequence[Any]) -> Batch:
    """Events at these ingest times; fields that are not given are NULL. `type` is post where not given."""
    n = len(ingest)
    types = list(columns.pop("type", ["post"] * n))
    fields = {"account": pl.String, "ip": pl.String, "text": pl.String, "amount": pl.Float64}
    times = pl.Series(np.asarray(ingest, dtype=np.int64)).cast(pl.Datetime("ms", "UTC"))
    frame = pl.DataFrame(
        {
            "event_id": columns.pop("id", [f"e{first + i}" for i in range(n)]),
            "event_type": pl.Series(types, dtype=pl.Enum(list(EVENTS))),
            "event_time": times,
            "ingest_time": times,
            "__source": pl.Series([0] * n, dtype=pl.UInt32),
            "__offset": pl.Series(range(first, first + n), dtype=pl.Int64),
            **{name: pl.Series(list(columns.pop(name, [None] * n)), dtype=dtype) for name, dtype in fields.items()},
        }
    )
    assert not columns, f"no such field: {columns}"
    return Batch(frame, (("events", 0),))


def observed(stamped: Stamped, coverage: dict[str, Any] | None = None, **features: Sequence[Any]) -> Observed:
    """What observe would answer: features that are not given are NULL; `vip` and `trusted` are booleans for lists."""
    n = stamped.frame.height
    columns = [
        pl.Series(name, list(features.pop(name, [None] * n)), dtype=pl.Float64) for name in stamped.program.features
    ]
    for kind in stamped.program.kinds.values():
        bits = np.zeros(n, dtype=np.uint64)
        for bit, name in enumerate(kind.lists):
            bits |= np.asarray(features.pop(name, [False] * n), dtype=np.uint64) << np.uint64(bit)
        columns.append(pl.Series(f"__flags:{kind.name}", bits))
    assert not features, f"no such feature: {features}"
    return Observed(
        stamped.frame.with_columns(columns), {kind: (coverage or {}).get(kind) for kind in stamped.program.kinds}, 0, {}
    )


def judged(
    line: Timeline,
    events: Batch,
    emit: Any = "hits",
    pii_key: bytes = b"",
    coverage: dict[str, Any] | None = None,
    **features: Sequence[Any],
) -> Judged:
    """Stamps and judges a batch that one program judges."""
    stamped, dead = stamp(events, line)
    assert not dead and len(stamped) == 1
    return judge(stamped[0], observed(stamped[0], coverage, **features), emit, pii_key)


def fired(result: Judged) -> list[tuple[str, str, str, str | None]]:
    """(event, mode, rule, shadow reason) of everything in the verdicts."""
    return [(v["event_id"], m, r["rule"], r["shadow_reason"]) for m, v in result.verdicts for r in v["rules"]]


def fails_on(base: Program, name: str, column: str, value: Any) -> Program:
    """The program with one rule or derived column that raises where `column` is `value`, as a bad cast would."""

    def raising(values: pl.Series) -> pl.Series:
        if (values == value).any():
            raise ValueError("a value of an event: " + str(value))
        return values

    def faulty(plan: Any, compiled: str) -> Any:
        old = getattr(plan, compiled)
        held = pl.col(column).map_batches(raising, return_dtype=pl.String).is_null()
        expr = pl.when(held | held.not_()).then(old.expr)
        return replace(plan, **{compiled: replace(old, expr=expr)}) if plan.name == name else plan

    return replace(
        base,
        rules=tuple(faulty(plan, "when") for plan in base.rules),
        early=tuple(faulty(plan, "compiled") for plan in base.early),
        steps=tuple(
            tuple(faulty(plan, "compiled") for plan in step) if isinstance(step, tuple) else step for step in base.steps
        ),
    )
