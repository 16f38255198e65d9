"""Rows as they are kept: layouts, migration, lists, cache, what is shown and what is swept."""

import json
from dataclasses import replace

import numpy as np
import pytest

from operators.kind_observer import KindObserver
from operators.layout import FORMAT, Layout, LayoutError
from operators.store import DictStore
from tests.observe.streams import FEATURES, HOUR, START, assert_as_oracle, joined, part_of, plan_of, run, seeded, state
from tests.oracle.windows import Event, Feature, Oracle

COUNT = Feature("n", "count", over=60_000, panes=6)
WIDE = Feature("n_wide", "count", over=HOUR)
KINDS = Feature("kinds", "distinct", "h", over=HOUR, cap=8)


def event(key="a", at=0, x=1.0, h=1, some=True):
    return Event(key, START + at, START + at, {"x": x, "h": h, "some": some})


def test_a_layout_is_read_back_from_its_description():
    layout = Layout.of(plan_of())
    again = Layout.from_description(json.loads(json.dumps(layout.describe())))
    assert (again, again.fingerprint, again.dtype) == (layout, layout.fingerprint, layout.dtype)


def test_a_row_of_nine_features_fits_a_kilobyte():
    features = [
        f
        for f in FEATURES
        if f.name in ("n", "n_some", "pace", "total", "average", "highest", "latest", "kinds", "age")
    ]
    assert len(features) == 9
    assert Layout.of(plan_of(features)).dtype.itemsize <= 1024


def test_a_layout_of_a_newer_format_is_refused():
    description = Layout.of(plan_of()).describe() | {"format": FORMAT + 1}
    with pytest.raises(LayoutError) as caught:
        Layout.from_description(description)
    assert (
        str(caught.value)
        == "rows are written in format 2, this version reads format 1: run the version that wrote them"
    )


def test_a_damaged_description_is_refused():
    with pytest.raises(LayoutError) as caught:
        Layout.from_description({"format": FORMAT, "kind": "account", "lists": []})
    assert (
        str(caught.value)
        == "the description of a row layout is damaged ('cells'): restore the state folder from a copy"
    )


def test_an_aggregate_without_a_cell_is_refused():
    plan = plan_of([replace(COUNT, aggregate="median")])
    with pytest.raises(LayoutError) as caught:
        KindObserver(plan, DictStore())
    assert str(caught.value) == "a row has no cell for median"


def test_a_row_has_room_for_64_lists():
    with pytest.raises(LayoutError) as caught:
        Layout.of(plan_of(lists=tuple(f"list{at}" for at in range(65))))
    assert str(caught.value) == "entity account has 65 lists, a row holds at most 64: remove some"


def test_rows_of_a_layout_that_nobody_described_are_refused():
    _, observer, store = run([event()])
    rows = DictStore()
    rows.rows = state(observer, store)
    with pytest.raises(LayoutError) as caught:
        KindObserver(plan_of([COUNT]), rows).update(part_of([event()]))
    fingerprint = next(iter(observer.layouts))
    assert str(caught.value) == (
        f"rows of entity account are in layout {fingerprint:016x}, which the state does not describe: "
        "the layouts and the rows are from different states; restore both from one copy"
    )


@pytest.mark.parametrize("flushed", [False, True])
def test_a_new_plan_keeps_what_it_kept_and_starts_the_rest_empty(flushed):
    events = seeded(1, 400, keys=9)
    before, after = events[:200], events[200:]
    store = DictStore()
    observer = KindObserver(plan_of([COUNT, WIDE, KINDS], ("vip", "known")), store)
    observer.update(part_of(before))
    observer.mark_list("known", add=[b"k1"])
    other = replace(WIDE, over=2 * HOUR)
    plan = plan_of([KINDS, other, COUNT], ("known", "fresh"))
    if flushed:
        store.put_many(*observer.take_dirty())
        layouts = [layout.describe() for layout in observer.layouts.values()]
        observer = KindObserver(plan, store)
        for layout in layouts:
            observer.know(Layout.from_description(layout))
    else:
        observer.replan(plan)
    answers = observer.update(part_of(after))
    whole, _, _ = run(events, features=[COUNT, KINDS])
    for name in ("n", "kinds"):
        assert np.array_equal(answers.values[name], joined(whole)[name][200:], equal_nan=True)
    assert answers.values["n_wide"][0] == 1
    flags = {e.key: flag for e, flag in zip(after, answers.flags.tolist(), strict=True)}
    assert flags == {key: int(key == "k1") for key in flags}


def test_migrated_rows_are_the_same_bytes_in_the_cache_and_from_the_store():
    events = seeded(2, 300, keys=20)
    rows = []
    for flush in (False, True):
        store = DictStore()
        observer = KindObserver(plan_of([COUNT, WIDE, KINDS]), store, 1 if flush else 1 << 20)
        observer.update(part_of(events[:200]))
        if flush:
            store.put_many(*observer.take_dirty())
        observer.replan(plan_of([KINDS, COUNT]))
        observer.update(part_of(events[200:]))
        observer.mark_list("vip", [b"k%d" % at for at in range(20)])
        rows.append(state(observer, store))
    assert rows[0] == rows[1]


def test_features_with_one_definition_share_their_cells():
    plan = plan_of([COUNT])
    twin = replace(plan.features[0], name="twin")
    observer = KindObserver(replace(plan, features=(*plan.features, twin)), DictStore())
    answers = observer.update(part_of([event(), event()]))
    assert answers.values["n"].tolist() == answers.values["twin"].tolist() == [1, 2]


def test_lists_survive_a_silence_that_ends_everything_else():
    store = DictStore()
    observer = KindObserver(plan_of([COUNT, KINDS]), store)
    observer.mark_list("vip", add=[b"a", b"b", b"a"])
    observer.mark_list("vip", remove=[b"b", b"never"])
    first = observer.update(part_of([event("a"), event("b")]))
    assert first.flags.tolist() == [1, 0]
    later = observer.update(part_of([event("a", at=3 * HOUR), event("b", at=3 * HOUR)]))
    assert later.flags.tolist() == [1, 0]
    assert later.values["n"].tolist() == [1, 1]


def test_a_mark_that_changes_nothing_writes_nothing():
    observer = KindObserver(plan_of([COUNT]), DictStore())
    observer.mark_list("vip", remove=[b"a"])
    assert observer.take_dirty() == ([], [])
    observer.mark_list("vip", add=[b"a"])
    assert observer.take_dirty()[0] == [b"a"]
    observer.mark_list("vip", add=[b"a"])
    assert observer.take_dirty() == ([], [])


def test_an_unknown_list_is_refused():
    with pytest.raises(ValueError, match="entity account has no list vop: it has vip"):
        KindObserver(plan_of(), DictStore()).mark_list("vop", [b"a"])
    with pytest.raises(ValueError, match="entity account has no list vop: it has none"):
        KindObserver(plan_of(lists=()), DictStore()).mark_list("vop", [b"a"])


def test_dirty_rows_are_taken_once_and_ask_to_be():
    observer = KindObserver(plan_of([COUNT]), DictStore(), cache_bytes=100_000)
    assert (observer.dirty_bytes, observer.needs_flush) == (0, False)
    observer.update(part_of([event(f"k{at}") for at in range(100)]))
    assert observer.dirty_bytes > 100 * 64
    assert not observer.needs_flush
    observer.update(part_of([event(f"k{at}") for at in range(1_000)]))
    assert observer.needs_flush
    keys, values = observer.take_dirty()
    assert sorted(keys) == sorted(b"k%d" % at for at in range(1_000))
    assert len(values) == 1_000
    assert observer.take_dirty() == ([], [])
    assert not observer.needs_flush


def test_the_cache_stays_within_its_bound():
    store = DictStore()
    observer = KindObserver(plan_of([COUNT]), store, cache_bytes=100_000)
    for start in range(0, 20_000, 100):
        observer.update(part_of([event(f"k{start + at}") for at in range(100)]))
        store.put_many(*observer.take_dirty())
    assert len(observer._table) * observer._table.row_bytes <= 100_000
    assert len(observer._table.rows) * observer._table.row_bytes <= 100_000
    again = observer.update(part_of([event(f"k{at}") for at in range(0, 20_000, 7)]))
    assert set(again.values["n"].tolist()) == {2.0}


def test_a_read_is_what_an_event_that_does_not_count_would_see():
    events = seeded(8, 400, keys=3)
    _, observer, store = run(events)
    before = state(observer, store)
    oracle = Oracle(FEATURES)
    for one in events:
        oracle.see(one)
    at = events[-1].time + 20_000
    newest = {e.key: max(o.time for o in events if o.key == e.key) for e in events}
    shown = observer.read(b"k1", at)
    memory = oracle.memories["k1"]
    assert shown["first_seen"] == memory.first
    assert shown["last_seen"] == newest["k1"]
    assert shown["late_dropped"] == memory.late
    filtered = [f for f in FEATURES if f.filter is not None or f.aggregate in ("age", "idle")]
    seen = oracle.see(Event("k1", at, at, {"x": None, "h": None, "some": False}))
    for feature in filtered:
        assert shown["features"][feature.name] == seen.values[feature.name]
    assert state(observer, store) == before
    assert observer.read(b"k1", at) == shown


def test_a_read_of_nobody_and_of_one_long_gone():
    observer = KindObserver(plan_of([COUNT, KINDS, Feature("highest", "max", "x", over=HOUR)]), DictStore())
    nobody = {
        "features": {"n": 0.0, "kinds": 0.0, "highest": None},
        "lists": [],
        "first_seen": None,
        "last_seen": None,
        "late_dropped": 0,
    }
    assert observer.read(b"a", START) == nobody
    observer.update(part_of([event("a")]))
    observer.mark_list("vip", add=[b"a"])
    assert observer.read(b"a", START)["features"] == {"n": 1.0, "kinds": 1.0, "highest": 1.0}
    assert observer.read(b"a", START + 30 * HOUR) == nobody | {"lists": ["vip"]}


def test_what_is_idle_for_two_windows_and_on_no_list_can_go():
    plan = plan_of([COUNT])
    observer = KindObserver(plan, DictStore())
    observer.mark_list("vip", add=[b"marked", b"both"])
    observer.mark_list("vip", remove=[b"both"])
    observer.update(part_of([event("idle"), event("busy", at=150_000), event("marked")]))
    keys, values = observer.take_dirty()
    now = START + 2 * plan.longest_ms + 1
    assert dict(zip(keys, observer.expired(values, now).tolist(), strict=True)) == {
        b"idle": True,
        b"busy": False,
        b"marked": False,
        b"both": True,
    }
    assert not observer.expired(values, now - 1)[keys.index(b"idle")]
    assert observer.expired([], now).tolist() == []


def test_late_events_are_counted_once_each():
    features = [COUNT, replace(COUNT, name="n_other", over=30_000), replace(KINDS, over=40_000)]
    events = [event(at=0), event(at=200_000), event(at=0), event(at=150_000), event(at=199_000)]
    answers, observer, _ = run(events, features=features)
    assert_as_oracle(events, answers, features)
    assert answers[0].late_dropped == 2
    assert observer.read(b"a", START + 200_000)["late_dropped"] == 2
