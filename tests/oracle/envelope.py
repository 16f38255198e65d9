"""How far each tick of an entity lies outside of what is normal for it, one event at a time, in plain Python."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

DAY = 86_400_000
HALF_HOUR = 1_800_000
WEIGHTS = (1.0, 1.5, 3.0, 1.0, 1.0)


def single(x: float) -> float:
    """As 32 bits hold it."""
    return float(np.float32(x))


@dataclass
class _Key:
    newest: int
    ingest: int
    tick: int
    values: list[float] = field(default_factory=list)
    answer: float | None = None
    ticks: int = 0
    fast: float = 0.0
    slow: float = 0.0
    moved: float = 0.0
    rest: float = 0.0
    together: float = 0.0
    square: float = 0.0
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    usual: dict[str, float] = field(default_factory=dict)
    loudest: float = 0.0
    since: int = 0


class EnvelopeOracle:
    """Takes events in order; `see` gives the score, None where there is none. `of`: count, sum or mean."""

    def __init__(self, tick_ms: int, of: str, scale: int = 6) -> None:
        self.tick_ms, self.of, self.scale = tick_ms, of, scale
        self.keys: dict[str, _Key] = {}

    def see(self, name: str, time: int, ingest: int, counts: bool, x: float | None) -> float | None:
        key = self.keys.get(name)
        if key is None or ingest - key.ingest > 90 * DAY:
            key = self.keys[name] = _Key(time, ingest, time // self.tick_ms)
        key.ingest = max(key.ingest, ingest)
        key.newest = max(key.newest, time)
        now = key.newest // self.tick_ms
        if now > key.tick:
            self._end(key, now)
        if now - time // self.tick_ms > 10:
            return None
        if counts and (self.of == "count" or x is not None):
            key.values.append(x if x is not None else 0.0)
        return key.answer

    def _end(self, key: _Key, now: int) -> None:
        units = sum(round(v * 10.0**self.scale) for v in key.values) / 10.0**self.scale
        scores: list[float | None] = []
        if self.of == "mean":
            if key.values:
                scores.append(self._step(key, units / len(key.values), [key.tick]))
        else:
            value = units if self.of == "sum" else float(len(key.values))
            scores.append(self._step(key, value, [key.tick]))
            empties = list(range(key.tick + 1, now))
            if empties:
                scores.append(self._step(key, 0.0, empties[:1]))
            if len(empties) > 1:
                scores.append(self._step(key, 0.0, empties[1:][-4096:], rest=True))
        known = [s for s in scores if s is not None]
        if known:
            key.answer = max(known)
        else:
            key.answer = 0.0 if key.ticks > 100 and not scores else None
        key.tick, key.values = now, []

    def _slot(self, time: int) -> str:
        """Weekday or weekend, and when it begins: every hour and a half, or every three."""
        date = datetime.fromtimestamp(time / 1000, UTC)
        minutes = date.hour * 60 + date.minute
        if date.weekday() >= 5:
            return f"weekend {minutes // 180 * 180}"
        return f"weekday {minutes // 90 * 90}"

    def _usual(self, key: _Key, slot: str) -> float:
        return key.usual.get(slot, key.usual.get(slot.replace("weekend", "weekday"), key.slow))

    def _step(self, key: _Key, y: float, ticks: list[int], rest: bool = False) -> float | None:
        n, r = key.ticks, len(ticks)
        if n == 0:
            key.fast = key.slow = y
        fast = self._mean(key.fast, y, 0.01, n, r)
        slow = self._mean(key.slow, y, 0.003, n, r)
        key.slow = slow
        left = y - self._usual(key, self._slot(ticks[-1] * self.tick_ms))
        before = key.rest if r == 1 else left
        carried = min(max(key.together / key.square, 0.0), 1.0) * before if key.square > 0 else 0.0
        jump = left - carried
        for _ in range(r):
            key.together += 0.005 * (left * before - key.together)
            key.square += 0.005 * (before * before - key.square)
        moved = self._mean(key.moved, abs(jump), 0.02, n, r)
        views = [y, left, fast - slow, jump, moved]
        if n == 0:
            key.low, key.high = list(views), list(views)
        score, grain = 0.0, 1.0 if self.of == "count" else 10.0**-self.scale
        for j, u in enumerate(views):
            low, high = key.low[j], key.high[j]
            outside = max(u - high, 0.0) + max(low - u, 0.0)
            score += WEIGHTS[j] * outside / (high - low + 0.03 * abs(key.slow) + grain)
            narrower = (high - low) * (1 - (1 - 3e-5) ** r) / 2
            key.high[j] = single(high + 0.7 * max(u - high, 0.0) - narrower)
            key.low[j] = single(low - 0.7 * max(low - u, 0.0) + narrower)
        self._learn(key, y, ticks, n, rest)
        key.fast, key.slow, key.moved, key.rest = single(fast), single(slow), single(moved), single(left)
        key.together, key.square = single(key.together), single(key.square)
        key.ticks = n + r
        since = key.since + r
        score = min(score, 1000.0)
        result: float | None = score
        if n < 100:
            result = None
        elif key.loudest > 0 and since <= 20 and score <= 1.5 * key.loudest:
            result = 0.0
        if result is not None and result > 0:
            key.loudest, key.since = single(result), 0
        else:
            key.since = min(since, 21)
        return None if result is None else single(result)

    @staticmethod
    def _mean(mean: float, y: float, rate: float, seen: int, more: int) -> float:
        for i in range(seen, seen + more):
            mean += (y - mean) * (1 / (i + 1) if i < int(1 / rate) else rate)
        return mean

    def _learn(self, key: _Key, y: float, ticks: list[int], n: int, rest: bool) -> None:
        if not rest:
            slot = self._slot(ticks[0] * self.tick_ms)
            usual = key.usual.get(slot)
            key.usual[slot] = single(y if usual is None else usual + max(0.01, 24 / (n + 24)) * (y - usual))
            return
        start, stop = ticks[0] * self.tick_ms, (ticks[-1] + 1) * self.tick_ms
        shared: dict[str, int] = {}
        at = start
        while at < stop:
            upto = min(stop, (at // HALF_HOUR + 1) * HALF_HOUR)
            shared[self._slot(at)] = shared.get(self._slot(at), 0) + upto - at
            at = upto
        for slot, time in shared.items():
            if times := time // self.tick_ms:
                usual = key.usual.get(slot)
                key.usual[slot] = single(y if usual is None else y + (usual - y) * 0.99**times)
