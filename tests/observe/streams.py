"""Streams of events for the tests of observe, and ways to run them."""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from operators.kind_observer import KindObserver, PartAnswer
from operators.plan import FeaturePlan, KindPlan
from operators.scatter import Part, hash_name
from operators.store import DictStore
from tests.oracle.windows import Event, Feature, Oracle

HOUR = 3_600_000
SILENCE = 91 * 24 * HOUR
START = 1_700_000_000_000

FEATURES = [
    Feature("n", "count", over=60_000, panes=6),
    Feature("n_some", "count", filter="some", over=600_000),
    Feature("n_fine", "count", over=100_000, panes=100),
    Feature("n_coarse", "count", over=10_000, panes=1),
    Feature("pace", "rate", filter="some", over=60_000, panes=6, per=1_000),
    Feature("total", "sum", "x", over=60_000, panes=6, scale=2),
    Feature("total_some", "sum", "x", "some", over=600_000, scale=6),
    Feature("average", "mean", "x", "some", over=60_000, panes=6, scale=2),
    Feature("lowest", "min", "x", over=60_000, panes=6),
    Feature("highest", "max", "x", "some", over=600_000),
    Feature("latest", "last", "x", over=60_000, panes=6),
    Feature("latest_some", "last", "x", "some", over=600_000, panes=40),
    Feature("kinds", "distinct", "h", over=60_000, cap=4),
    Feature("kinds_some", "distinct", "h", "some", over=600_000, cap=32),
    Feature("kinds_one", "distinct", "h", over=20_000, cap=1),
    Feature("new", "first_seen", "h", over=60_000, cap=4),
    Feature("new_some", "first_seen", "h", "some", over=600_000, cap=32),
    Feature("n_before", "count", filter="some", over=60_000, panes=6, delay=30_000),
    Feature("n_just", "count", over=60_000, panes=6, delay=1_000),
    Feature("total_before", "sum", "x", over=60_000, panes=6, scale=2, delay=95_000),
    Feature("average_before", "mean", "x", "some", over=60_000, delay=600_000),
    Feature("lowest_before", "min", "x", over=60_000, panes=6, delay=12_000),
    Feature("latest_before", "last", "x", over=60_000, panes=6, delay=12_000),
    Feature("age", "age"),
    Feature("idle", "idle"),
]


def plan_of(features: Sequence[Feature] = FEATURES, lists: tuple[str, ...] = ("vip",)) -> KindPlan:
    """The kind that has these features. A fingerprint is the definition in words."""
    plans = [
        FeaturePlan(
            f.name, f.aggregate, f.column, f.filter, f.over, f.panes, f.cap, f.scale, f.per, repr(f), 0, f.delay
        )
        for f in features
    ]
    return KindPlan("account", ("account",), None, ("",), tuple(plans), lists)


def part_of(events: Sequence[Event]) -> Part:
    """A part with columns x (number), h (hash) and some (filter)."""
    return Part(
        keys=pl.Series([e.key.encode() for e in events], dtype=pl.Binary),
        time=np.array([e.time for e in events], np.int64),
        ingest=np.array([e.ingest for e in events], np.int64),
        row=np.arange(len(events)),
        columns={
            "x": np.array([np.nan if e.values["x"] is None else e.values["x"] for e in events], np.float64),
            "some": np.array([e.values["some"] is True for e in events], np.bool_),
            hash_name("h"): np.array([e.values["h"] or 0 for e in events], np.uint64),
        },
    )


def run(events: Sequence[Event], cuts: Iterable[int] = (), features: Sequence[Feature] = FEATURES, **options: int):
    """Answers to `events`, cut into parts before the given positions, and the observer behind them.

    With `flush_each` every part ends with a write into the store.
    """
    flush = options.pop("flush_each", 0)
    store = DictStore()
    observer = KindObserver(plan_of(features), store, **options)
    edges = [0, *sorted(set(cuts)), len(events)]
    answers = []
    for start, stop in pairwise(edges):
        answers.append(observer.update(part_of(events[start:stop])))
        if flush:
            store.put_many(*observer.take_dirty())
    return answers, observer, store


def state(observer: KindObserver, store: DictStore) -> dict[bytes, bytes]:
    """Every row, as it would be stored."""
    store.put_many(*observer.take_dirty())
    return dict(sorted(store.rows.items()))


def joined(answers: Sequence[PartAnswer]) -> dict[str, np.ndarray]:
    """Values, coverage and flags of several parts in a row."""
    names = answers[0].values
    columns = {name: np.concatenate([a.values[name] for a in answers]) for name in names}
    columns["__coverage"] = np.concatenate(
        [np.ones(len(a.flags), np.float32) if a.coverage is None else a.coverage for a in answers]
    )
    columns["__flags"] = np.concatenate([a.flags for a in answers])
    return columns


def assert_as_oracle(
    events: Sequence[Event], answers: Sequence[PartAnswer], features: Sequence[Feature] = FEATURES
) -> None:
    """Every answer is exactly the oracle's."""
    oracle = Oracle(list(features))
    got = joined(answers)
    late = 0
    for at, event in enumerate(events):
        seen = oracle.see(event)
        late += seen.late
        for name, value in seen.values.items():
            found = None if np.isnan(got[name][at]) else float(got[name][at])
            assert found == value, f"event {at} {event}: {name} is {found}, must be {value}"
        assert got["__coverage"][at] == np.float32(seen.coverage), f"event {at}: coverage"
    assert sum(a.late_dropped for a in answers) == late


def seeded(
    seed: int, count: int, keys: int = 5, step: int = 3_000, late: float = 0.2, far: int = 90_000, gap: float = 0.0
):
    """A stream with bursts, ties, late events up to `far` ms and, with chance `gap`, a silence of hours, or one
    after which an entity reads as new."""
    draw = random.Random(seed)
    clock = START
    events = []
    for _ in range(count):
        clock += 0 if draw.random() < 0.5 else draw.randrange(step)
        clock += draw.choice((draw.randrange(2 * HOUR), SILENCE)) if draw.random() < gap else 0
        time = clock - draw.randrange(far) if draw.random() < late else clock
        values = {
            "x": None if draw.random() < 0.1 else draw.choice([0.0, 1.5, -2.25, draw.uniform(-1e6, 1e6), 7.0]),
            "h": None if draw.random() < 0.1 else draw.choice([draw.randrange(1, 9), draw.randrange(2**63, 2**64)]),
            "some": draw.random() < 0.6,
        }
        events.append(Event(f"k{draw.randrange(keys)}", time, clock, values))
    return events
