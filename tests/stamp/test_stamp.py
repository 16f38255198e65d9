"""Epochs, early columns, and events that cannot be summed."""

import polars as pl
import pytest

from operators.stamp import stamp
from operators.timeline import BEGUN
from tests.judge.worlds import HOUR, NOON, batch, document, fails_on, mode, program, record, timeline

LATER = "2026-01-01T13:00:00Z"


def test_an_empty_batch_is_nothing() -> None:
    assert stamp(batch([]), timeline()) == ([], [])


def test_one_program_is_one_piece_with_an_epoch_for_each_row() -> None:
    line = timeline()
    line.offer(mode("burst", "off", LATER), None)
    (one,), dead = stamp(batch([NOON + HOUR - 2, NOON + HOUR - 1, NOON + HOUR]), line)
    assert [one.epochs[i].id for i in one.epoch_index] == ["t:0", "t:0", "t:1"]
    assert dead == [] and one.frame.height == 3
    assert one.since["posts_1h"] == NOON + HOUR - 2


def test_a_batch_is_cut_where_the_program_changes() -> None:
    line = timeline()
    line.offer(record("policy", document(derive={"size": "length(text)"}), LATER), None)
    line.offer(mode("burst", "off", "2026-01-01T13:30:00Z"), None)
    stamp(batch([NOON] * BEGUN), line)
    times = [NOON, NOON + 1, NOON + HOUR, NOON + HOUR * 2]
    pieces, _ = stamp(batch(times, text=["a", "bb", "ccc", None]), line)
    assert [p.frame["event_id"].to_list() for p in pieces] == [["e0", "e1"], ["e2", "e3"]]
    assert "size" not in pieces[0].frame.columns
    assert pieces[1].frame["size"].to_list() == [3, None]
    assert [pieces[1].epochs[i].id for i in pieces[1].epoch_index] == ["t:1", "t:2"]


def test_derived_columns_may_read_each_other_and_hold_no_nan() -> None:
    derive = {"half": "amount / 2", "quarter": "half / 2", "odd": "ln(amount)", "loud": "upper(text)"}
    (one,), _ = stamp(
        batch([NOON] * 3, amount=[8.0, 0.0, -1.0], text=["a", None, "b"]), timeline(program(derive=derive))
    )
    assert one.frame["quarter"].to_list() == [2.0, 0.0, -0.25]
    assert one.frame["odd"].null_count() == 2
    assert one.frame["loud"].to_list() == ["A", None, "B"]


def test_filters_are_never_null() -> None:
    features = {
        "big": {"count": "payment", "by": "account", "over": "1h", "where": "amount > 5"},
        "posts": {"count": "post", "by": "account", "over": "1h"},
    }
    base = program(features=features, rules={})
    (one,), _ = stamp(batch([NOON] * 3, type=["payment", "payment", "post"], amount=[9.0, None, 9.0]), timeline(base))
    big, posts = (plan.filter for plan in base.kinds["account"].features)
    assert one.frame[big].to_list() == [True, False, False]
    assert one.frame[posts].to_list() == [False, False, True]


@pytest.mark.parametrize("bad", [1e14, -1e14, 1e308])
def test_what_cannot_be_summed_exactly_is_a_dead_letter(bad: float) -> None:
    pieces, dead = stamp(batch([NOON] * 3, first=7, type=["payment"] * 3, amount=[5.0, bad, None]), timeline())
    assert pieces[0].frame["event_id"].to_list() == ["e7", "e9"]
    assert len(pieces[0].epoch_index) == 2
    (one,) = dead
    assert (one.reason, one.field, one.stage, one.event_id, one.origin.offset) == (
        "out_of_range",
        "amount",
        "stamp",
        "e8",
        8,
    )
    assert one.detail == "amount is a number beyond 703687441776.64, which spend_1d cannot sum exactly with 2 decimals"
    assert one.hint == "fix the producer, or give the feature a smaller scale:"
    assert str(int(bad)) not in one.detail


def test_the_largest_sums_pass() -> None:
    pieces, dead = stamp(batch([NOON], type=["payment"], amount=[703687441776.64]), timeline())
    assert dead == [] and pieces[0].frame.height == 1


def test_a_batch_of_dead_letters_leaves_nothing() -> None:
    pieces, dead = stamp(batch([NOON], amount=[1e300]), timeline())
    assert pieces == [] and len(dead) == 1


def test_a_derived_column_that_fails_is_null_for_the_rows_that_made_it() -> None:
    base = program(derive={"size": "length(text)", "twice": "size * 2", "other": "amount + 1"})
    n = 100
    texts = ["bad" if i in (3, 77) else "ok" for i in range(n)]
    (one,), _ = stamp(batch([NOON] * n, text=texts, amount=[1.0] * n), timeline(fails_on(base, "size", "text", "bad")))
    assert [i for i, v in enumerate(one.frame["size"].to_list()) if v is None] == [3, 77]
    assert one.frame["twice"].to_list()[:5] == [4, 4, 4, None, 4]
    assert one.frame["other"].null_count() == 0
    assert one.failed["size"].nonzero()[0].tolist() == [3, 77]
    (told,) = one.errors
    expected = (
        "derived column size failed for 2 events (ValueError), first at record 3 of events: "
        "it is NULL there, and rules that read it are shadow"
    )
    assert told["message"] == expected
    assert told["kind"] == "rule_error" and "bad" not in str(told)


def test_failures_stay_with_their_rows_when_others_are_taken_out() -> None:
    base = fails_on(program(derive={"size": "length(text)"}), "size", "text", "bad")
    (one,), dead = stamp(batch([NOON] * 3, text=["x", "y", "bad"], amount=[1e300, 1.0, 1.0]), timeline(base))
    assert len(dead) == 1
    assert one.failed["size"].tolist() == [False, True]


def test_a_program_without_rules_or_features_is_stamped_too() -> None:
    (one,), _ = stamp(batch([NOON]), timeline(program(rules={}, features={})))
    assert isinstance(one.frame, pl.DataFrame) and one.since == {}


def test_a_policy_record_with_the_same_program_does_not_cut() -> None:
    line = timeline()
    line.offer(record("policy", document(), LATER), None)
    stamp(batch([NOON] * BEGUN), line)
    (one,), _ = stamp(batch([NOON, NOON + 2 * HOUR]), line)
    assert [one.epochs[i].id for i in one.epoch_index] == ["t:0", "t:1"]
