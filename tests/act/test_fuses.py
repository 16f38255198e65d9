"""Budgets of rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.fuses import Fuses


def spend(fuses: Fuses, at: int, budget: tuple[int, int] = (2, 100), key: str = "k") -> bool:
    return fuses.spend("live", "r", key, budget, at)


def test_acts_at_the_edge_of_the_window() -> None:
    fuses = Fuses()
    assert [spend(fuses, t) for t in (0, 0, 100, 100, 199)] == [True, True, True, True, False]
    assert (
        fuses.tripped("live", "r", "k")
        and not fuses.tripped("live", "r", "other")
        and not fuses.tripped("shadow", "r", "k")
    )
    assert not spend(fuses, 10**9)


def test_setting_a_mode_again_within_the_budget_does_not_double_it() -> None:
    fuses = Fuses()
    assert spend(fuses, 0) and spend(fuses, 1, key="k2")
    assert not spend(fuses, 2, key="k3")


def test_the_key_after_a_trip_has_a_whole_budget() -> None:
    fuses = Fuses()
    assert [spend(fuses, t) for t in (0, 1, 2)] == [True, True, False]
    assert [spend(fuses, t, key="k2") for t in (3, 4, 5)] == [True, True, False]


def test_time_does_not_run_back() -> None:
    fuses = Fuses()
    assert spend(fuses, 100) and spend(fuses, 50)
    assert not spend(fuses, 160)  # both count as of 100


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["k", "k2"])), max_size=40), st.integers(0, 40))
def test_a_snapshot_goes_on_where_it_was(steps: list[tuple[int, str]], cut: int) -> None:
    whole, first = Fuses(), Fuses()
    now, answers, again = 0, [], []
    for i, (step, key) in enumerate(steps):
        now += step
        answers.append(spend(whole, now, (3, 60), key))
        if i == cut:
            restored = Fuses()
            restored.restore(first.snapshot())
            first = restored
        again.append(spend(first, now, (3, 60), key))
    assert again == answers and first.snapshot() == whole.snapshot()


def test_a_burst_within_a_millisecond_is_kept_small() -> None:
    fuses = Fuses()
    for _ in range(10_000):
        spend(fuses, 5, (10**6, 100))
    assert len(fuses.snapshot()) < 120


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="the state's fuses have format 2, this version reads 1: use the version of watchgate that wrote them",
    ):
        Fuses().restore(b'{"format": 2}')
