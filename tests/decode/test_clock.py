"""The running clock against its rule written event by event, and the cases it is there for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.clock import AHEAD_MS, CONFIRMING, RunningClock
from operators.decode_times import NO_TIME
from tests.oracle.clock import admit as by_the_rule

NONE = np.empty(0, dtype=np.int64)

HOUR = 3_600_000


def admit(
    times: list[int], clock: RunningClock | None = None, following: list[int] | None = None
) -> tuple[list[int], list[bool]]:
    ingest, future = (clock or RunningClock()).admit(
        np.array(times, dtype=np.int64), np.array(following or [], dtype=np.int64)
    )
    return ingest.tolist(), future.tolist()


STREAMS = st.lists(
    st.one_of(st.integers(0, 20), st.sampled_from([40, 60, 10_000])).map(lambda m: m * 60_000), max_size=60
)


@given(
    STREAMS,
    st.sampled_from([None, 0, 10 * 60_000]),
    st.sampled_from([HOUR, 10**12]),
    st.lists(st.integers(1, 20), max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_the_rule_however_the_stream_is_cut(times: list[int], start: int | None, horizon: int, cuts: list[int]) -> None:
    expected = by_the_rule(times, start, horizon)
    clock, ingest, future, at = RunningClock(start, horizon), [], [], 0
    for size in [*cuts, len(times)]:
        part, after = times[at : at + size], [t for t in times[at + size :] if t <= horizon]
        answer = admit(part, clock, after[:CONFIRMING])
        ingest += answer[0]
        future += answer[1]
        at += size
    assert (ingest, future) == expected


def test_one_forged_stamp_moves_nothing() -> None:
    times = [1_000, 2_000, 2_000 + HOUR, 3_000, 4_000]
    assert admit(times) == ([1_000, 2_000, 2_000, 3_000, 4_000], [False, False, True, False, False])


def test_a_pause_is_no_forgery() -> None:
    times = [1_000, HOUR, HOUR + 1, HOUR + 2]
    assert admit(times) == (times, [False] * 4)


def test_the_last_event_is_believed_and_a_forged_first_one_is_not() -> None:
    assert admit([1_000, HOUR]) == ([1_000, HOUR], [False, False])
    assert admit([HOUR, 1_000, 2_000]) == ([NO_TIME, 1_000, 2_000], [True, False, False])


def test_a_file_in_falling_order_keeps_its_events() -> None:
    times = [(50 - i) * HOUR for i in range(50)]
    assert not any(admit(times)[1])


def test_more_than_half_of_the_next_16_confirm_a_jump() -> None:
    jump, near = [0, HOUR], HOUR - AHEAD_MS
    assert admit(jump, following=[1] * 7 + [near] * 9)[1] == [False, False]
    assert admit(jump, following=[1] * 8 + [near] * 8)[1] == [False, True]
    assert admit(jump, following=[1] * 16 + [HOUR] * 16)[1] == [False, True]


def test_forged_stamps_that_vouch_for_each_other_move_nothing() -> None:
    times = [1_000, HOUR, HOUR + 1, HOUR + 2, HOUR + 3, *range(2_000, 2_016)]
    assert admit(times)[1] == [False, True, True, True, True, *[False] * 16]


def test_nothing_after_the_horizon() -> None:
    clock = RunningClock(None, 10_000)
    assert admit([1_000, 10_001, 10_002, 2_000], clock) == ([1_000, 1_000, 1_000, 2_000], [False, True, True, False])


def test_a_given_clock() -> None:
    clock = RunningClock(None, 10 * HOUR)
    times = np.array([0, 0, 50 + AHEAD_MS, 51 + AHEAD_MS, 0])
    given_ms = np.array([50, 40, 30, 50, 11 * HOUR])
    ingest, future = clock.admit(times, NONE, given_ms)
    assert ingest.tolist() == [50] * 5 and future.tolist() == [False, False, False, True, True]


def test_events_without_the_ingest_field_are_measured_by_it() -> None:
    given_ms = np.array([NO_TIME, 900, NO_TIME, NO_TIME])
    ingest, future = RunningClock().admit(np.array([700, 0, 800, 901 + AHEAD_MS]), NONE, given_ms)
    assert ingest.tolist() == [700, 900, 900, 900] and future.tolist() == [False, False, False, True]


@pytest.mark.parametrize("clock", [None, 5])
def test_no_events(clock: int | None) -> None:
    running = RunningClock(clock)
    assert admit([], running) == ([], []) and running.clock_ms == clock
