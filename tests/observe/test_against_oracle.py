"""Every answer is the oracle's, for any stream, any cuts, any cache; and the rows left behind are the same bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observe.streams import FEATURES, SILENCE, START, assert_as_oracle, joined, run, seeded, state
from tests.oracle.windows import Event, Feature

SMALL = 1

_steps = st.sampled_from([0, 0, 0, 1, 999, 5_000, 10_000, 30_000, 61_000, 600_000, 651_000, 7_200_000, SILENCE])
_late = st.sampled_from([0, 0, 0, 0, 1, 9_999, 10_000, 10_001, 60_000, 70_000, 80_000, 599_999, 600_000, 650_001])
_number = st.one_of(st.none(), st.sampled_from([0.0, -0.5, 1.0, 2.0, 1e6]), st.floats(-1e6, 1e6).map(lambda x: x + 0.0))
_hash = st.one_of(st.none(), st.integers(1, 6), st.sampled_from([2**64 - 1, 2**64 - 2, 2**63, 1 << 20]))


@st.composite
def streams(draw, most=60):
    clock = START
    events = []
    for _ in range(draw(st.integers(1, most))):
        clock += draw(_steps)
        values = {"x": draw(_number), "h": draw(_hash), "some": draw(st.booleans())}
        events.append(Event(draw(st.sampled_from(["a", "b", "ключ", "\0"])), clock - draw(_late), clock, values))
    return events


@settings(max_examples=300, deadline=None)
@given(streams(), st.lists(st.integers(1, 59), max_size=8))
def test_any_stream_and_any_cuts(events, cuts):
    cuts = [cut for cut in cuts if cut < len(events)]
    whole, observer, store = run(events)
    assert_as_oracle(events, whole)
    parts, other, rows = run(events, cuts, flush_each=1, cache_bytes=SMALL)
    assert_as_oracle(events, parts)
    assert state(observer, store) == state(other, rows)


@pytest.mark.parametrize("late", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("keys", [1, 7, 400])
def test_longer_streams(late, keys):
    events = seeded(keys, 1_500, keys=keys, late=late, gap=0.004)
    whole, observer, store = run(events)
    assert_as_oracle(events, whole)
    parts, other, rows = run(events, range(1, len(events), 97), flush_each=1, cache_bytes=SMALL)
    assert {n: v.tobytes() for n, v in joined(whole).items()} == {n: v.tobytes() for n, v in joined(parts).items()}
    assert state(observer, store) == state(other, rows)


def test_a_part_of_one_event_each():
    events = seeded(3, 300, gap=0.01)
    parts, observer, store = run(events, range(1, 300))
    assert_as_oracle(events, parts)
    assert state(observer, store) == state(*run(events)[1:])


@pytest.mark.parametrize("late", [0.0, 0.4])
def test_a_heavy_hitter_with_panes_that_expire_inside_the_part(late):
    events = seeded(11, 3_000, keys=2, step=400, late=late, far=30_000)
    features = [f for f in FEATURES if f.name != "n_fine"]
    answers, _, _ = run(events, features=features)
    assert_as_oracle(events, answers, features)


def test_a_part_longer_than_what_is_ordered_at_once(monkeypatch):
    import operators.kind_observer as module

    monkeypatch.setattr(module, "MOST_ROWS", 100)
    events = seeded(5, 1_000, keys=30)
    answers, observer, store = run(events)
    assert_as_oracle(events, answers)
    monkeypatch.undo()
    assert state(observer, store) == state(*run(events)[1:])


def test_sums_stop_at_the_limit_event_by_event():
    features = [
        Feature("total", "sum", "x", over=60_000, panes=6, scale=6),
        Feature("average", "mean", "x", "some", over=60_000, panes=1_000, scale=6),
    ]
    most = 2**46 / 1e6
    events = []
    for at in range(6_000):
        sign = -1 if 2_000 <= at < 4_500 and at % 7 else 1
        values = {"x": sign * most, "h": None, "some": at % 5 != 0}
        events.append(Event("a" if at % 9 else "b", START + at * 4 - (at % 11 == 0) * 15_000, START + at * 4, values))
    whole, observer, store = run(events, features=features)
    parts, other, rows = run(events, range(1, 6_000, 501), features=features)
    assert_as_oracle(events, whole, features)
    assert_as_oracle(events, parts, features)
    assert 2**56 / 1e6 <= max(joined(whole)["total"]) <= 3 * 2**56 / 1e6
    assert state(observer, store) == state(other, rows)
