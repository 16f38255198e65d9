"""p-values and discoveries of features, held by (feature, shard) and by (rule's test, shard) beside the rows of a kind.

They live in the same store as the rows, under keys that no entity has, so each runtime keeps, commits and restores
them with the rows. A shard has the same entities in every runtime, and so the same p-values.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from operators.discoveries import Discoveries
from operators.hashing import hash_all, hash_bytes
from operators.layout import HEAD
from operators.plan import TestPlan
from operators.reservoir import Reservoir
from operators.scatter import Part, hash_name
from operators.shards import SHARDS, shards_of, split, spread
from operators.store import Store

Floats = npt.NDArray[np.float64]

_MARK = b"\xfe"
"""No key of an entity begins so: it is no UTF-8, and a digest begins with 0xff."""
_NEVER_EXPIRED = np.zeros(1, HEAD)
_NEVER_EXPIRED["used"], _NEVER_EXPIRED["flags"] = 1, ~np.uint64(0)
_ENVELOPE = _NEVER_EXPIRED.tobytes()
"""Before each value: a header of a row that a sweep leaves alone."""


class Calibration:
    """The reservoirs and the tests of one kind's features."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reservoirs: dict[bytes, Reservoir] = {}
        self._discoveries: dict[bytes, Discoveries] = {}
        self._dirty: dict[bytes, Reservoir | Discoveries] = {}

    def update(self, plans: Sequence[TestPlan], part: Part, values: Mapping[str, Floats]) -> dict[str, Floats]:
        """By name of each of `plans`: the p-value, or 1 for a discovery and 0 for none; NaN where there is none.

        `values` are the part's features. Every event is ranked against those before it in its shard; then those that count for
        the feature enter. A part that was cut for an older program, without what a test reads, is left alone.
        """
        found = {plan.name: np.full(len(part), np.nan) for plan in plans}
        ids = part.columns.get(hash_name("event_id"))
        plans = [plan for plan in plans if all(f is None or f in part.columns for f in (plan.counts, plan.tests))]
        if not len(part) or not plans or ids is None:
            return found
        for shard, rows in split(shards_of(part.keys), SHARDS):
            ranked: dict[str, Floats] = {}
            for plan in plans:
                at = rows[~np.isnan(values[plan.feature][rows])]
                if plan.print not in ranked:
                    ranked[plan.print] = self._rank(plan, shard, at, part, values[plan.feature], ids)
                p = ranked[plan.print]
                found[plan.name][at] = p if plan.level is None else self._discover(plan, shard, at, part, p)
        return found

    def _rank(
        self,
        plan: TestPlan,
        shard: int,
        at: npt.NDArray[np.int64],
        part: Part,
        scores: Floats,
        ids: npt.NDArray[np.uint64],
    ) -> Floats:
        key = _key("p", plan.print, shard)
        reservoir = self._reservoirs.get(key)
        if reservoir is None:
            saved = self._saved(key)
            reservoir = self._reservoirs[key] = Reservoir() if saved is None else Reservoir.from_bytes(saved)
        self._dirty[key] = reservoir
        counted = np.ones(len(at), np.bool_) if plan.counts is None else part.columns[plan.counts][at]
        return reservoir.take(scores[at].astype(np.float32), _uniform(ids[at], plan.print), counted)

    def _discover(
        self,
        plan: TestPlan,
        shard: int,
        at: npt.NDArray[np.int64],
        part: Part,
        p: Floats,
    ) -> Floats:
        assert plan.level is not None
        key = _key("d", plan.fingerprint, shard)
        tests = self._discoveries.get(key)
        if tests is None:
            saved = self._saved(key)
            tests = self._discoveries[key] = Discoveries() if saved is None else Discoveries.from_bytes(saved)
        self._dirty[key] = tests
        tested = ~np.isnan(p)
        if plan.tests is not None:
            tested &= part.columns[plan.tests][at]
        answers = np.full(len(at), np.nan)
        answers[tested] = tests.take(p[tested], plan.level)
        return answers

    def _saved(self, key: bytes) -> bytes | None:
        value = self._store.get_many([key])[0]
        return None if value is None else value[len(_ENVELOPE) :]

    def take_dirty(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of what changed since the last call."""
        dirty, self._dirty = self._dirty, {}
        return ((key, _ENVELOPE + state.to_bytes()) for key, state in sorted(dirty.items()))


def homes(keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """The shard that each key of a store belongs to: an entity's own, or the one that a key of this module names."""
    shards = spread(hash_all(keys), SHARDS)
    for place in [i for i, key in enumerate(keys) if key[:1] == _MARK]:
        shards[place] = int(keys[place].rpartition(b"/")[2])
    return shards


def _key(sort: str, name: str, shard: int) -> bytes:
    return _MARK + f"{sort}/{name}/{shard}".encode()


def _uniform(ids: npt.NDArray[np.uint64], name: str) -> Floats:
    """One number of [0, 1) for each event and feature."""
    mixed = (ids ^ np.uint64(hash_bytes(name.encode()))) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    uniform: Floats = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return uniform
