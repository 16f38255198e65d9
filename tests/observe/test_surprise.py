"""surprise is what a naive per-event oracle says, and neither cuts nor caches nor the order inside a tick show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kind_observer import KindObserver
from operators.layout import Layout
from operators.store import DictStore
from tests.observe.streams import START, part_of, state
from tests.observe.test_speed_shape import calls
from tests.observe.ticked import TICK, assert_close, kind_of, run, seeded, streams, ticked
from tests.oracle.surprise import SurpriseOracle
from tests.oracle.windows import Event

PLAIN = ticked("surprise")
SOME = ticked("surprise", 3_600_000, name="some", filter="some")
LONG = ticked("surprise", name="long", of_stream=True)
FEATURES = [PLAIN, SOME, LONG]
SINCE = {LONG.fingerprint: START - 3 * 86_400_000}


def assert_as_oracle(events, answers, since=None):
    plain, some, long = SurpriseOracle(TICK), SurpriseOracle(3_600_000), SurpriseOracle(TICK, since)
    assert_close(answers["surprise"], [plain.see(e.key, e.time, e.ingest) for e in events], events)
    assert_close(answers["long"], [long.see(e.key, e.time, e.ingest) for e in events], events)
    counted = [some.see(e.key, e.time, e.ingest, e.values["some"]) for e in events]
    assert_close(answers["some"], counted, events)


@settings(max_examples=200, deadline=None)
@given(
    streams(), st.lists(st.integers(1, 60), max_size=8), st.sampled_from([START - 90 * 86_400_000, START, START + TICK])
)
def test_any_stream_and_any_cuts(events, cuts, begun):
    since = {LONG.fingerprint: begun}
    whole, observer, store = run(events, FEATURES, since=since)
    assert_as_oracle(events, whole, begun)
    cuts = [c for c in cuts if c < len(events)]
    parts, other, rows = run(events, FEATURES, cuts, flush=True, since=since, cache_bytes=1)
    assert {n: v.tobytes() for n, v in whole.items()} == {n: v.tobytes() for n, v in parts.items()}
    assert state(observer, store) == state(other, rows)


@pytest.mark.parametrize("keys", [1, 8, 300])
def test_longer_streams(keys):
    events = seeded(keys, 4_000, keys=keys)
    whole, observer, store = run(events, FEATURES)
    assert_as_oracle(events, whole)
    assert (whole["surprise"] > 40).any()
    parts, other, rows = run(events, FEATURES, range(1, 4_000, 97), flush=True, cache_bytes=1)
    assert whole["surprise"].tobytes() == parts["surprise"].tobytes()
    assert whole["some"].tobytes() == parts["some"].tobytes()
    assert state(observer, store) == state(other, rows)


def arrivals(*counts, start=START):
    """So many arrivals in each of the ticks that follow each other."""
    events = []
    for tick, count in enumerate(counts):
        time = start + tick * TICK
        events += [Event("a", time, time, {"x": None, "h": None, "some": True})] * count
    return events


def test_a_new_entity_starts_with_what_is_assumed():
    answers, _, _ = run(arrivals(10), [PLAIN])
    assert answers["surprise"][0] == pytest.approx(2.98, abs=0.005)
    assert answers["surprise"][9] == pytest.approx(44.03, abs=0.005)


def test_who_is_new_in_a_stream_that_is_not_has_been_silent_all_along():
    answers, _, _ = run(arrivals(3), [PLAIN, LONG], since=SINCE)
    assert answers["surprise"].tolist() == pytest.approx([2.98, 7.18, 11.61], abs=0.005)
    assert answers["long"].tolist() == pytest.approx([10.28, 21.87, 33.69], abs=0.005)
    assert run(arrivals(3), [PLAIN, LONG])[0]["long"].tolist() == answers["surprise"].tolist(), "nothing is known"


def test_a_steady_rate_is_no_surprise_and_ten_times_of_it_is():
    answers, _, _ = run(arrivals(*[5] * 2_000, 50), [PLAIN])
    assert answers["surprise"][9_000:10_000].max() < 1
    assert answers["surprise"][-1] > 20


def test_a_burst_does_not_excuse_the_next_one():
    quiet, burst = [1, 0, 0, 0] * 100, [200] * 10
    answers, _, _ = run(arrivals(*quiet, *burst, *[0] * 200, *burst), [PLAIN])
    first, second = answers["surprise"][100:2100], answers["surprise"][2100:]
    assert second.max() > 0.7 * first.max() > 1_000


def test_an_event_too_old_to_count_is_null_and_counted():
    events = arrivals(1)
    for late in (600_000, 660_000):
        events.append(Event("a", START - late, START, events[0].values))
    answers, observer, _ = run(events, [PLAIN])
    assert np.isnan(answers["surprise"]).tolist() == [False, False, True]
    assert observer.read(b"a", START)["late_dropped"] == 1


def test_a_read_sees_the_deviance_decay_and_changes_nothing():
    events = arrivals(30)
    answers, observer, store = run(events, [PLAIN])
    before = state(observer, store)
    assert observer.read(b"a", START)["features"]["surprise"] == answers["surprise"][-1]
    later = observer.read(b"a", START + 5 * TICK)["features"]["surprise"]
    assert 0 < later < answers["surprise"][-1]
    assert observer.read(b"nobody", START)["features"]["surprise"] == 0.0
    assert state(observer, store) == before


def test_a_new_plan_keeps_the_history_and_a_new_feature_starts_at_the_newest_tick():
    events = seeded(4, 1_000, keys=6)
    store = DictStore()
    observer = KindObserver(kind_of([PLAIN]), store)
    observer.update(part_of(events[:500]))
    store.put_many(*observer.take_dirty())
    observer.replan(kind_of([SOME, PLAIN]))
    later = observer.update(part_of(events[500:]))
    assert later.values["surprise"].tobytes() == run(events, [PLAIN])[0]["surprise"][500:].tobytes()
    assert np.isfinite(later.values["some"][~np.isnan(later.values["some"])]).all()
    assert Layout.of(kind_of([PLAIN])).dtype.itemsize - Layout.of(kind_of([])).dtype.itemsize == 32


@pytest.mark.parametrize("keys", [1, 3_000])
def test_calls_do_not_grow_with_events_or_entities(keys):
    def stream(count):
        return [
            Event(
                f"k{at % keys}",
                START + at * 300_000 // count,
                START + at * 300_000 // count,
                {"x": None, "h": None, "some": True},
            )
            for at in range(count)
        ]

    small = calls(part_of(stream(500)), KindObserver(kind_of(FEATURES), DictStore()))
    large = calls(part_of(stream(8_000)), KindObserver(kind_of(FEATURES), DictStore()))
    assert large < 2 * small + 1_000
