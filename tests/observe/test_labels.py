"""Labels among events: every answer is the oracle's, however the stream is cut; and no label is seen before it is known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kind_observer import KindObserver
from operators.labels.decode import LABEL_COLUMNS
from operators.labels.desk import LabelDesk
from operators.labels.part import scatter_labels
from operators.plan import LABEL_MEMORY_MS, FeaturePlan, KindPlan
from operators.scatter import Part
from operators.store import DictStore
from tests.oracle.labels import Label, LabelOracle
from tests.oracle.windows import DAY, Feature

START = 1_700_000_000_000
MINUTE = 60_000
FEATURES = [
    Feature("bad_10m", "sum", "fraud", over=10 * MINUTE, panes=5),
    Feature("risk_10m", "mean", "fraud", over=10 * MINUTE, panes=5, delay=10 * MINUTE),
    Feature("risk_1h", "mean", "fraud", over=60 * MINUTE, delay=7 * MINUTE),
    Feature("loss_1h", "sum", "loss", over=60 * MINUTE, panes=4, delay=60 * MINUTE, scale=2),
]
PLAN = KindPlan(
    "terminal",
    ("terminal",),
    None,
    ("",),
    (
        *(
            FeaturePlan(f.name, f"label_{f.aggregate}", f"label.{f.column}", None, f.over, f.panes, 32, f.scale, 1, repr(f), 0, f.delay)
            for f in FEATURES
        ),
        FeaturePlan("n", "count", None, None, 10 * MINUTE, 5, 32, 6, 1, "n"),
    ),
    (),
)  # fmt: skip
_STEPS = st.sampled_from([0, 0, 1, 30_000, MINUTE, 2 * MINUTE, 7 * MINUTE, 15 * MINUTE, 70 * MINUTE, 2 * DAY])
_LATE = st.sampled_from([0, 0, 0, 1, MINUTE, 5 * MINUTE, 40 * MINUTE, 3 * DAY])
_VALUES = {"fraud": st.sampled_from([0.0, 1.0, 1.0, None]), "loss": st.sampled_from([12.34, 0.01, -5.0, 1e6, None])}


@st.composite
def streams(draw, most=50):
    """Events (key, time, ingest), and labels of them and of others: corrected, repeated, taken back, stale, expired."""
    clock, events, labels = START, [], []
    for _ in range(draw(st.integers(1, most))):
        clock += draw(_STEPS)
        events.append((draw(st.sampled_from("abc")), clock - draw(_LATE), clock))
    for _ in range(draw(st.integers(0, most))):
        number = draw(st.integers(0, len(events)))
        name = draw(st.sampled_from(["fraud", "loss"]))
        key, time, ingest = events[number] if number < len(events) else ("stranger", START, START)
        wait = draw(st.sampled_from([0, 1, MINUTE, 8 * MINUTE, 11 * MINUTE, 60 * MINUTE, DAY, 95 * DAY]))
        labels.append(Label(key, f"e{number}", name, draw(_VALUES[name]), time, max(time, ingest) + wait))
    if draw(st.booleans()):
        labels.sort(key=lambda label: label.known)
    for _ in range(draw(st.integers(0, 5)) if labels else 0):
        labels.append(draw(st.sampled_from(labels)))
    return events, labels


def frame_of(labels):
    """The columns of the decoder, and when each is counted."""
    rows = [(v.event, v.name, v.value, v.time, v.known, None, "test") for v in labels]
    types = (pl.String, pl.String, pl.Float64, pl.Int64, pl.Int64, pl.Float64, pl.String)
    frame = pl.DataFrame(rows, schema=dict(zip(LABEL_COLUMNS, types, strict=True)), orient="row")
    return frame.with_columns(
        pl.Series("key:terminal", [v.key for v in labels], pl.String), pl.col("known_ms").cum_max().alias("at_ms")
    )


class World:
    """A desk and an observer over stores of their own."""

    def __init__(self, plan=PLAN, **options):
        self.rows, self.labels = DictStore(), DictStore()
        self.observer = KindObserver(plan, self.rows, **options)
        self.desk = LabelDesk(self.labels, LABEL_MEMORY_MS)
        self.counts, self.unknown, self.late = {}, 0, 0

    def run(self, events, labels, cuts=(), flush=False):
        """Answers by feature, for events cut into parts before the given positions."""
        waiting = frame_of(labels)
        edges = [0, *sorted(set(cuts)), len(events)]
        found = []
        for start, stop in pairwise(edges):
            part = part_of(events[start:stop])
            due = waiting.filter(pl.col("at_ms") <= int(part.ingest[-1]))
            waiting = waiting[due.height :]
            changes, counts = self.desk.take(due, ["terminal"])
            self.counts = {name: self.counts.get(name, 0) + counts[name] for name in {*self.counts, *counts}}
            answer = self.observer.update(part, scatter_labels(changes, self.observer.plan, part))
            self.unknown, self.late = self.unknown + len(answer.unknown), self.late + len(answer.too_late)
            found.append(answer.values)
            if flush:
                self.write()
        return {name: np.concatenate([values[name] for values in found]) for name in found[0]}

    def write(self):
        self.rows.put_many(*self.observer.take_dirty())
        self.labels.put_many(*self.desk.take_dirty())

    def state(self):
        self.write()
        return dict(sorted(self.rows.rows.items())), dict(sorted(self.labels.rows.items()))


def part_of(events):
    keys = pl.Series([key.encode() for key, _, _ in events], dtype=pl.Binary)
    time, ingest = (np.array([event[i] for event in events], np.int64) for i in (1, 2))
    return Part(keys, time, ingest, np.arange(len(events)), {})


def expected(events, labels):
    """The oracle's answers: labels go before the first event that is taken in when, or after, they are known."""
    oracle = LabelOracle(FEATURES)
    rows, waiting, clock = [], list(labels), 0
    for key, time, ingest in events:
        while waiting and max(clock, waiting[0].known) <= ingest:
            clock = max(clock, waiting[0].known)
            oracle.label(waiting.pop(0))
        rows.append(oracle.see(key, time, ingest))
    return rows


def assert_same(got, rows):
    for name in rows[0] if rows else ():
        for at, row in enumerate(rows):
            value = None if np.isnan(got[name][at]) else float(got[name][at])
            assert value == row[name], f"event {at}: {name} is {value}, must be {row[name]}"


@settings(max_examples=400, deadline=None)
@given(streams(), st.lists(st.integers(1, 49), max_size=6))
def test_any_labels_and_any_cuts(stream, cuts):
    events, labels = stream
    cuts = [cut for cut in cuts if cut < len(events)]
    whole, parts = World(), World(cache_bytes=1)
    answers = whole.run(events, labels)
    assert_same(answers, expected(events, labels))
    assert_same(parts.run(events, labels, cuts, flush=True), expected(events, labels))
    assert whole.state() == parts.state()
    assert (whole.counts, whole.unknown, whole.late) == (parts.counts, parts.unknown, parts.late)


@settings(max_examples=150, deadline=None)
@given(streams(), st.data())
def test_a_label_that_is_not_known_yet_changes_nothing(stream, data):
    """Labels are changed, added and taken away at will from some moment on: what was taken in before it stays as it was."""
    events, labels = stream
    moment = data.draw(st.sampled_from(sorted({ingest for _, _, ingest in events})))
    at = np.maximum.accumulate([label.known for label in labels]) if labels else []
    future = [
        replace(label, value=data.draw(_VALUES[label.name]))
        for label, counted in zip(labels, at, strict=True)
        if counted > moment and label.known > moment and data.draw(st.booleans())
    ]
    other = [label for label, counted in zip(labels, at, strict=True) if counted <= moment] + future
    seen = sum(ingest <= moment for _, _, ingest in events)
    first, second = World().run(events, labels), World().run(events, other)
    for name in first:
        assert first[name][:seen].tobytes() == second[name][:seen].tobytes(), name


def test_a_label_known_at_the_moment_of_an_event_counts_and_a_millisecond_later_does_not():
    events = [("a", START, START), ("a", START + DAY, START + DAY)]
    for wait, bad in ((DAY, 1.0), (DAY + 1, 0.0)):
        long = replace(PLAN, features=tuple(replace(f, over_ms=2 * DAY) for f in PLAN.features))
        seen = World(long).run(events, [Label("a", "e0", "fraud", 1.0, START, START + wait)])
        assert seen["bad_10m"][1] == bad


def test_repeats_and_corrections_are_counted_and_change_nothing_twice():
    events = [("a", START + i * MINUTE, START + i * MINUTE) for i in range(4)]
    label = Label("a", "e0", "fraud", 1.0, START, START + MINUTE)
    corrected = replace(label, value=0.0, known=START + 2 * MINUTE)
    world = World()
    seen = world.run(events, [label, label, corrected, corrected, label])
    assert seen["bad_10m"].tolist() == [0, 1, 0, 0]
    assert world.counts == {"labels": 5, "labels_repeated": 2, "labels_corrected": 1, "labels_stale": 1}


def test_labels_of_nobody_and_labels_that_no_window_reaches_are_counted():
    events = [("a", START + i * DAY // 2, START + i * DAY // 2) for i in range(3)]
    world = World()
    world.run(
        events,
        [
            Label("nobody", "x", "fraud", 1.0, START, START + 1),
            Label("a", "e0", "fraud", 1.0, START, START + DAY),
            Label("a", "e9", "fraud", 1.0, START - 95 * DAY, START + DAY),
        ],
    )
    assert (world.unknown, world.late, world.counts["labels_expired"]) == (1, 1, 1)


def test_a_correction_of_what_an_entity_never_counted_takes_nothing_back():
    """It was labelled before it was known, or before the feature was there: the correction is its first label."""
    label = Label("a", "e0", "fraud", 1.0, START, START)
    corrected = replace(label, value=0.0, known=START + 2 * MINUTE)
    events = [("b", START, START), ("a", START + MINUTE, START + MINUTE), ("a", START + 3 * MINUTE, START + 3 * MINUTE)]
    seen = World().run(events, [label, corrected])
    assert seen["bad_10m"][2] == 0.0

    older = replace(PLAN, features=PLAN.features[1:])
    world = World(older)
    assert world.run(events[1:2], [replace(label, known=START + MINUTE)])["n"].tolist() == [1]
    world.observer.replan(PLAN)
    assert world.run(events[2:], [corrected])["bad_10m"].tolist() == [0.0]


def test_many_labels_of_one_entity_in_one_part(monkeypatch):
    import operators.kind_observer as module

    draw = np.random.default_rng(7)
    events = [(str(draw.integers(3)), START + i * 2_000, START + i * 2_000) for i in range(1_500)]
    labels = [
        Label(key, f"e{i}", "fraud", float(draw.random() < 0.3), time, time + int(draw.integers(12 * MINUTE)))
        for i, (key, time, _) in enumerate(events)
    ]
    labels.sort(key=lambda label: label.known)
    whole, small = World(), World()
    assert_same(whole.run(events, labels), expected(events, labels))
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    assert_same(small.run(events, labels), expected(events, labels))
    assert whole.state() == small.state()


def test_what_is_known_of_an_entity_now():
    world = World()
    world.run(
        [("a", START, START), ("a", START + MINUTE, START + MINUTE)], [Label("a", "e0", "fraud", 1.0, START, START + 1)]
    )
    assert world.observer.read(b"a", START + MINUTE)["features"]["bad_10m"] == 1.0
