"""Cooldowns: a rule that acted on a target leaves it alone for a while.

Kept per namespace (`live`, `shadow`), rule and target on the ingest clock. A row is 16 bytes: when the rule acted, and
until when that counts. Rows are read through a bounded cache and written at a checkpoint (`take_dirty`); a row that no
longer counts is dropped. Whether a row is in the cache, in the store or was dropped never changes an answer.
"""

import struct
from collections.abc import Iterable, Sequence

from operators.store import Store

_ROW = struct.Struct("<qq")
_NAMESPACES = {"live": b"L", "shadow": b"S"}


def cooldown_key(namespace: str, rule: str, kind: str, target_id: bytes) -> bytes:
    """The key of a row. Names hold no zero byte, so no two targets share one."""
    return _NAMESPACES[namespace] + rule.encode() + b"\0" + kind.encode() + b"\0" + target_id


def read_row(value: bytes) -> tuple[int, int]:
    """(acted at, cooling until) in ms of a stored row."""
    acted, until = _ROW.unpack(value)
    return acted, until


def expired(values: Sequence[bytes], now_ms: int) -> list[bool]:
    """Which stored rows no longer count at ingest time `now_ms`: a runtime may delete them."""
    return [_ROW.unpack(value)[1] <= now_ms for value in values]


class Cooldowns:
    """When each rule last acted on each target. State by target, so a runtime may spread targets over processes.

    `store` is read only. Without one all rows stay in memory until they no longer count.
    """

    def __init__(self, store: Store | None = None, capacity: int = 200_000) -> None:
        self._store = store
        self._capacity = capacity
        self._limit = capacity
        self._rows: dict[bytes, tuple[int, int] | None] = {}
        """What is known: a row, or None for a key that has none in the store either."""
        self._dirty: dict[bytes, bytes | None] = {}
        self._now = -(2**63)

    def load(self, keys: Iterable[bytes]) -> None:
        """Brings rows into the cache with one call into the store; makes room first where there is none left."""
        if self._store is None:
            return
        if len(self._rows) > self._limit:
            self._make_room()
        missing = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if not missing:
            return
        for key, value in zip(missing, self._store.get_many(missing), strict=True):
            # What was changed since the last checkpoint is newer than what the store has.
            value = self._dirty.get(key, value)
            self._rows[key] = None if value is None else read_row(value)

    def cooling(self, key: bytes, ingest_ms: int, cooldown_ms: int) -> bool:
        """Whether the rule acted on the target less than `cooldown_ms` ago. O(1) for a key in the cache."""
        if cooldown_ms <= 0:
            return False
        if key not in self._rows:
            self.load([key])
        row = self._rows.get(key)
        # Both must hold: a cooldown that was shortened since ends early, one that was lengthened ends as it was begun,
        # whether or not its row has been dropped in the meantime.
        return row is not None and ingest_ms < row[1] and ingest_ms - row[0] < cooldown_ms

    def mark(self, key: bytes, ingest_ms: int, cooldown_ms: int) -> None:
        """The rule acted on the target now."""
        if cooldown_ms <= 0:
            return
        self._now = max(self._now, ingest_ms)
        row = (ingest_ms, ingest_ms + cooldown_ms)
        self._rows[key] = row
        self._dirty[key] = _ROW.pack(*row)
        if self._store is None and len(self._rows) > self._limit:
            self._make_room()

    @property
    def dirty(self) -> int:
        """Rows that the next checkpoint writes."""
        return len(self._dirty)

    def take_dirty(self) -> list[tuple[bytes, bytes | None]]:
        """What changed since the last call, None for a row to delete; the store must have it before the next `load`."""
        changed = list(self._dirty.items())
        self._dirty = {}
        return changed

    def _make_room(self) -> None:
        """Drops rows that count no more, then clean ones, oldest first, to half of `capacity`; O(rows), rarely."""
        now, dirty = self._now, self._dirty
        for key in [key for key, row in self._rows.items() if row is not None and row[1] <= now]:
            del self._rows[key]
            dirty[key] = None
        if self._store is not None:
            surplus = len(self._rows) - self._capacity // 2
            clean = (key for key in self._rows if key not in dirty)
            for key in [key for key, _ in zip(clean, range(max(surplus, 0)), strict=False)]:
                del self._rows[key]
        # Where most rows must stay, the next look waits until as many again have come.
        self._limit = max(self._capacity, 2 * len(self._rows))
