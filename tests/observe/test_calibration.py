"""p-values are valid and discoveries are few on data with nothing in it; planted signals are found; no cut shows."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from operators.discoveries import Discoveries
from operators.kind_observer import KindObserver
from operators.plan import FeaturePlan, KindPlan, TestPlan
from operators.reservoir import FIRST, KEPT, LONGEST, Reservoir
from operators.scatter import Part, hash_name
from operators.shards import SHARDS
from operators.store import DictStore
from tests.observe.streams import START, state


def ranked(scores, ties, cuts=(), counted=None):
    """p-values of a sequence that is cut into calls, and the reservoir behind it, stored and read back at each cut."""
    reservoir, found = Reservoir(), []
    counted = np.ones(len(scores), np.bool_) if counted is None else counted
    edges = [0, *cuts, len(scores)]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        found.append(reservoir.take(scores[part].astype(np.float32), ties[part], counted[part]))
        reservoir = Reservoir.from_bytes(reservoir.to_bytes())
    return np.concatenate(found), reservoir


def naive(scores, ties):
    """Against all scores of the last full block, one score at a time; and how many those are."""
    reference, block, target, found, sizes = [], [], FIRST, [], []
    for score, tie in zip(scores.astype(np.float32).tolist(), ties.tolist(), strict=True):
        if reference:
            greater = len(reference) - bisect_right(reference, score)
            equal = bisect_right(reference, score) - bisect_left(reference, score)
            found.append((greater + tie * (1 + equal)) / (len(reference) + 1))
        else:
            found.append(np.nan)
        sizes.append(len(reference))
        insort(block, score)
        if len(block) == target:
            reference, block, target = block, [], min(2 * target, LONGEST)
    return np.array(found), np.array(sizes)


def skewed(draw, count):
    """As surprise is: most scores are 0, the others have a long tail."""
    return np.where(draw.random(count) < 0.7, 0.0, draw.exponential(3.0, count).round(2))


def test_p_values_are_those_of_the_whole_block_as_far_as_they_are_small():
    draw = np.random.default_rng(1)
    scores, ties = skewed(draw, 30_000), draw.random(30_000)
    values, _ = ranked(scores, ties)
    expected, sizes = naive(scores, ties)
    assert np.isnan(values[:FIRST]).all()
    assert not np.isnan(values[FIRST:]).any()
    small = (scores > 0) & (expected < 0.9 * KEPT / np.maximum(sizes, 1))
    assert small.sum() > 2_000
    assert np.allclose(values[small], expected[small])
    assert np.nanmax(np.abs(values - expected)) < 0.12  # the sample of 512 in the body


@pytest.mark.parametrize("cut", [1, 7, 997])
def test_no_cut_shows(cut):
    draw = np.random.default_rng(2)
    scores, ties, counted = skewed(draw, 3_000), draw.random(3_000), draw.random(3_000) < 0.8
    whole, kept = ranked(scores, ties, counted=counted)
    parts, other = ranked(scores, ties, range(cut, 3_000, cut), counted)
    assert np.array_equal(whole, parts, equal_nan=True)
    assert kept.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("scores_of", [skewed, lambda d, n: d.normal(size=n), lambda d, n: d.integers(0, 3, n) * 1.0])
def test_p_values_of_chance_are_uniform_or_greater(scores_of):
    # P(p <= u) <= u over many streams: within one, all scores share a reference.
    below = dict.fromkeys((0.001, 0.01, 0.05, 0.2, 0.5), 0.0)
    streams, count = 200, 4_000
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        values, _ = ranked(scores_of(draw, count), draw.random(count))
        for u in below:
            below[u] += float(np.mean(values[FIRST:] <= u)) / streams
    for u, share in below.items():
        assert share <= u + 4 * np.sqrt(u * (1 - u) / streams / 60), (u, share)
        assert share >= 0.8 * u - 0.0005


def test_the_bytes_are_bounded():
    draw = np.random.default_rng(3)
    _, reservoir = ranked(draw.random(200_000), draw.random(200_000))
    assert reservoir.size == LONGEST
    assert len(reservoir.to_bytes()) <= 4 * 4 * KEPT + 56


def test_chance_gives_a_discovery_in_few_streams_however_long():
    # Nothing is ever wrong: a stream with any discovery has only false ones.
    level, streams = 0.1, 300
    false = sum(Discoveries().take(np.random.default_rng(seed).random(300_000), level).any() for seed in range(streams))
    assert 0 < false / streams <= level  # the test would not see a detector that never fires


def test_chance_gives_few_discoveries_with_p_values_of_one_reference():
    level, streams, false = 0.5, 100, 0
    for seed in range(streams):
        draw = np.random.default_rng(seed)
        values, _ = ranked(skewed(draw, 20_000), draw.random(20_000))
        false += Discoveries().take(values[FIRST:], level).any()
    assert 0 < false / streams <= level


@pytest.mark.parametrize(("bursts", "events", "power"), [(2, 600, 0.25), (4, 1_500, 0.3)])
def test_planted_signals_are_found_and_few_of_all_discoveries_are_false(bursts, events, power):
    level, shares, found_of, count = 0.05, [], [], 200_000
    for seed in range(20):
        draw = np.random.default_rng(seed)
        scores, planted = skewed(draw, count), np.zeros(count, np.bool_)
        for start in draw.integers(count // 10, count - 3 * events, bursts):
            planted[start : start + 3 * events] |= draw.random(3 * events) < 1 / 3
        scores = np.where(planted, 60 + draw.exponential(20.0, count), scores)
        values, _ = ranked(scores, draw.random(count))
        found = Discoveries().take(values[FIRST:], level)
        wrong = found & ~planted[FIRST:]
        shares.append(wrong.sum() / max(found.sum(), 1))
        found_of.append((found & planted[FIRST:]).sum() / planted.sum())
    assert np.mean(shares) <= level
    assert np.mean(found_of) >= power


def test_discoveries_do_not_depend_on_cuts():
    draw = np.random.default_rng(5)
    values = draw.random(5_000) ** 3
    whole = Discoveries().take(values, 0.1)
    tests, parts = Discoveries(), []
    for start in range(0, 5_000, 37):
        parts.append(tests.take(values[start : start + 37], 0.1))
        tests = Discoveries.from_bytes(tests.to_bytes())
    assert whole.tolist() == np.concatenate(parts).tolist()
    assert whole.any()


# in an observer

SURPRISE = FeaturePlan("s", "surprise", None, None, 0, 12, 32, 6, 60_000, "print", 60_000)
P = TestPlan("p(s)", "s", "print", None)
FOUND = TestPlan("found", "s", "print", None, 0.1, "asked", "found of s")
KIND = KindPlan("account", ("account",), None, ("",), (SURPRISE,), (), (P, FOUND))


def part(start, stop, columns=True):
    draw = np.random.default_rng(9)
    keys = draw.integers(0, 300, 30_000)[start:stop]
    times = START + np.arange(start, stop) * 200
    ids = draw.integers(0, 2**63, 30_000).astype(np.uint64)[start:stop]
    asked = (np.arange(start, stop) % 3) > 0
    given = {hash_name("event_id"): ids, "asked": asked} if columns else {}
    return Part(pl.Series([b"k%d" % k for k in keys], dtype=pl.Binary), times, times, np.arange(stop - start), given)


def observed(cuts, **options):
    store = DictStore()
    observer = KindObserver(KIND, store, **options)
    answers = []
    for start, stop in zip([0, *cuts], [*cuts, 30_000], strict=True):
        answers.append(observer.update(part(start, stop)).values)
        if options.get("cache_bytes"):
            store.put_many(*observer.take_dirty())
            observer = KindObserver(KIND, store, **options)
    return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}, state(observer, store)


def test_an_observer_gives_the_same_whatever_the_cuts_the_cache_and_a_restart():
    whole, rows = observed([])
    parts, other = observed([1, 500, 4_000, 20_000], cache_bytes=1)
    assert {n: v.tobytes() for n, v in whole.items()} == {n: v.tobytes() for n, v in parts.items()}
    assert rows == other
    assert np.isnan(whole["found"][::3]).all()
    assert set(whole["found"][~np.isnan(whole["found"])].tolist()) <= {0.0, 1.0}
    assert sum(key.startswith(b"\xfe") for key in rows) == 2 * SHARDS


def test_a_shard_alone_gives_what_it_gives_among_all():
    from operators.shards import shards_of

    whole, _ = observed([])
    everything = part(0, 30_000)
    mine = shards_of(everything.keys) == 5
    alone = Part(
        everything.keys.filter(pl.Series(mine)),
        everything.time[mine],
        everything.ingest[mine],
        np.arange(mine.sum()),
        {name: values[mine] for name, values in everything.columns.items()},
    )
    answers = KindObserver(KIND, DictStore()).update(alone).values
    for name, values in answers.items():
        assert values.tobytes() == whole[name][mine].tobytes()


def test_a_sweep_leaves_reservoirs_alone():
    observer = KindObserver(KIND, DictStore())
    observer.update(part(0, 1_000))
    keys, values = observer.take_dirty()
    gone = observer.expired(values, START + 10**12)
    assert [key.startswith(b"\xfe") for key in keys] == [not g for g in gone.tolist()]


def test_a_part_for_an_older_program_is_left_alone():
    observer = KindObserver(KIND, DictStore())
    answers = observer.update(part(0, 1_000, columns=False)).values
    assert np.isnan(answers["p(s)"]).all()
    assert not any(key.startswith(b"\xfe") for key in observer.take_dirty()[0])
    assert replace(KIND, tests=()).tests == ()
