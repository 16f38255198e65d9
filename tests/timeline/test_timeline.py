"""Config records in, epochs out."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ages import NEVER, Ages
from operators.passed import Passed
from operators.timeline import BEGUN, GAP_MS, Timeline, TimelineError
from tests.judge.worlds import (
    DAY,
    HOUR,
    NOON,
    ceiling,
    compile_document,
    document,
    mode,
    program,
    record,
    rule,
    timeline,
)

TWO = {"burst": rule(mode="shadow"), "spree": rule("spend_1d > 100")}
LATER = "2026-01-01T13:00:00Z"


def ids(line: Timeline, *ingest: int) -> list[str]:
    index, epochs = line.assign(np.array(ingest, dtype=np.int64))
    return [epochs[i].id for i in index]


def modes_at(line: Timeline, ms: int) -> dict[str, str]:
    return {name: record.mode for name, record in line.at(ms).modes.items()}


def test_without_a_config_source_there_is_one_epoch() -> None:
    line = timeline(configured=False)
    assert ids(line, NOON, NOON + DAY) == ["0", "0"]


def test_with_one_the_epoch_is_the_timeline_and_the_records_folded() -> None:
    line = timeline()
    assert ids(line, NOON) == ["t:0"]
    line.offer(mode("burst", "off", LATER), NOON)
    line.offer(ceiling("shadow"), NOON + 2 * HOUR)
    assert ids(line, NOON, NOON + HOUR - 1, NOON + HOUR, NOON + 2 * HOUR) == ["t:0", "t:0", "t:1", "t:2"]


def test_a_record_read_before_the_first_event_holds_from_it_on() -> None:
    line = timeline()
    (told,) = line.offer(mode("burst", "off"), None)
    assert ids(line, NOON) == ["t:1"]
    assert told["message"] == "rule burst is off (was live) from the first event on"
    assert told["at"] is None


def test_a_record_never_takes_effect_in_the_past() -> None:
    line = timeline()
    ids(line, NOON, NOON + 2 * HOUR)
    (told,) = line.offer(mode("burst", "off", LATER), NOON)
    assert line.at(NOON + 2 * HOUR - 1).id == "t:0"
    assert line.at(NOON + 2 * HOUR).id == "t:1"
    expected = (
        "rule burst is off (was live) from 2026-01-01T14:00:00.000Z on "
        "(asked for from 2026-01-01T13:00:00.000Z, which had passed; "
        "1 event taken in since 2026-01-01T13:00:00.000Z was judged under the earlier epoch)"
    )
    assert told["message"] == expected
    assert told["detail"]["events_before"] == 1


def test_a_record_says_how_many_events_it_came_too_late_for() -> None:
    line = timeline()
    ids(line, *range(NOON, NOON + 3_000))
    # The broker had it at 500 ms; it was asked for from 400 ms on, and holds from what comes next.
    (told,) = line.offer(mode("burst", "off", "2026-01-01T12:00:00.400Z"), NOON + 500, NOON + 500)
    assert told["message"].endswith(
        "(asked for from 2026-01-01T12:00:00.400Z, which had passed; "
        "2,500 events taken in since 2026-01-01T12:00:00.500Z were judged under the earlier epoch)"
    )
    (told,) = line.offer(mode("burst", "live"), NOON + 2_999, NOON + 2_998)
    assert told["message"].endswith(
        " (2 events taken in since 2026-01-01T12:00:02.998Z were judged under the earlier epoch)"
    )
    (told,) = line.offer(mode("burst", "shadow"), NOON + 4_000, NOON + 4_000)  # in time
    assert (told["message"].count("("), told["detail"]["events_before"]) == (1, 0)


def test_after_a_restore_it_says_that_it_does_not_know_them_all() -> None:
    line = timeline()
    ids(line, NOON, NOON + HOUR)
    again = timeline()
    again.restore(line.snapshot())
    late = "2026-01-01T12:30:00Z"
    (told,) = again.offer(mode("burst", "off", late), NOON + HOUR)
    assert "; an unknown number of events taken in since 2026-01-01T12:30" in told["message"]
    ids(again, NOON + HOUR + 1, NOON + HOUR + 2)
    (told,) = again.offer(mode("burst", "off", late), NOON + HOUR + 2)
    assert "; at least 2 events taken in since 2026-01-01T12:30" in told["message"]


@pytest.mark.parametrize("size", [1, 3, 7, 8, 11, 40])
def test_what_has_passed_is_counted_however_it_came_in_batches(size: int) -> None:
    passed = Passed(8)
    times = np.arange(100, 140)
    for start in range(0, 40, size):
        passed.add(times[start : start + size])
    assert [passed.since(ms) for ms in (140, 139, 132, 131)] == [(0, True), (1, True), (8, True), (8, False)]


def test_records_in_force_at_once_fold_in_the_order_of_reading() -> None:
    line = timeline()
    for text in ("off", "live", "shadow"):
        line.offer(mode("burst", text, LATER), NOON)
    assert ids(line, NOON + HOUR) == ["t:3"]
    assert modes_at(line, NOON + HOUR) == {"burst": "shadow"}


def test_a_record_read_later_may_be_in_force_earlier() -> None:
    line = timeline(program(rules=TWO))
    line.offer(mode("burst", "live", "2026-01-01T15:00:00Z"), NOON)
    line.offer(mode("spree", "off", "2026-01-01T14:00:00Z"), NOON)
    assert [line.at(NOON + h * HOUR).id for h in (1, 2, 3)] == ["t:0", "t:1", "t:2"]
    assert modes_at(line, NOON + 2 * HOUR) == {"spree": "off"}
    assert modes_at(line, NOON + 3 * HOUR) == {"spree": "off", "burst": "live"}


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 5)), max_size=8),
    st.lists(st.integers(0, 6), min_size=1, max_size=8),
)
def test_epochs_that_were_used_never_change(offers: list[tuple[int, int]], events: list[int]) -> None:
    """Whatever is read in between, the past reads the same."""
    line, clock, seen = timeline(BASE), NOON, {}
    for (step, effective), event in zip(offers, events, strict=False):
        clock += step * 1000
        seen[clock] = ids(line, clock)[0]
        at = None if effective < 0 else f"2026-01-01T12:00:0{effective}Z"
        before = {ms: line.at(ms).id for ms in seen if ms < clock}
        line.offer(mode("burst", "off" if event % 2 else "live", at), clock)
        assert {ms: line.at(ms).id for ms in before} == before


BASE = program()


@given(
    st.lists(st.sampled_from(["live", "off", "shadow", "live 5%"]), max_size=6),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.sets(st.integers(0, 30)),
    st.integers(0, 9),
)
def test_epochs_do_not_depend_on_cuts(texts: list[str], seconds: list[int], cuts: set[int], start: int) -> None:
    ingest = sorted(NOON + s * 1000 for s in seconds)

    def run(cuts: set[int]) -> list[tuple[str, dict[str, str]]]:
        line, found = timeline(BASE), []
        for i, text in enumerate(texts):
            line.offer(mode("burst", text, f"2026-01-01T12:00:0{(start + i) % 10}Z"), None)
        edges = sorted({0, len(ingest), *(c for c in cuts if c < len(ingest))})
        for a, b in itertools.pairwise(edges):
            index, epochs = line.assign(np.array(ingest[a:b], dtype=np.int64))
            found += [(epochs[i].id, {n: m.mode for n, m in epochs[i].modes.items()}) for i in index]
        return found

    assert run(cuts) == run(set())


# modes and the version of the rule they are for


def test_a_mode_binds_to_the_rule_as_it_is_then() -> None:
    line = timeline()
    digest = line.at(NOON).program.rules[0].digest
    line.offer(mode("burst", "live"), NOON)
    assert line.at(NOON).modes["burst"].digest == digest
    changed = document(rules={"burst": rule("posts_1h >= 4", mode="live")})
    (told,) = line.offer(record("policy", changed), NOON)
    assert line.at(NOON).modes["burst"].digest == digest != line.at(NOON).program.rules[0].digest
    assert told["kind"] == "policy_applied"
    assert told["detail"]["changed"] == told["detail"]["shadow_until_set_again"] == ["burst"]
    assert "(rules changed: burst; shadow until set again: burst) from 2026-01-01T12:00:00.000Z on" in told["message"]


def test_a_mode_for_a_rule_that_comes_later_binds_to_that_one() -> None:
    line = timeline()
    line.offer(record("policy", document(rules={"burst": rule("posts_1h >= 4")}), LATER), NOON)
    line.offer(mode("burst", "live", LATER), NOON)
    epoch = line.at(NOON + HOUR)
    assert epoch.modes["burst"].digest == epoch.program.rules[0].digest


def test_a_mode_for_another_version_says_so() -> None:
    line = timeline()
    (told,) = line.offer(mode("burst", "live", digest="0123456789abcdef"), NOON)
    digest = line.at(NOON).program.rules[0].digest
    assert (
        f"is set to live for its version 0123456789abcdef, which is not the one in force ({digest}), so it is shadow"
        in told["message"]
    )


def test_the_panic_switch_says_what_it_does() -> None:
    line = timeline()
    assert line.offer(ceiling("shadow"), NOON)[0]["message"].startswith(
        "the panic switch is on: every rule is shadow from 2026"
    )
    assert line.at(NOON).ceiling
    (told,) = line.offer(mode("burst", "live"), NOON)
    assert told["message"].startswith("rule burst is live (was live), but the panic switch keeps it in shadow from")
    assert line.offer(ceiling("clear"), NOON)[0]["message"].startswith(
        "the panic switch is off: rules act as their modes say"
    )
    assert not line.at(NOON).ceiling


def test_who_and_why_stand_in_the_status() -> None:
    (told,) = timeline().offer(mode("burst", "live 10%"), NOON)
    assert told["kind"] == "config_applied"
    assert told["detail"]["by"] == "ann" and told["detail"]["reason"] == "a test"
    assert (told["subject"], told["epoch"], told["at"]) == ("mode/burst", "t:1", "2026-01-01T12:00:00.000Z")


# rejections


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        (b"{", "record 1 was rejected: the record is not JSON"),
        (mode("brust", "live"), "mode/brust was rejected: the policy has no rule brust: did you mean burst?"),
        (mode("zzz", "live"), "the policy has no rule zzz; it has burst"),
        (mode("burst", "on"), "off, shadow, live, or live N%"),
        (record("model/fraud", {"version": 3}), "the policy has no model fraud; it has none"),
        (record("threshold/high", {"value": 0.5}), "the policy has no model high; it has none"),
        (record("policy", document(rules={"a": rule("nope > 1")})), "nope"),
        (record("policy", {}), "policy was rejected:"),
        (
            record("policy", document(policy="other")),
            "it is policy other, and this job runs policy shop: start another job for it",
        ),
        (
            record("policy", document(entities={"account": "account"}, lists={}, features={}, rules={})),
            "it changes entities: (ip, pair), lists: (vip, trusted), so it needs a new job from a savepoint",
        ),
        (
            record("policy", document(lists={"vip": {"of": "account"}})),
            "it changes lists: (trusted), so it needs a new job from a savepoint",
        ),
        (
            json.dumps({"key": "mode/burst", "value": {"mode": "live"}, "by": "\ud800", "reason": "r"}).encode(),
            "record 1 was rejected",
        ),
        (b'{"timeline": "other"}', "this is the log of timeline other, and the job follows timeline t"),
    ],
)
def test_a_bad_record_is_rejected_in_words(offered: bytes, why: str) -> None:
    line = timeline()
    (told,) = line.offer(offered, NOON)
    assert told["kind"] == "config_rejected"
    assert why in str(told["message"])
    assert line.at(NOON).id == "t:0"
    json.dumps(told).encode()


def test_the_header_of_the_own_timeline_is_no_news() -> None:
    line = timeline()
    assert line.offer(b'{"timeline": "t"}', None) == []


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)).map(
        lambda v: json.dumps({"key": "policy", "value": v, "by": "b", "reason": "r"}).encode()
    )
)
def test_no_record_raises(offered: bytes) -> None:
    line = timeline(BASE)
    (told,) = line.offer(offered, None)
    assert told["kind"] == "config_rejected"


def test_a_policy_whose_compilation_breaks_is_rejected() -> None:
    def broken(_: dict[str, object]) -> None:
        raise RecursionError

    line = Timeline(BASE, broken, "t", True)
    (told,) = line.offer(record("policy", document()), NOON)
    assert told["message"] == "policy was rejected: RecursionError"


# how long features have been in the stream


def test_old_stamps_at_the_head_do_not_start_the_features_however_they_come() -> None:
    whole, cut = timeline(), timeline()
    times = (NOON - DAY, NOON - DAY, NOON - DAY + 9, NOON + 5, NOON + 9)
    ids(whole, *times)
    for ms in times:
        ids(cut, ms)
        again = timeline()
        again.restore(cut.snapshot())
        cut = again
    assert whole.feature_since("posts_1h", NOON) == cut.feature_since("posts_1h", NOON) == NOON + 5


def test_the_first_event_starts_the_features_and_a_gap_among_the_first_ones_starts_them_anew() -> None:
    line = timeline()
    ids(line, NOON, NOON + GAP_MS)
    assert line.feature_since("posts_1h", NOON + HOUR) == NOON
    ids(line, NOON + HOUR)
    assert line.feature_since("posts_1h", NOON + HOUR) == NOON + HOUR


def test_events_on_both_sides_of_a_gap_among_the_first_ones_have_their_own_start() -> None:
    line = timeline()
    index, epochs = line.assign(np.array([NOON, NOON + HOUR, NOON + HOUR]))
    assert [epochs[i].since["posts_1h"] for i in index] == [NOON, NOON + HOUR, NOON + HOUR]
    assert {epoch.id for epoch in epochs} == {"t:0"}


def test_once_the_stream_has_begun_a_gap_is_a_quiet_hour() -> None:
    line = timeline()
    ids(line, *[NOON] * BEGUN)
    ids(line, NOON + DAY)
    assert line.feature_since("posts_1h", NOON + DAY) == NOON


def test_a_policy_record_starts_the_features_that_it_brings() -> None:
    line = timeline()
    ids(line, NOON)
    features = {
        "posts_1h": {"count": "post", "by": "account", "over": "1h"},
        "more": {"count": "any", "by": "ip", "over": "1h"},
    }
    line.offer(record("policy", document(features=features), LATER), NOON)
    line.offer(record("policy", document(), "2026-01-01T14:00:00Z"), NOON)
    assert line.feature_since("posts_1h", NOON + HOUR) == NOON
    assert line.feature_since("more", NOON + HOUR) == NOON + HOUR
    assert line.feature_since("more", NOON) is None
    # One that went and came back has lost its state in between.
    assert line.feature_since("spend_1d", NOON + 2 * HOUR) == NOON + 2 * HOUR
    assert line.feature_since("posts_1h", NOON + 2 * HOUR) == NOON


def test_a_feature_with_another_definition_is_another_feature() -> None:
    line = timeline()
    ids(line, NOON)
    features = {"posts_1h": {"count": "post", "by": "account", "over": "2h"}}
    line.offer(record("policy", document(features=features), LATER), NOON)
    assert line.feature_since("posts_1h", NOON + HOUR) == NOON + HOUR


# the config source is away


def test_without_the_config_source_epochs_say_so() -> None:
    line = timeline()
    (told,) = line.unavailable(True)
    assert (told["kind"], told["message"]) == (
        "config_unavailable",
        "the config source cannot be read: every rule is shadow",
    )
    assert line.unavailable(True) == []
    _, epochs = line.assign(np.array([NOON]))
    assert epochs[0].unavailable
    (told,) = line.unavailable(False)
    assert told["kind"] == "config_available"
    _, epochs = line.assign(np.array([NOON]))
    assert not epochs[0].unavailable


# snapshots


def test_a_snapshot_goes_on_where_it_was() -> None:
    line = timeline()
    ids(line, NOON)
    line.offer(mode("burst", "live 10%"), NOON)
    line.offer(record("policy", document(rules={"burst": rule("posts_1h >= 9")}), LATER), NOON)
    line.offer(ceiling("shadow"), NOON + 2 * HOUR)
    again = timeline()
    again.restore(line.snapshot())
    for ms in (NEVER, NOON, NOON + HOUR, NOON + DAY):
        a, b = line.at(ms), again.at(ms)
        assert (a.id, a.modes, a.ceiling, a.since, a.program.digest) == (
            b.id,
            b.modes,
            b.ceiling,
            b.since,
            b.program.digest,
        )
    assert again.snapshot() == line.snapshot()
    # The clock is part of it: nothing reaches back behind what was judged before.
    again.offer(mode("burst", "off"), None)
    assert again.at(NOON - 1).id == "t:0"


def test_a_mode_keeps_its_version_through_a_restart_with_another_policy() -> None:
    line = timeline()
    ids(line, NOON)
    line.offer(mode("burst", "live"), NOON)
    again = timeline(program(rules={"burst": rule("posts_1h >= 2")}))
    again.restore(line.snapshot())
    epoch = again.at(NOON)
    assert epoch.modes["burst"].digest != epoch.program.rules[0].digest


def test_a_new_feature_of_another_base_starts_after_the_restart() -> None:
    line = timeline()
    ids(line, *[NOON] * BEGUN)
    features = {
        "posts_1h": {"count": "post", "by": "account", "over": "1h"},
        "posts_2h": {"count": "post", "by": "account", "over": "2h"},
    }
    again = timeline(program(features=features))
    again.restore(line.snapshot())
    ids(again, NOON + HOUR)
    assert again.feature_since("posts_1h", NOON + HOUR) == NOON
    assert again.feature_since("posts_2h", NOON + HOUR) == NOON + HOUR
    third = timeline()
    third.restore(again.snapshot())
    ids(third, NOON + DAY)
    assert third.feature_since("spend_1d", NOON + DAY) == NOON + DAY


def test_a_policy_record_goes_before_the_policy_of_the_start() -> None:
    line = timeline()
    ids(line, NOON)
    line.offer(record("policy", document(rules={})), NOON)
    again = timeline()
    (told,) = again.restore(line.snapshot())
    assert told["message"] == "a policy record is in force, not the policy that the job was started with"
    assert again.at(NOON).program.rules == ()


def test_a_policy_record_that_no_longer_fits_is_set_aside() -> None:
    line = timeline()
    ids(line, NOON)
    line.offer(record("policy", document(rules={})), NOON)
    line.offer(ceiling("shadow"), NOON)
    again = timeline(program(lists={}))
    (told,) = again.restore(line.snapshot())
    assert told["kind"] == "config_rejected" and "set aside: it changes lists: (vip, trusted)" in str(told["message"])
    epoch = again.at(NOON)
    assert (epoch.id, epoch.ceiling, len(epoch.program.rules)) == ("t:2", True, 1)
    third = timeline(program(lists={}))
    assert third.restore(again.snapshot()) == []
    assert third.at(NOON).id == "t:2"


def test_another_timeline_is_refused() -> None:
    line = timeline()
    ids(line, NOON)
    with pytest.raises(
        TimelineError, match="the state belongs to timeline t, the config source to timeline u: name the config source"
    ):
        timeline(name="u").restore(line.snapshot())


def test_a_state_that_had_no_config_source_may_get_one() -> None:
    line = timeline(configured=False)
    ids(line, NOON)
    again = timeline()
    again.restore(line.snapshot())
    assert again.at(NOON).id == "t:0"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(
        TimelineError, match="format 9, this version reads 1: use the version of watchgate that wrote it"
    ):
        timeline().restore(b'{"format": 9}')


def test_a_policy_that_no_longer_compiles_is_refused() -> None:
    line = timeline()
    line.offer(record("policy", document(rules={})), NOON)

    def broken(_: dict[str, object]) -> None:
        raise ValueError("no such function")

    with pytest.raises(TimelineError) as caught:
        Timeline(BASE, broken, "t", True).restore(line.snapshot())
    assert str(caught.value) == (
        "policy record 1 of the state does not compile: no such function. Run the job with the version of watchgate and the "
        "options with which it was accepted"
    )


def test_a_thousand_records_fold_quickly() -> None:
    line = timeline()
    for i in range(1000):
        line.offer(mode("burst", f"live {i % 100}%"), NOON + i)
    assert line.at(NOON + DAY).id == "t:1000"
    assert compile_document(document()).digest == line.at(NOON).program.digest


def test_lanes_that_become_one_go_on_from_the_oldest_and_the_latest_of_them() -> None:
    early, late, idle = timeline(), timeline(), timeline()
    early.assign(np.array([NOON, NOON + 1]))
    late.assign(np.array([NOON + HOUR]))
    joined = Ages.joined(Ages.from_bytes(line.ages.to_bytes()) for line in (idle, late, early))
    again = timeline()
    again.restore(idle.snapshot(), joined)
    assert (again.clock_ms, again.ages) == (NOON + HOUR, joined)
    assert {again.feature_since(name, NOON + HOUR) for name in BASE.features} == {NOON}
    assert Ages.joined([]) == Ages() == Ages.joined([idle.ages])
