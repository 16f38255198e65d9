"""envelope: how far a tick of an entity lies outside of what its level, its drift, the time of the day and the tick before let expect.

`envelope_model` says what is learned and scored. Here events become ticks. The value of a tick is the number of events in it, or
the sum or the mean of a column; a tick without events is a 0 of a count or a sum, and is no tick of a mean. A tick ends when the
entity's first event after it comes: only then is it scored. The answer in a tick is the greatest score of the ticks that
ended when it began, so a burst before a silence is not lost. NULL until the entity has had 100 ticks.

Of a silence the first empty tick counts by itself and the others together, as one step: the means forget and the bounds
narrow as in as many ticks, the last of them is scored. More than 4,096 count as so many.

Sums are whole numbers at the feature's scale, and a tick is folded into the model when it ends, in the order of ticks: neither the
order of events inside a tick nor the cut of batches shows.
"""

import numpy as np

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.envelope_model import LEARNING, LONGEST_GAP, SLOTS, VIEWS, WEEKDAY, WEEKEND, Model
from operators.windows.segments import Bools, Floats, Ints, Segments
from operators.windows.sums import LARGEST
from operators.windows.ticks import Ticks

DAY_MS = 86_400_000
_FULLEST = 1 << 62
"""A tick's sum stops here: more than 60,000 events of the greatest value."""

_LOW, _HIGH = SLOTS, SLOTS + VIEWS
_REST = SLOTS + 2 * VIEWS
_FAST, _SLOW, _MOVED, _BEFORE, _TOGETHER, _SQUARE, _LOUDEST, _ANSWER = range(_REST, _REST + 8)
_EVENTS, _TICKS, _KNOWN = range(_REST + 8, _REST + 11)
WORDS = _REST + 11
"""Words of 32 bits in a row's cell."""


def envelope(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Score of the ticks that ended when the event's tick began, 0 or more; NULL while the entity is new, and for events
    older than ten ticks.

    200 bytes a key. O(rows), and some fifty NumPy calls for each tick of the entity that has most of them in the part.
    """
    ticks = Ticks(segments, feature.tick_ms)
    cells.drop(ticks.dropped)
    added, events = _values(feature, segments, ticks)
    state = _State(feature, cells)
    sums, counts = ticks.sums(added), ticks.sums(events)
    answers = np.empty(len(ticks.seg))
    for runs in ticks.rounds(1):
        seg = ticks.seg[runs]
        state.open(seg, ticks.tick[runs])
        state.events[seg] += counts[runs]
        state.sum[seg] = np.clip(state.sum[seg] + sums[runs], -_FULLEST, _FULLEST)
        answers[runs] = state.answer[seg]
    state.write(cells)
    found: Floats = answers[ticks.group]
    if ticks.dropped is not None:
        found[ticks.dropped] = np.nan
    return found


def _values(feature: FeaturePlan, segments: Segments, ticks: Ticks) -> tuple[Ints, Ints]:
    """By row: what it adds to its tick in fixed point, and whether it counts as an event of it."""
    counted: Bools | None = ticks.counted(feature.filter)
    if feature.column is None:
        events = np.ones(segments.rows, np.int64) if counted is None else counted.astype(np.int64)
        return np.zeros(segments.rows, np.int64), events
    values = segments.numbers(feature.column)
    valued = ~np.isnan(values)
    if counted is not None:
        valued &= counted
    fixed = np.rint(np.where(valued, values, 0.0) * 10.0**feature.scale)
    return np.clip(fixed, -LARGEST, LARGEST).astype(np.int64), valued.astype(np.int64)


class _State:
    """The cells of a part: the model, and the tick that is open, as arrays over segments.

    tick    int64, the open tick plus 1; 0 where there is none
    events  int64, events in it; `sum`, int64, their values in fixed point
    answer  float32, what its events see
    """

    def __init__(self, feature: FeaturePlan, cells: Cells) -> None:
        self.feature = feature
        self._fields = [f"{feature.fingerprint}.{name}" for name in ("tick", "sum", "words")]
        self.tick, self.sum, words = (cells.read(field) for field in self._fields)
        self._words = words
        singles = words.view(np.float32)
        self.answer = singles[:, _ANSWER]
        self.events = words[:, _EVENTS].astype(np.int64)
        since_and_known = words[:, _KNOWN].astype(np.int64)
        self.model = Model(
            fast=singles[:, _FAST],
            slow=singles[:, _SLOW],
            profile=singles[:, :SLOTS],
            low=singles[:, _LOW:_HIGH],
            high=singles[:, _HIGH:_REST],
            moved=singles[:, _MOVED],
            rest=singles[:, _BEFORE],
            together=singles[:, _TOGETHER],
            square=singles[:, _SQUARE],
            loudest=singles[:, _LOUDEST],
            since=since_and_known >> SLOTS,
            ticks=words[:, _TICKS].astype(np.int64),
            known=since_and_known & (1 << SLOTS) - 1,
            grain=1.0 if feature.column is None else 10.0**-feature.scale,
        )

    def open(self, seg: Ints, tick: Ints) -> None:
        """Opens `tick` in the segments `seg`, each of which occurs once, and ends what came before it."""
        before = self.tick[seg] - 1
        opened = seg[tick > before]
        self.answer[opened] = np.where(self.model.ticks[opened] > LEARNING, 0.0, np.nan)
        ends = np.flatnonzero((before >= 0) & (tick > before))
        if self.feature.of == "mean":
            ends = ends[self.events[seg[ends]] > 0]
        if len(ends):
            self._end(seg[ends], before[ends], tick[ends])
        self.events[opened] = 0
        self.sum[opened] = 0
        self.tick[seg] = tick + 1

    def _end(self, seg: Ints, last: Ints, tick: Ints) -> None:
        one = np.ones(len(seg), np.int64)
        score = self.model.tick(seg, self._value(seg), self._slot(last), one)
        if self.feature.of != "mean":
            for silence in (self._first_empty, self._other_empties):
                silent, found = silence(seg, last, tick)
                score[silent] = np.fmax(score[silent], found)
        self.answer[seg] = score

    def _first_empty(self, seg: Ints, last: Ints, tick: Ints) -> tuple[Ints, Floats]:
        at = np.flatnonzero(tick - last > 1)
        one = np.ones(len(at), np.int64)
        return at, self.model.tick(seg[at], np.zeros(len(at)), self._slot(last[at] + 1), one)

    def _other_empties(self, seg: Ints, last: Ints, tick: Ints) -> tuple[Ints, Floats]:
        at = np.flatnonzero(tick - last > 2)
        stop = tick[at]
        start = np.maximum(last[at] + 2, stop - LONGEST_GAP)
        spent = self._spent(start, stop)
        return at, self.model.tick(seg[at], np.zeros(len(at)), self._slot(stop - 1), stop - start, spent)

    def _value(self, seg: Ints) -> Floats:
        events = self.events[seg].astype(np.float64)
        if self.feature.column is None:
            return events
        sums = self.sum[seg] / 10.0**self.feature.scale
        return sums / events if self.feature.of == "mean" else sums

    def _slot(self, tick: Ints) -> Ints:
        """The slot in which a tick begins."""
        time = tick * self.feature.tick_ms
        weekend, rest = _days(time // DAY_MS)[2], time % DAY_MS
        return np.where(weekend, WEEKDAY + rest * WEEKEND // DAY_MS, rest * WEEKDAY // DAY_MS)

    def _spent(self, start: Ints, stop: Ints) -> Ints:
        """How many of the ticks [start, stop) lie in each slot: the time that they share, in whole ticks."""
        tick_ms = self.feature.tick_ms
        spent: Ints = (_shared(stop * tick_ms) - _shared(start * tick_ms)) // tick_ms
        return spent

    def write(self, cells: Cells) -> None:
        most, model = np.iinfo(np.uint32).max, self.model
        self._words[:, _EVENTS] = np.minimum(self.events, most)
        self._words[:, _TICKS] = np.minimum(model.ticks, most)
        self._words[:, _KNOWN] = model.since << SLOTS | model.known
        for field, values in zip(self._fields, (self.tick, self.sum, self._words), strict=True):
            cells.write(field, values)


def _days(day: Ints) -> tuple[Ints, Ints, Bools]:
    """Weekdays and days of weekends before a day, both counted from the same one; and whether it is of a weekend."""
    weeks, of_week = np.divmod(day + 3, 7)  # the first day of 1970 was a Thursday
    weekends = weeks * 2 + np.maximum(of_week - 5, 0)
    return day - weekends, weekends, of_week >= 5


def _shared(time: Ints) -> Ints:
    """Milliseconds of each slot up to `time`, counted from the same time; rows are times."""
    weekdays, weekends, weekend = _days(time // DAY_MS)
    rest = (time % DAY_MS)[:, None]
    slots = []
    for number, days, today in ((WEEKDAY, weekdays, ~weekend), (WEEKEND, weekends, weekend)):
        length = DAY_MS // number
        opened = np.clip(rest - np.arange(number) * length, 0, length)
        slots.append(days[:, None] * length + np.where(today[:, None], opened, 0))
    return np.concatenate(slots, axis=1)
