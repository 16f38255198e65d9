"""What an envelope knows of one entity, and how a tick changes it: plain arrays over entities, no events.

A tick's value y is seen in five views: y itself; its rest, which is y against what this time of the day usually has, weekdays
and weekends apart; a level that follows y in hours against one that follows in days; the step, which is the rest
against what the rest before lets expect; and how large steps are. Each view has a lowest and
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

FAST, SLOW, DAILY, MOVING = 0.01, 0.003, 0.01, 0.02
"""Rates of the levels, of the profile and of the movement; while fewer ticks were seen, the levels and the movement are plain
means, and a slot of the profile learns faster."""
CARRIED = 0.005
"""Rate of what tells how much of a rest carries over to the next tick."""
WEIGHTS = np.array([1.0, 1.5, 3.0, 1.0, 1.0])
WIDEN = 0.7
NARROW = 1.5e-5
"""Share of the distance by which each side comes nearer in a tick."""
FLOOR = 0.03
"""Share of the slow level below which a distance says nothing."""
LEARNING = 100
"""Ticks before the first score."""
QUIET = 20
LOUDER = 1.5
GREATEST = 1_000.0
"""A score stops here: after a long silence anything is far outside."""

WEEKDAY, WEEKEND = 16, 8
"""Slots of a day in the profile: an hour and a half each from Monday to Friday, three hours on the others."""
SLOTS = WEEKDAY + WEEKEND
VIEWS = len(WEIGHTS)
LONGEST_GAP = 4_096
"""A silence of more ticks counts as one of so many."""


def _powers(base: float) -> Floats:
    return np.multiply.accumulate(np.append(1.0, np.full(LONGEST_GAP, base)))


_KEPT = {rate: _powers(1.0 - rate) for rate in (FAST, SLOW, DAILY, MOVING, CARRIED)}
_NARROWED = _powers(1.0 - 2.0 * NARROW)


@dataclass(slots=True)
class Model:
    """State by entity. What is stored in 32 bits is rounded to them after every tick, so that no cut of batches shows.

    fast, slow  float32, the two levels
    profile     float32 [SLOTS], the usual value of each slot: those of a weekday, then those of a day of the weekend
    low, high   float32 [VIEWS], what is normal
    moved       float32, mean size of steps
    rest        float32, that of the last tick
    together    float32, mean of rest x rest before, and `square`, float32, of rest before squared
    loudest     float32, the last score that was given, and `since`, int64, the ticks from then
    ticks       int64, ticks seen
    known       int64, one bit for each slot that the profile has
    grain       the least by which two values differ: one event, or the unit of a sum's scale
    """

    fast: Singles
    slow: Singles
    profile: Singles
    low: Singles
    high: Singles
    moved: Singles
    rest: Singles
    together: Singles
    square: Singles
    loudest: Singles
    since: Ints
    ticks: Ints
    known: Ints
    grain: float

    def tick(self, at: Ints, value: Floats, slot: Ints, repeats: Ints, spent: Ints | None = None) -> Floats:
        """Ends `repeats` ticks (1 or more) of one `value` each for the entities `at`, which are all different.

        `slot` is that of the last of these ticks; `spent`, by entity and slot, how many of them lie in each, where they
        are more than one. Gives the scores, NaN while an entity has fewer than `LEARNING` ticks. Of several ticks the last one is
        scored.
        """
        ticks = self.ticks[at]
        new = ticks == 0
        fast = np.where(new, value, self.fast[at].astype(np.float64))
        slow = np.where(new, value, self.slow[at].astype(np.float64))
        fast = value + (fast - value) * _kept(FAST, ticks, repeats)
        slow = value + (slow - value) * _kept(SLOW, ticks, repeats)

        known = self._knows(at, slot)
        rest = value - self._usual(at, slot, known, slow)
        # Of several equal ticks the last one follows one like itself.
        before = np.where(repeats > 1, rest, self.rest[at])
        step = rest - self._carry(at, rest, before, repeats)
        size = np.abs(step)
        moved = size + (self.moved[at] - size) * _kept(MOVING, ticks, repeats)

        views = np.stack([value, rest, fast - slow, step, moved], axis=1)
        score = self._score(at, views, slow, repeats, new)
        self._learn_slots(at, value, slot, ticks, known, spent)

        self.fast[at], self.slow[at], self.moved[at], self.rest[at] = fast, slow, moved, rest
        self.ticks[at] = ticks + repeats
        score[ticks < LEARNING] = np.nan
        return self._once(at, score, repeats)

    def _knows(self, at: Ints, slot: Ints) -> Bools:
        known: Bools = (self.known[at] >> slot) & 1 == 1
        return known

    def _usual(self, at: Ints, slot: Ints, known: Bools, slow: Floats) -> Floats:
        """What the slot has; on a first weekend what a weekday has at that time; the slow level where that is not known either."""
        usual = self.profile[at, slot].astype(np.float64)
        news = np.flatnonzero(~known)
        if len(news):
            on_weekdays = np.where(slot[news] < WEEKDAY, slot[news], (slot[news] - WEEKDAY) * (WEEKDAY // WEEKEND))
            likely = self.profile[at[news], on_weekdays].astype(np.float64)
            usual[news] = np.where(self._knows(at[news], on_weekdays), likely, slow[news])
        return usual

    def _carry(self, at: Ints, rest: Floats, before: Floats, repeats: Ints) -> Floats:
        """What `before` lets expect of `rest`, by the autocorrelation up to then; and learns of both."""
        together, square = self.together[at].astype(np.float64), self.square[at].astype(np.float64)
        share = np.divide(together, square, out=np.zeros(len(at)), where=square > 0.0)
        kept = _KEPT[CARRIED][repeats]
        self.together[at] = rest * before + (together - rest * before) * kept
        self.square[at] = before * before + (square - before * before) * kept
        carried: Floats = np.clip(share, 0.0, 1.0) * before
        return carried

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

    def _learn_slots(self, at: Ints, value: Floats, slot: Ints, ticks: Ints, known: Bools, spent: Ints | None) -> None:
        if spent is None:
            usual = self.profile[at, slot].astype(np.float64)
            rate = np.where(known, np.maximum(DAILY, SLOTS / (ticks + SLOTS)), 1.0)
            self.profile[at, slot] = usual + rate * (value - usual)
            self.known[at] |= 1 << slot
            return
        profile = self.profile[at].astype(np.float64)
        bits = np.arange(SLOTS)
        unknown = (self.known[at][:, None] >> bits) & 1 == 0
        kept = np.where(unknown, 0.0, _KEPT[DAILY][spent])
        self.profile[at] = np.where(spent > 0, value[:, None] + (profile - value[:, None]) * kept, profile)
        self.known[at] |= ((spent > 0).astype(np.int64) << bits).sum(axis=1)

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
