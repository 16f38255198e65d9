"""Streams for the features that go tick by tick, and ways to run them."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from operators.kind_observer import KindObserver
from operators.plan import FeaturePlan, KindPlan
from operators.store import DictStore
from tests.observe.streams import SILENCE, START, joined, part_of
from tests.oracle.windows import Event

TICK = 60_000


def ticked(aggregate: str, tick_ms: int = TICK, name: str | None = None, filter: str | None = None, **given: object):
    """A feature that goes tick by tick. A fingerprint is the definition in words."""
    words = f"{aggregate} {tick_ms} {filter} {given}"
    plan = FeaturePlan(name or aggregate, aggregate, None, filter, 0, 12, 32, 6, 60_000, words, tick_ms)
    return replace(plan, **given)


def kind_of(features: Sequence[FeaturePlan]) -> KindPlan:
    return KindPlan("account", ("account",), None, ("",), tuple(features), ("vip",))


def run(
    events: Sequence[Event],
    features: Sequence[FeaturePlan],
    cuts: Iterable[int] = (),
    flush: bool = False,
    since: dict[str, int] | None = None,
    **options: int,
):
    """Answers by feature to `events`, cut into parts before the given positions; the observer and the store behind it."""
    store = DictStore()
    observer = KindObserver(kind_of(features), store, **options)
    answers = []
    for start, stop in pairwise([0, *sorted(set(cuts)), len(events)]):
        answers.append(observer.update(replace(part_of(events[start:stop]), since=since or {})))
        if flush:
            store.put_many(*observer.take_dirty())
    return joined(answers), observer, store


_steps = st.sampled_from(
    [0, 0, 0, 0, 1, 5_000, 59_999, 60_000, 61_000, 600_000, 3_600_000, 86_400_000, 40 * 86_400_000, SILENCE]
)
_late = st.sampled_from([0, 0, 0, 0, 0, 1, 60_000, 600_000, 660_000, 659_999, 7_200_000])
_number = st.one_of(st.none(), st.sampled_from([0.0, -0.5, 1.0, 2.0, 1e6]), st.floats(-1e6, 1e6).map(lambda x: x + 0.0))


@st.composite
def streams(draw, most=50):
    """Bursts, ties, late events, gaps of many empty ticks, and silences after which an entity reads as new."""
    clock = START
    events = []
    for _ in range(draw(st.integers(1, most))):
        clock += draw(_steps)
        values = {"x": draw(_number), "h": None, "some": draw(st.booleans())}
        one = Event(draw(st.sampled_from(["a", "b", "ключ"])), clock - draw(_late), clock, values)
        events += [one] * draw(st.sampled_from([1, 1, 1, 2, 30]))
    return events


def seeded(seed: int, count: int, keys: int = 5, step: int = 20_000, late: float = 0.1, gap: float = 0.003):
    """A long stream with a burst now and then, and silences of hours."""
    draw = random.Random(seed)
    clock = START
    events = []
    while len(events) < count:
        clock += draw.randrange(step)
        if draw.random() < gap:
            clock += draw.randrange(30 * 3_600_000)
        key = f"k{draw.randrange(keys)}"
        for _ in range(draw.choice([20, 60]) if draw.random() < 0.01 else 1):
            time = clock - draw.randrange(700_000) if draw.random() < late else clock
            x = None if draw.random() < 0.1 else draw.gauss(50, 5) + (40 if draw.random() < 0.02 else 0)
            events.append(Event(key, time, clock, {"x": x, "h": None, "some": draw.random() < 0.6}))
    return events[:count]


def assert_close(got: np.ndarray, expected: Sequence[float | None], events: Sequence[Event]) -> None:
    """Equal up to the rounding of two ways to compute the same."""
    for at, value in enumerate(expected):
        found = None if np.isnan(got[at]) else float(got[at])
        assert (found is None) == (value is None), f"event {at} {events[at]}: {found}, must be {value}"
        if value is not None:
            assert abs(found - value) <= 1e-7 * max(1.0, abs(value)), (
                f"event {at} {events[at]}: {found}, must be {value}"
            )
