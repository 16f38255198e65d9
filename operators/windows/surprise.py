"""surprise: how unlikely an entity's arrivals are, given its own history.

A leaky counter `a` counts arrivals and forgets a tenth of them each tick. The entity's history is what leaked out of it:
`left` arrivals in `age` ticks, on top of a prior of half an arrival in a hundred ticks. From the history the counter should
hold mu = r / ((1 - KEEP)(PRIOR_TICKS + age)) with r = PRIOR_COUNT + left, and the arrivals are negative binomial around it with shape r:
the less is known, the wider. The answer is the deviance of `a` where it lies above mu, else 0:

    2 [a ln(a / mu) - (a + r) ln((a + r) / (mu + r))]

It is twice the log-likelihood ratio of "this entity has another rate now": 10 is unusual, 40 never chance. The first
event of an entity has 2.98, the tenth in the same tick 44.0.

A new entity has no history, unless the policy says `since: stream`: then it has been silent for as long as the feature has been in the
stream, and to appear at all is surprising.

A burst must not become the history that excuses the next one: while the deviance is `GUARD` or more, no more leaks into
the history than `POISON` times what it expects.

Whole numbers count the tick that is open, floats move only where a tick closes and in the order of ticks, so neither
the order of events inside a tick nor the cut of batches shows. The powers of KEEP come from a table of products, so
that the rows' bytes depend on no library's power function.
"""

from math import log

import numpy as np

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.segments import Floats, Ints, Segments
from operators.windows.ticks import Ticks

KEEP = 0.9
"""Share of the counter that stays from one tick to the next."""
LEAK = 0.1
GUARD = 40.0
POISON = 20.0
PRIOR_COUNT = 0.5
PRIOR_TICKS = 100.0

_POWERS = np.append(np.multiply.accumulate(np.append(1.0, np.full(511, KEEP))), 0.0)
"""KEEP^g; 0 beyond 511 ticks, where it is less than 1e-23."""
_POWERS_LIST: list[float] = _POWERS.tolist()


def surprise(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Deviance of the entity's arrivals from its history, 0 or more; NULL for events older than ten ticks.

    32 bytes a key. O(rows), and a few NumPy calls for each tick of the entity that has most of them in the part.
    """
    ticks = Ticks(segments, feature.tick_ms)
    cells.drop(ticks.dropped)
    counted = ticks.counted(feature.filter)
    added = np.ones(segments.rows, np.int64) if counted is None else counted.astype(np.int64)

    since = segments.since.get(feature.fingerprint)
    history = _History(feature.fingerprint, cells, ticks)
    sums = ticks.sums(added)
    before, left, age, held = (np.empty(len(ticks.seg), kind) for kind in (float, float, np.int64, np.int64))
    rounds = ticks.rounds()
    for runs in rounds:
        seg = ticks.seg[runs]
        if since is not None:
            history.begin(seg, ticks.tick[runs] - since // feature.tick_ms)
        history.advance(seg, ticks.tick[runs])
        before[runs], left[runs] = history.before[seg], history.left[seg]
        age[runs], held[runs] = history.age[seg], history.count[seg]
        history.count[seg] += sums[runs]
    for at, tail in ticks.tails(len(rounds)):
        held[tail] = 0
        before[tail], left[tail], age[tail] = history.walk(at, ticks.tick[tail].tolist(), sums[tail].tolist())
    history.write(cells)

    run = ticks.group
    arrivals = before[run] + (held[run] + ticks.running(added))
    answers = deviance(arrivals, left[run], age[run])
    if ticks.dropped is not None:
        answers[ticks.dropped] = np.nan
    return answers


def deviance(arrivals: Floats, left: Floats, age: Ints) -> Floats:
    """How far the leaky counter lies above what the history expects; arrays of one length."""
    shape = PRIOR_COUNT + left
    mean = shape / (LEAK * (PRIOR_TICKS + age))
    found = np.zeros(len(arrivals))
    above = np.flatnonzero(arrivals > mean)
    a, r, mu = arrivals[above], shape[above], mean[above]
    found[above] = np.maximum(2.0 * (a * np.log(a / mu) - (a + r) * np.log((a + r) / (mu + r))), 0.0)
    return found


def _may_be_guarded(arrivals: float, left: float, age: int) -> bool:
    """False where the deviance is less than `GUARD` for certain: its first term is no less, and no rounding fills the gap."""
    mean = (PRIOR_COUNT + left) / (LEAK * (PRIOR_TICKS + age))
    return arrivals > mean and 2.0 * arrivals * log(arrivals / mean) > 0.99 * GUARD


class _History:
    """What the rows hold, as arrays over segments.

    before  float64, the counter when the newest tick opened
    left    float64, what leaked out of it since the start, as far as the guard let it
    tick    int64, the newest tick plus 1; 0 where there was none
    count   int64, arrivals in the newest tick
    age     int64, ticks from the first to the newest; the first is the stream's with `since: stream`
    """

    def __init__(self, fingerprint: str, cells: Cells, ticks: Ticks) -> None:
        self._fields = [f"{fingerprint}.{name}" for name in ("before", "left", "tick", "counts")]
        self.before, self.left, self.tick, counts = (cells.read(field) for field in self._fields)
        self.count, self.age = counts[:, 0].astype(np.int64), counts[:, 1].astype(np.int64)

    def begin(self, seg: Ints, silent: Ints) -> None:
        """Gives those of `seg` that had no tick yet a history of so many silent ticks."""
        new = np.flatnonzero(self.tick[seg] == 0)
        self.age[seg[new]] = np.maximum(silent[new], 0)

    def advance(self, seg: Ints, tick: Ints) -> None:
        """Opens `tick` in the segments `seg`, each of which occurs once, and closes what was open before it."""
        gap = tick + 1 - self.tick[seg]
        moved = np.flatnonzero((gap > 0) & (self.tick[seg] > 0))
        if len(moved):
            self._close(seg[moved], gap[moved])
        self.tick[seg] = tick + 1

    def _close(self, seg: Ints, gap: Ints) -> None:
        left, age = self.left[seg], self.age[seg]
        arrivals = self.before[seg] + self.count[seg]
        kept = arrivals * _POWERS[np.minimum(gap, len(_POWERS) - 1)]
        leaked = arrivals - kept
        guarded = np.flatnonzero(leaked > 0.0)
        guarded = guarded[deviance(arrivals[guarded], left[guarded], age[guarded]) >= GUARD]
        if len(guarded):
            expected = (PRIOR_COUNT + left[guarded]) / (PRIOR_TICKS + age[guarded]) * gap[guarded]
            leaked[guarded] = np.minimum(leaked[guarded], POISON * expected)
        self.before[seg] = kept
        self.left[seg] = left + leaked
        self.age[seg] = age + gap
        self.count[seg] = 0

    def walk(self, seg: int, ticks: list[int], counts: list[int]) -> tuple[list[float], list[float], list[int]]:
        """Opens many ticks of one segment, all newer than its newest: `before`, `left` and `age` of each.

        The same steps as `advance` in Python's floats, which round as NumPy's do: a step costs a tenth of its NumPy calls.
        """
        before, left = float(self.before[seg]), float(self.left[seg])
        newest, count, age = int(self.tick[seg]) - 1, int(self.count[seg]), int(self.age[seg])
        found: list[tuple[float, float, int]] = []
        for tick, arriving in zip(ticks, counts, strict=True):
            gap = tick - newest
            arrivals = before + count
            kept = arrivals * (_POWERS_LIST[gap] if gap < len(_POWERS_LIST) else 0.0)
            leaked = arrivals - kept
            if leaked > 0.0 and _may_be_guarded(arrivals, left, age):
                guarded = deviance(np.array([arrivals]), np.array([left]), np.array([age])) >= GUARD
                if guarded[0]:
                    leaked = min(leaked, POISON * ((PRIOR_COUNT + left) / (PRIOR_TICKS + age) * gap))
            before, left, age, newest, count = kept, left + leaked, age + gap, tick, arriving
            found.append((before, left, age))
        self.before[seg], self.left[seg], self.age[seg] = before, left, age
        self.tick[seg], self.count[seg] = newest + 1, count
        befores, lefts, ages = zip(*found, strict=True)
        return list(befores), list(lefts), list(ages)

    def write(self, cells: Cells) -> None:
        most = np.iinfo(np.uint32).max
        counts = np.stack([np.minimum(self.count, most), np.minimum(self.age, most)], axis=1)
        for field, values in zip(self._fields, (self.before, self.left, self.tick, counts), strict=True):
            cells.write(field, values)
