"""What each event must see of labels, one event and one label at a time, in plain Python.

It keeps every label ever applied, and looks through all of them for each answer.
"""

from dataclasses import dataclass, field

from tests.oracle.windows import DAY, Feature


@dataclass(frozen=True)
class Label:
    """A label record of one entity. `value` None takes it back."""

    key: str
    event: str
    name: str
    value: float | None
    time: int
    known: int


@dataclass
class _Life:
    """An entity since it was last new. `counted`: (name, event) to (time, value)."""

    since: int
    newest: int
    counted: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)


class LabelOracle:
    """Features are sums and means with `column` = the label's name."""

    def __init__(self, features: list[Feature], longest: int = DAY) -> None:
        self.features = features
        self.longest = max(longest, *(f.over + f.delay + f.pane for f in features))
        self.memory = max(90 * DAY, *(f.over + f.delay + f.pane for f in features))
        self.known: dict[tuple[str, str], Label] = {}
        self.lives: dict[str, _Life] = {}
        self.last_ingest: dict[str, int] = {}
        self.clock = 0

    def label(self, label: Label) -> None:
        """A label, in the order of the input."""
        self.clock = at = max(self.clock, label.known)
        ident = (label.name, label.event)
        before = self.known.get(ident)
        if before is not None and at - before.time > self.memory:
            before = None
        if at - label.time > self.memory or (before is not None and label.known < before.known):
            return
        self.known[ident] = label
        if before is not None:
            self._alive(before.key, at).counted.pop(ident, None)
        life = self._alive(label.key, at)
        if label.value is not None:
            # What no window reaches any more is not counted, and stays out when it is corrected.
            life.newest = max(life.newest, label.time)
            life.counted[ident] = (label.time, label.value)

    def _alive(self, key: str, at: int) -> _Life:
        life = self.lives.get(key)
        if life is None or at - self.last_ingest[key] > self.longest:
            return _Life(at, 0)
        return life

    def see(self, key: str, time: int, ingest: int) -> dict[str, float | None]:
        """What an event of the entity sees."""
        life = self.lives.get(key)
        if life is None or ingest - self.last_ingest[key] > self.longest:
            life = self.lives[key] = _Life(ingest, time)
        self.last_ingest[key] = max(self.last_ingest.get(key, ingest), ingest)
        life.newest = max(life.newest, time)
        return {f.name: self._answer(f, life, time) for f in self.features}

    def _answer(self, f: Feature, life: _Life, time: int) -> float | None:
        high = (time - f.delay) // f.pane
        low = (life.newest - f.delay) // f.pane - f.panes
        if high < low:
            return None
        values = [v for (name, _), (t, v) in life.counted.items() if name == f.column and low <= t // f.pane <= high]
        total = sum(round(v * 10**f.scale) for v in values) / 10.0**f.scale
        if f.aggregate == "sum":
            return total
        return total / len(values) if values else None
