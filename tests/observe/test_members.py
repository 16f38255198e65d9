"""Lists that change while a job runs: who is on one at an ingest time, whatever came in which pieces."""

import random

import pytest

from operators.members import NO_END, Members


def naive(records: list[tuple[int, str, bytes, int | None, bool]], at_ms: int) -> dict[tuple[str, bytes], int]:
    """Who is on at a time, from all records in the order of their times."""
    now: dict[tuple[str, bytes], int] = {}
    for record_ms, name, key, until, on in sorted(records, key=lambda record: record[0]):
        if record_ms <= at_ms:
            now.pop((name, key), None)
            if on:
                now[name, key] = until or NO_END
    return {key: until for key, until in now.items() if until == NO_END or until > at_ms}


@pytest.mark.parametrize("seed", range(30))
def test_against_a_naive_one_in_any_steps_and_across_restarts(seed: int) -> None:
    rng = random.Random(seed)
    records = []
    for _ in range(60):
        at, on = rng.randrange(1, 50), rng.random() < 0.7
        until = rng.choice((None, at + rng.randrange(0, 20))) if on else None
        records.append((at, rng.choice(("vip", "bad")), b"u%d" % rng.randrange(6), until, on))
    members, at = Members(), 0
    waiting = sorted(records, key=lambda record: record[0])
    flags: dict[tuple[str, bytes], bool] = {}
    while at < 80:
        at += rng.randrange(1, 9)
        # A record is read at the latest before the first event that it counts for, often sooner.
        while waiting and (waiting[0][0] <= at or rng.random() < 0.5):
            record_ms, name, key, until, on = waiting.pop(0)
            members.offer(record_ms, name, key, until, on)
        moments = members.due(at)
        for turn in members.advance(at):
            assert turn.at_ms in moments
            flags |= {(name, key): on for name, keys in turn.lists.items() for key, on in keys.items()}
        assert members.now == naive(records, at)
        assert {key for key, on in flags.items() if on} == set(members.now)
        if rng.random() < 0.3:
            restored = Members()
            restored.restore(dict(members.now), members.coming())
            members = restored


def test_an_end_that_was_put_off_does_not_end() -> None:
    members = Members()
    members.offer(10, "vip", b"a", 20, True)
    assert [turn.lists for turn in members.advance(15)] == [{"vip": {b"a": True}}]
    members.offer(16, "vip", b"a", None, True)
    list(members.advance(30))
    assert members.now == {("vip", b"a"): NO_END}
    assert members.take_changed() == [("vip", b"a")] and members.take_changed() == []


def test_a_member_whose_time_is_over_never_comes_on() -> None:
    members = Members()
    members.offer(10, "vip", b"a", 5, True)
    assert list(members.advance(10)) == [] and not members.now
