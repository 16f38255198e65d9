"""What each event of an entity must see, one event at a time, in plain Python: slow, and simple enough to believe."""

from dataclasses import dataclass, field
from fractions import Fraction

DAY = 86_400_000


@dataclass(frozen=True)
class Feature:
    """A feature's definition; `column` and `filter` name entries of an event's values."""

    name: str
    aggregate: str
    column: str | None = None
    filter: str | None = None
    over: int = 0
    panes: int = 12
    cap: int = 32
    scale: int = 6
    per: int = 60_000
    delay: int = 0

    @property
    def pane(self) -> int:
        return -(-self.over // self.panes)


@dataclass(frozen=True)
class Event:
    """An event of one entity. `values` holds numbers, hashes (for distinct) and filters; None is NULL."""

    key: str
    time: int
    ingest: int
    values: dict[str, object]


@dataclass
class _Memory:
    """Everything an entity did since it was last new."""

    first: int
    newest: int
    counted: dict[str, list[tuple[int, int, object]]] = field(default_factory=dict)
    """By feature: (pane, time, value) in arrival order."""
    sums: dict[str, dict[int, int]] = field(default_factory=dict)
    seen: dict[str, dict[object, int]] = field(default_factory=dict)
    late: int = 0


@dataclass
class Seen:
    """What one event saw."""

    values: dict[str, float | None]
    coverage: float
    late: bool


class Oracle:
    """Takes events in arrival order."""

    def __init__(self, features: list[Feature]) -> None:
        self.features = features
        aged = any(f.aggregate in ("age", "idle") for f in features)
        self.longest = max([90 * DAY if aged else DAY, *(f.over + f.delay + f.pane for f in features if f.over)])
        self.memories: dict[str, _Memory] = {}
        self.last_ingest: dict[str, int] = {}

    def see(self, event: Event) -> Seen:
        memory = self.memories.get(event.key)
        previous = None
        if memory is None or event.ingest - self.last_ingest[event.key] > self.longest:
            memory = self.memories[event.key] = _Memory(event.time, event.time)
        else:
            previous = memory.newest
        self.last_ingest[event.key] = max(self.last_ingest.get(event.key, event.ingest), event.ingest)
        memory.newest = max(memory.newest, event.time)
        seen = Seen({}, 1.0, False)
        for feature in self.features:
            if feature.aggregate == "age":
                seen.values[feature.name] = max(event.time - memory.first, 0) / 1000
            elif feature.aggregate == "idle":
                seen.values[feature.name] = None if previous is None else max(event.time - previous, 0) / 1000
            elif feature.aggregate == "distinct":
                seen.values[feature.name] = self._distinct(feature, memory, event, seen)
            elif feature.aggregate == "first_seen":
                seen.values[feature.name] = self._first_seen(feature, memory, event, seen)
            else:
                seen.values[feature.name] = self._window(feature, memory, event, seen)
        memory.late += seen.late
        return seen

    def _counts(self, feature: Feature, event: Event) -> bool:
        passes = feature.filter is None or event.values[feature.filter] is True
        return passes and (feature.column is None or event.values[feature.column] is not None)

    def _distinct(self, feature: Feature, memory: _Memory, event: Event, seen: Seen) -> float:
        times = memory.seen.setdefault(feature.name, {})
        floor = memory.newest - feature.over
        if event.time <= floor:
            seen.late = True
        elif self._counts(feature, event):
            value = event.values[feature.column or ""]
            times[value] = max(times.get(value, event.time), event.time)
        return float(min(feature.cap, sum(time > floor for time in times.values())))

    def _first_seen(self, feature: Feature, memory: _Memory, event: Event, seen: Seen) -> float | None:
        times = memory.seen.setdefault(feature.name, {})
        floor = memory.newest - feature.over
        living = {value: time for value, time in times.items() if time > floor}
        value = event.values[feature.column or ""]
        if event.time <= floor:
            seen.late = True
            return None
        if not self._counts(feature, event):
            return None
        times[value] = max(times.get(value, event.time), event.time)
        newest = sorted(living, key=lambda one: (living[one], one))[-feature.cap :]
        if value in newest:
            return 0.0
        return None if len(living) >= feature.cap else 1.0

    def _window(self, feature: Feature, memory: _Memory, event: Event, seen: Seen) -> float | None:
        home = event.time // feature.pane
        own = (event.time - feature.delay) // feature.pane
        oldest = (memory.newest - feature.delay) // feature.pane - feature.panes
        counted = memory.counted.setdefault(feature.name, [])
        if home < oldest:
            seen.late = True
        elif self._counts(feature, event):
            value = event.values[feature.column] if feature.column else None
            counted.append((home, event.time, value))
            if feature.aggregate in ("sum", "mean"):
                limit = min(2**56, 2**62 // (feature.panes + 1))
                panes = memory.sums.setdefault(feature.name, {})
                assert isinstance(value, float)
                panes[home] = max(-limit, min(limit, panes.get(home, 0) + round(value * 10.0**feature.scale)))
        if own < oldest:
            seen.late = True
            seen.coverage = 0.0
            return None
        seen.coverage = min(seen.coverage, float(Fraction(own - oldest + 1, feature.panes + 1)))
        covered = [(time, value) for pane, time, value in counted if oldest <= pane <= own]
        values = [value for _, value in covered if isinstance(value, float)]
        match feature.aggregate:
            case "count":
                return float(len(covered))
            case "rate":
                return len(covered) * feature.per / feature.over
            case "sum" | "mean":
                panes = memory.sums.get(feature.name, {})
                total = float(sum(s for pane, s in panes.items() if oldest <= pane <= own)) / 10.0**feature.scale
                if feature.aggregate == "sum":
                    return total
                return total / len(values) if values else None
            case "min":
                return min(values, default=None)
            case "max":
                return max(values, default=None)
            case "last":
                best: tuple[int, float] | None = None
                for time, value in covered:
                    assert isinstance(value, float)
                    if best is None or time >= best[0]:
                        best = (time, value)
                return best[1] if best else None
        raise AssertionError(feature.aggregate)
