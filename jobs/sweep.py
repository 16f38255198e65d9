"""Deletes rows that read as new anyway, a few at each checkpoint, so that a state does not grow for ever."""

from collections import Counter

from jobs.engine import Engine
from operators.cooldowns import expired as cooldowns_expired
from operators.store import Changes, State

_LEAST = 256
_SHARE = 32
"""One stored row is looked at for every so many rows written: cheap, and the sweep still outruns what is added."""


class Sweep:
    """Walks each family in key order, a stretch a checkpoint, round and round. What it deletes changes no answer."""

    def __init__(self, state: State, engine: Engine) -> None:
        self._state = state
        self._engine = engine
        self._reached: dict[str, bytes] = {}

    def add_changes(self, changes: Changes) -> Counter[str]:
        """Adds deletions to a checkpoint, and counts them by kind; O(rows written / 32)."""
        swept: Counter[str] = Counter()
        now = self._engine.clock
        if now is None:
            return swept
        for name, observer in self._engine.observers.items():
            swept[name] = self._stretch(f"rows:{name}", changes, lambda values, o=observer: o.expired(values, now))
        swept["labels"] = self._stretch("labels", changes, lambda values: self._engine.desk.expired(values, now))
        swept["cooldowns"] = self._stretch("cooldowns", changes, lambda values: cooldowns_expired(values, now))
        return swept

    def _stretch(self, family: str, changes: Changes, expired) -> int:  # type: ignore[no-untyped-def]
        keys, values = changes.rows[family]
        most = max(_LEAST, len(keys) // _SHARE)
        rows = list(self._state.scan(family, self._reached.get(family, b""), most))
        self._reached[family] = rows[-1][0] if len(rows) == most else b""
        if not rows:
            return 0
        before, written = len(keys), set(keys)
        for (key, _), gone in zip(rows, expired([value for _, value in rows]), strict=True):
            if gone and key not in written:
                keys.append(key)
                values.append(None)
        return len(keys) - before
