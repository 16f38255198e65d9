"""What an envelope knows of one entity, and how a tick changes it: plain arrays over entities, no events.

A tick's value y is seen in five views: y itself; a level that follows it in hours; y against what its hour of the day
usually has; that level against one that follows in days; and how much y moves from tick to tick. Each view has a lowest and
a highest value that are normal. A view outside of them is scored by how far, in units of the distance between them plus
3 % of the slow level plus one event (of a sum or a mean: one unit of its scale), and widens them by most of the way; every tick narrows them by a little, so that what was once
extreme becomes unusual again. The score is the weighted sum over the views.

After a score L nothing up to 1.5 L is scored again for twenty ticks: one event, one alarm.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.windows.segments import Bools, Floats, Ints

Singles = npt.NDArray[np.float32]

FAST, SLOW, HOURLY, MOVING = 0.01, 0.003, 0.01, 0.02
"""Rates of the levels, of the profile and of the movement; while fewer ticks were seen, their plain mean."""
WEIGHTS = np.array([1.0, 1.5, 1.5, 3.0, 3.0])
WIDEN = 0.7
NARROW = 3e-5
"""Share of the distance by which each side comes nearer in a tick."""
FLOOR = 0.03
"""Share of the slow level below which a distance says nothing."""
LEARNING = 100
"""Ticks before the first score."""
QUIET = 20
LOUDER = 1.5
GREATEST = 1_000.0
"""A score stops here: after a long silence anything is far outside."""

HOURS = 24
VIEWS = len(WEIGHTS)
LONGEST_GAP = 4_096
"""A silence of more ticks counts as one of so many."""


def _powers(base: float) -> Floats:
    return np.multiply.accumulate(np.append(1.0, np.full(LONGEST_GAP, base)))


_KEPT = {rate: _powers(1.0 - rate) for rate in (FAST, SLOW, HOURLY, MOVING)}
_NARROWED = _powers(1.0 - 2.0 * NARROW)


@dataclass(slots=True)
class Model:
    """State by entity. What is stored in 32 bits is rounded to them after every tick, so that no cut of batches shows.

    fast, slow  float64, the two levels
    profile     float32 [HOURS], the usual value of each hour of the day, in UTC
    low, high   float32 [VIEWS], what is normal
    moved       float32, mean movement from tick to tick
    last        float32, value of the last tick
    loudest     float32, the last score that was given, and `since`, int64, the ticks from then
    ticks       int64, ticks seen
    hours       int64, one bit for each hour that the profile has
    grain       the least by which two values differ: one event, or the unit of a sum's scale
    """

    fast: Floats
    slow: Floats
    profile: Singles
    low: Singles
    high: Singles
    moved: Singles
    last: Singles
    loudest: Singles
    since: Ints
    ticks: Ints
    hours: Ints
    grain: float

    def tick(self, at: Ints, value: Floats, hour: Ints, repeats: Ints, spent: Ints | None = None) -> Floats:
        """Ends `repeats` ticks (1 or more) of one `value` each for the entities `at`, which are all different.

        `hour` is that of the last of these ticks; `spent`, by entity and hour, how many of them lie in each, where they
        are more than one. Gives the scores, NaN while an entity has fewer than `LEARNING` ticks. Of several ticks the last one is
        scored.
        """
        ticks = self.ticks[at]
        new = ticks == 0
        slow, last = self.slow[at], self.last[at].astype(np.float64)
        slow, last = np.where(new, value, slow), np.where(new, value, last)
        fast = np.where(new, value, self.fast[at])

        fast = value + (fast - value) * _kept(FAST, ticks, repeats)
        slow = value + (slow - value) * _kept(SLOW, ticks, repeats)
        step = np.abs(value - last)  # only the first of several equal ticks moves
        moved = (self.moved[at] + (step - self.moved[at]) / np.minimum(ticks + 1, 1.0 / MOVING)) * _KEPT[MOVING][
            repeats - 1
        ]

        known = (self.hours[at] >> hour) & 1 == 1
        usual = np.where(known, self.profile[at, hour].astype(np.float64), slow)
        views = np.stack([value, fast, value - usual, fast - slow, moved], axis=1)
        score = self._score(at, views, slow, repeats, new)
        self._learn_hours(at, value, hour, ticks, known, spent)

        self.fast[at], self.slow[at], self.moved[at], self.last[at] = fast, slow, moved, value
        self.ticks[at] = ticks + repeats
        score[ticks < LEARNING] = np.nan
        return self._once(at, score, repeats)

    def _score(self, at: Ints, views: Floats, slow: Floats, repeats: Ints, new: Bools) -> Floats:
        low = np.where(new[:, None], views, self.low[at])
        high = np.where(new[:, None], views, self.high[at])
        distance = high - low
        above, below = np.maximum(views - high, 0.0), np.maximum(low - views, 0.0)
        unit = distance + (FLOOR * np.abs(slow) + self.grain)[:, None]
        narrower = 0.5 * distance * (1.0 - _NARROWED[repeats])[:, None]
        self.high[at] = high + WIDEN * above - narrower
        self.low[at] = low - WIDEN * below + narrower
        # One after the other: a matrix product may add in another order for another number of rows.
        outside = (above + below) / unit
        score: Floats = outside[:, 0] * WEIGHTS[0]
        for view in range(1, VIEWS):
            score += outside[:, view] * WEIGHTS[view]
        return np.minimum(score, GREATEST)

    def _learn_hours(self, at: Ints, value: Floats, hour: Ints, ticks: Ints, known: Bools, spent: Ints | None) -> None:
        if spent is None:
            usual = self.profile[at, hour].astype(np.float64)
            rate = np.where(known, np.maximum(HOURLY, HOURS / (ticks + HOURS)), 1.0)
            self.profile[at, hour] = usual + rate * (value - usual)
            self.hours[at] |= 1 << hour
            return
        profile = self.profile[at].astype(np.float64)
        bits = np.arange(HOURS)
        unknown = (self.hours[at][:, None] >> bits) & 1 == 0
        kept = np.where(unknown, 0.0, _KEPT[HOURLY][spent])
        self.profile[at] = np.where(spent > 0, value[:, None] + (profile - value[:, None]) * kept, profile)
        self.hours[at] |= ((spent > 0).astype(np.int64) << bits).sum(axis=1)

    def _once(self, at: Ints, score: Floats, repeats: Ints) -> Floats:
        since = self.since[at] + repeats
        quiet = (self.loudest[at] > 0) & (since <= QUIET) & (score <= LOUDER * self.loudest[at])
        score = np.where(quiet & ~np.isnan(score), 0.0, score)
        given = score > 0.0
        self.loudest[at] = np.where(given, score, self.loudest[at])
        self.since[at] = np.where(given, 0, np.minimum(since, QUIET + 1))
        return score


def _kept(rate: float, ticks: Ints, repeats: Ints) -> Floats:
    """What stays of a mean after `repeats` more ticks: it is plain until 1 / rate ticks, then it forgets at `rate`."""
    plain = np.clip(int(1.0 / rate) - ticks, 0, repeats)
    kept: Floats = ticks / np.maximum(ticks + plain, 1) * _KEPT[rate][repeats - plain]
    return kept
