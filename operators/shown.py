"""What of an event is seen outside: its targets, feature values with their error, and the fields a policy includes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.documents import Json, error_text, keyed_hash
from operators.keys import key_bytes, key_text
from operators.plan import FeaturePlan, Program, RatioPlan
from schemas.times import iso

_WHOLE = ("count", "distinct", "first_seen")


@dataclass(slots=True)
class Target:
    """An entity kind's key in each row: bytes in state, text for people (None: no key), and its lists as bits."""

    ids: list[bytes | None]
    texts: list[str | None]
    flags: list[int]
    bits: dict[str, int]

    def on_list(self, name: str, i: int) -> bool:
        """Whether the target of row `i` is on a list of its kind."""
        return bool(self.flags[i] & self.bits[name])


def targets_of(frame: pl.DataFrame, program: Program, kind: str, pii_key: bytes) -> Target:
    """The targets of each row of `frame`. A key column with `pii: hash` shows as its keyed hash. O(rows)."""
    plan = program.kinds[kind]
    ids = key_bytes(frame, plan)
    hidden = [name for name in plan.key if name in program.pii]
    if hidden:
        hashed = frame.select(plan.key).with_columns(_hashed(frame[name].cast(pl.String), pii_key) for name in hidden)
        # Hashed, an ignored value is not seen as one any more: which rows have a key is known from the bytes.
        shown = key_text(hashed, replace(plan, ignore=())).to_list()
        texts = [text if known else None for text, known in zip(shown, ids.is_not_null().to_list(), strict=True)]
    else:
        texts = key_text(frame, plan).to_list()
    flags = frame[f"__flags:{kind}"].to_list() if plan.lists else []
    return Target(ids.to_list(), texts, flags, {name: 1 << bit for bit, name in enumerate(plan.lists)})


def _hashed(values: pl.Series, key: bytes) -> pl.Series:
    hashes = [None if v is None else keyed_hash(v, key) for v in values.to_list()]
    return pl.Series(values.name, hashes, dtype=pl.String)


def include_of(frame: pl.DataFrame, program: Program, pii_key: bytes) -> Callable[[int], Json]:
    """The values of the fields that the policy includes, by row."""
    columns = {}
    for name in program.policy.include:
        if name in frame.columns:
            values, pii = _readable(frame[name]).to_list(), name in program.pii
            columns[name] = [_hidden(value, pii_key) for value in values] if pii else values
    return lambda i: {name: values[i] for name, values in columns.items()}


def _readable(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        return pl.Series([None if ms is None else iso(ms) for ms in values.to_physical().to_list()], dtype=pl.String)
    return values


def _hidden(value: object, key: bytes) -> object:
    if value is None:
        return None
    if isinstance(value, list):
        return [None if v is None else keyed_hash(str(v), key) for v in value]
    return keyed_hash(str(value), key)


class FeatureDocuments:
    """Feature values of the written rows as verdicts hold them. Columns are made when they are first asked for."""

    def __init__(
        self,
        program: Program,
        since: Mapping[str, int],
        coverage: Mapping[str, npt.NDArray[np.float32] | None],
        frame: pl.DataFrame,
        at: npt.NDArray[np.int64],
    ) -> None:
        """`frame` holds the rows `at` of the batch that `coverage` (by kind, None for all 1) is about."""
        self._program = program
        self._since = since
        self._late = coverage
        self._frame = frame
        self._at = at
        self._columns: dict[str, list[Json]] = {}

    def of(self, i: int, names: Iterable[str]) -> Json:
        """The features `names` of written row `i`."""
        return {name: self._column(name)[i] for name in names}

    def _column(self, name: str) -> list[Json]:
        if name not in self._columns:
            plan = self._program.features[name]
            missing = name not in self._frame.columns  # then the rules that read it failed
            values: list[object] = [None] * len(self._at) if missing else self._frame[name].to_list()
            if isinstance(plan, FeaturePlan) and plan.aggregate in _WHOLE:
                values = [None if v is None else int(v) for v in values]  # type: ignore[call-overload]
            error = error_text(plan, self._program.features)
            coverage = self._coverage(plan).tolist()
            self._columns[name] = [
                {"value": value, "error": error, "coverage": c} for value, c in zip(values, coverage, strict=True)
            ]
        return self._columns[name]

    def _coverage(self, plan: FeaturePlan | RatioPlan) -> npt.NDArray[np.float64]:
        """How much of its window, or of the ticks it learns from, a feature saw: by its time in the stream, and for late events by the panes held."""
        if isinstance(plan, RatioPlan):
            both = [self._coverage(self._program.features[name]) for name in (plan.over, plan.under)]
            return np.minimum(both[0], both[1])
        share = np.ones(len(self._at))
        if plan.settled_ms:
            ingest = self._frame["ingest_time"].to_physical().to_numpy()
            share = np.clip((ingest - self._since.get(plan.name, ingest)) / plan.settled_ms, 0.0, 1.0)
            late = self._late.get(self._program.kind_of[plan.name])
            if late is not None:
                share = share * late[self._at]
        return np.round(share, 4)
