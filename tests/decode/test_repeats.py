"""The memory of ids against a plain one, its generations, its persistence."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.hashing import hash_bytes
from operators.repeats import RecentIds, id_hashes

Row = tuple[int, int]


def plain(rows: list[Row], capacity: int) -> list[tuple[bool, bool]]:
    """One id at a time: two dicts, swapped at every `capacity`-th new id."""
    now: dict[int, int] = {}
    before: dict[int, int] = {}
    answers = []
    for id_, payload in rows:
        known = now.get(id_, before.get(id_))
        answers.append((known is None, known == payload))
        if known is None:
            now[id_] = payload
            if len(now) == capacity:
                before, now = now, {}
    return answers


def check(recent: RecentIds, rows: list[Row]) -> list[tuple[bool, bool]]:
    ids, payloads = (np.array([row[i] for row in rows], dtype=np.uint64) for i in (0, 1))
    first, same = recent.check(ids, payloads)
    return list(zip(first.tolist(), same.tolist(), strict=True))


ROWS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1)), max_size=80)


@given(ROWS, st.integers(1, 12), st.lists(st.integers(1, 30), max_size=8), st.integers(0, 2**64 - 1))
@settings(max_examples=300, deadline=None)
def test_as_plain_however_cut_and_restored(rows: list[Row], capacity: int, cuts: list[int], salt: int) -> None:
    recent, answers, at, blocks = RecentIds(capacity, salt), [], 0, []
    for number, size in enumerate([*cuts, len(rows)]):
        answers += check(recent, rows[at : at + size])
        blocks += recent.take_new()
        at += size
        if number % 2:
            blocks = [block for block in blocks if block.generation >= recent.oldest]
            recent = RecentIds(capacity)
            recent.restore(blocks)
    assert answers == plain(rows, capacity)


def test_the_last_capacity_ids_are_known() -> None:
    recent = RecentIds(1_000)
    ids = np.arange(1, 5_001, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for start in range(0, 5_000, 700):
        assert recent.check(ids[start : start + 700], None)[0].all()
    first, same = recent.check(ids[-1_000:], None)
    assert not first.any() and same.all()
    assert recent.check(ids[:1], None)[0].all()


def test_ids_that_crowd_one_place_and_the_hash_zero() -> None:
    recent = RecentIds(64, salt=1)
    rows = [(i, 0) for i in range(64)]
    assert [first for first, _ in check(recent, rows[:60])] == [i != 1 for i in range(60)]
    assert all(not first for first, _ in check(recent, rows[:60]))


def test_no_capacity_remembers_nothing() -> None:
    recent = RecentIds(0)
    assert check(recent, [(1, 1), (1, 1)]) == [(True, False)] * 2 and recent.take_new() == []


def test_an_id_belongs_to_its_type() -> None:
    frame = pl.DataFrame({"event_type": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "event_id": ["x", "x"]})
    assert id_hashes(frame).tolist() == [hash_bytes(b"a\0x"), hash_bytes(b"b\0x")]
