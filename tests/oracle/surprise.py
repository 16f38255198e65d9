"""How surprising each arrival of an entity is, one event at a time, in plain Python."""

import math
from dataclasses import dataclass

DAY = 86_400_000


@dataclass
class _Key:
    counter: float
    history: float
    first: int
    tick: int
    newest: int
    """Greatest event time."""
    ingest: int


class SurpriseOracle:
    """Takes arrivals in order; `see` gives the deviance, None where the event is too old to count."""

    def __init__(self, tick_ms: int, since: int | None = None) -> None:
        """`since`: ms from which on a new entity has been silent, where its history goes back to that of the stream."""
        self.tick_ms = tick_ms
        self.since = since
        self.keys: dict[str, _Key] = {}

    def see(self, key: str, time: int, ingest: int, counts: bool = True) -> float | None:
        known = self.keys.get(key)
        if known is None or ingest - known.ingest > 90 * DAY:
            tick = time // self.tick_ms
            first = tick if self.since is None else min(tick, self.since // self.tick_ms)
            known = self.keys[key] = _Key(0.0, 0.0, first, tick, time, ingest)
        known.ingest = max(known.ingest, ingest)
        known.newest = max(known.newest, time)
        now = known.newest // self.tick_ms
        self._pass(known, now)
        if now - time // self.tick_ms > 10:
            return None
        if counts:
            known.counter += 1
        return self._deviance(known)

    def _pass(self, key: _Key, now: int) -> None:
        gap = now - key.tick
        if gap == 0:
            return
        leaving = key.counter * (1 - 0.9**gap)
        if self._deviance(key) >= 40:
            rate = (0.5 + key.history) / (100 + key.tick - key.first)
            key.history += min(leaving, 20 * rate * gap)
        else:
            key.history += leaving
        key.counter *= 0.9**gap
        key.tick = now

    def _deviance(self, key: _Key) -> float:
        a, r = key.counter, 0.5 + key.history
        mu = r / (0.1 * (100 + key.tick - key.first))
        if a <= mu:
            return 0.0
        return 2 * (a * math.log(a / mu) - (a + r) * math.log((a + r) / (mu + r)))
