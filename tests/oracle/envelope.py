"""How far each tick of an entity lies outside of what is normal for it, one event at a time, in plain Python."""

import math
from dataclasses import dataclass, field

import numpy as np

DAY = 86_400_000
HOUR = 3_600_000
WEIGHTS = (1.0, 1.5, 1.5, 3.0, 3.0)


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
    last: float = 0.0
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    hours: dict[int, float] = field(default_factory=dict)
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

    def _hour(self, tick: int) -> int:
        return tick * self.tick_ms // HOUR % 24

    def _step(self, key: _Key, y: float, ticks: list[int], rest: bool = False) -> float | None:
        n, r = key.ticks, len(ticks)
        if n == 0:
            key.fast = key.slow = y
            key.last = single(y)
        for name, rate in (("fast", 0.01), ("slow", 0.003)):
            mean = getattr(key, name)
            for i in range(n, n + r):
                mean += (y - mean) * (max(rate, 1 / (i + 1)) if i < int(1 / rate) else rate)
            setattr(key, name, mean)
        key_moved = key.moved + (abs(y - key.last) - key.moved) / min(n + 1, 50)
        key_moved *= 0.98 ** (r - 1)
        hour = self._hour(ticks[-1])
        usual = key.hours.get(hour, key.slow)
        views = [y, key.fast, y - usual, key.fast - key.slow, key_moved]
        if n == 0:
            key.low, key.high = list(views), list(views)
        score, grain = 0.0, 1.0 if self.of == "count" else 10.0**-self.scale
        for j, u in enumerate(views):
            low, high = key.low[j], key.high[j]
            outside = max(u - high, 0.0) + max(low - u, 0.0)
            score += WEIGHTS[j] * outside / (high - low + 0.03 * abs(key.slow) + grain)
            narrower = (high - low) * (1 - (1 - 6e-5) ** r) / 2
            key.high[j] = single(high + 0.7 * max(u - high, 0.0) - narrower)
            key.low[j] = single(low - 0.7 * max(low - u, 0.0) + narrower)
        self._learn(key, y, ticks, n, rest)
        key.moved, key.last = single(key_moved), single(y)
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

    def _learn(self, key: _Key, y: float, ticks: list[int], n: int, rest: bool) -> None:
        if not rest:
            hour = self._hour(ticks[0])
            usual = key.hours.get(hour)
            key.hours[hour] = single(y if usual is None else usual + max(0.01, 24 / (n + 24)) * (y - usual))
            return
        start, stop = ticks[0] * self.tick_ms, (ticks[-1] + 1) * self.tick_ms
        shared = [0] * 24
        at = start
        while at < stop:
            upto = min(stop, (at // HOUR + 1) * HOUR)
            shared[at // HOUR % 24] += upto - at
            at = upto
        for hour in range(24):
            times = self._whole(start, stop, hour, shared[hour])
            if times:
                usual = key.hours.get(hour)
                key.hours[hour] = single(y if usual is None else y + (usual - y) * 0.99**times)

    def _whole(self, start: int, stop: int, hour: int, shared: int) -> int:
        assert math.isclose(stop - start, (stop - start) // self.tick_ms * self.tick_ms)
        return shared // self.tick_ms
