"""envelope is what a naive per-event oracle says, and neither cuts nor caches nor the order inside a tick show."""

import math
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kind_observer import KindObserver
from operators.layout import Layout
from operators.store import DictStore
from tests.observe.streams import START, part_of, state
from tests.observe.test_speed_shape import calls
from tests.observe.ticked import TICK, kind_of, run, seeded, streams, ticked
from tests.oracle.envelope import EnvelopeOracle
from tests.oracle.windows import Event

COUNT = ticked("envelope", name="n", of="count")
TOTAL = ticked("envelope", 300_000, name="total", filter="some", of="sum", column="x", scale=2)
VALUE = ticked("envelope", 300_000, name="value", of="mean", column="x", scale=4)
FEATURES = [COUNT, TOTAL, VALUE]


def assert_as_oracle(events, answers):
    for plan in FEATURES:
        oracle = EnvelopeOracle(plan.tick_ms, plan.of, plan.scale)
        for at, event in enumerate(events):
            counts = plan.filter is None or event.values["some"] is True
            value = oracle.see(event.key, event.time, event.ingest, counts, event.values["x"])
            found = answers[plan.name][at]
            assert math.isnan(found) == (value is None), f"event {at}: {plan.name} is {found}, must be {value}"
            if value is not None:
                # Both round what they remember to 32 bits, in which a difference in the last bit of 64 may show.
                assert abs(found - value) <= 2e-5 * max(1.0, abs(value)), f"event {at}: {plan.name} {found} {value}"


@settings(max_examples=150, deadline=None)
@given(streams(), st.lists(st.integers(1, 60), max_size=8))
def test_any_stream_and_any_cuts(events, cuts):
    whole, observer, store = run(events, FEATURES)
    assert_as_oracle(events, whole)
    parts, other, rows = run(events, FEATURES, [c for c in cuts if c < len(events)], flush=True, cache_bytes=1)
    assert {n: v.tobytes() for n, v in whole.items()} == {n: v.tobytes() for n, v in parts.items()}
    assert state(observer, store) == state(other, rows)


@pytest.mark.parametrize(("keys", "step"), [(1, 90_000), (8, 20_000), (200, 4_000)])
def test_longer_streams(keys, step):
    events = seeded(keys, 4_000, keys=keys, step=step)
    whole, observer, store = run(events, FEATURES)
    assert_as_oracle(events, whole)
    if keys < 200:
        assert all((np.nan_to_num(whole[plan.name]) > 0).any() for plan in FEATURES)
    parts, other, rows = run(events, FEATURES, range(1, 4_000, 97), flush=True, cache_bytes=1)
    assert {n: v.tobytes() for n, v in whole.items()} == {n: v.tobytes() for n, v in parts.items()}
    assert state(observer, store) == state(other, rows)


def readings(values, tick=300_000):
    """A value series: one reading in each tick; None is no reading."""
    return [
        Event("a", START + at * tick, START + at * tick, {"x": x, "h": None, "some": True})
        for at, x in enumerate(values)
        if x is not None
    ]


def test_a_reading_is_scored_when_the_next_tick_begins():
    draw = random.Random(2)
    values = [10 + draw.gauss(0, 0.1) for _ in range(400)]
    values[300] = 20.0
    answers, _, _ = run(readings(values), [VALUE])
    value = answers["value"]
    assert np.isnan(value[:101]).all()
    assert not np.isnan(value[101:]).any()
    assert value[300] < 0.2
    assert value[301] > 1
    assert np.argmax(np.nan_to_num(value)) == 301


def test_one_event_is_one_alarm_unless_it_gets_worse():
    draw = random.Random(3)
    values = [10 + draw.gauss(0, 0.1) for _ in range(500)]
    for at in range(300, 310):
        values[at] = 20.0 + draw.random()
    values[312] = 200.0
    answers, _, _ = run(readings(values), [VALUE])
    value = answers["value"]
    assert value[301] > 1
    assert (value[302:312] == 0).all()
    assert value[313] > 1.5 * value[301]


def clocked(days, quiet, odd):
    """Readings of 50, of 5 where `quiet` is true of (weekday, hour), and 40 more in the tick `odd`: what is answered before it
    is known, from tick 400 on, and then."""
    values = []
    for tick in range(days * 288):
        at = datetime.fromtimestamp((START + tick * 300_000) / 1000, UTC)
        low = quiet(at.weekday(), at.hour)
        values.append((5.0 if low else 50.0) + tick % 5 * 0.1 + (40.0 if tick == odd else 0.0))
    assert values[odd] < 46
    answers, _, _ = run(readings(values), [VALUE])
    return answers["value"][400 : odd + 1], answers["value"][odd + 1]


def test_the_hour_of_the_day_is_learned():
    before, found = clocked(21, lambda _, hour: hour < 6, 20 * 288 + 40)
    assert found > 0.2
    assert before[14 * 288 :].max() < 0.1 * found


def test_weekends_are_learned_apart():
    before, found = clocked(28, lambda day, _: day >= 5, 25 * 288 + 168)
    assert found > 0.2
    assert before[14 * 288 :].max() < 0.1 * found


def test_a_burst_before_a_silence_is_seen_by_the_event_after_it():
    events = []
    for tick in range(300):
        events += [Event("a", START + tick * TICK, START + tick * TICK, {"x": None, "h": None, "some": True})] * (
            2 + tick % 2
        )
    events += [Event("a", START + 300 * TICK, START + 300 * TICK, events[0].values)] * 50
    later = START + 330 * TICK
    events.append(Event("a", later, later, events[0].values))
    answers, _, _ = run(events, [COUNT])
    assert answers["n"][-1] > 3


def test_a_series_without_a_change_never_alarms():
    answers, _, _ = run(readings([7.0] * 600), [VALUE])
    assert set(answers["value"][101:].tolist()) == {0.0}


def test_a_read_ends_the_tick_and_changes_nothing():
    draw = random.Random(2)
    events = readings([10 + draw.gauss(0, 0.1) for _ in range(300)] + [20.0])
    _, observer, store = run(events, [VALUE])
    before = state(observer, store)
    assert observer.read(b"a", events[-1].time + 300_000)["features"]["value"] > 1
    assert observer.read(b"nobody", START)["features"]["value"] is None
    assert state(observer, store) == before


def test_a_new_plan_keeps_the_model():
    events = seeded(4, 2_000, keys=3)
    store = DictStore()
    observer = KindObserver(kind_of([VALUE]), store)
    observer.update(part_of(events[:1_000]))
    store.put_many(*observer.take_dirty())
    observer.replan(kind_of([COUNT, VALUE]))
    later = observer.update(part_of(events[1_000:]))
    assert later.values["value"].tobytes() == run(events, [VALUE])[0]["value"][1_000:].tobytes()


def test_a_key_takes_200_bytes():
    assert Layout.of(kind_of([VALUE])).dtype.itemsize - Layout.of(kind_of([])).dtype.itemsize == 200


@pytest.mark.parametrize(("few", "many"), [(1, 1), (40, 40), (40, 400)])
def test_calls_do_not_grow_with_events_or_entities(few, many):
    def stream(count, keys):
        times = [START + at * 3_000_000 // count for at in range(count)]
        return [Event(f"k{at % keys}", t, t, {"x": 1.0, "h": None, "some": True}) for at, t in enumerate(times)]

    small = calls(part_of(stream(800, few)), KindObserver(kind_of(FEATURES), DictStore()))
    large = calls(part_of(stream(8_000, many)), KindObserver(kind_of(FEATURES), DictStore()))
    assert large < 2 * small + 1_000
