"""Percentages, and what a mode comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.modes import BUCKETS, Standing, bucket, live_share, resolve, standing, warm_from
from operators.timeline import Epoch
from tests.judge.worlds import NOON, batch, fired, judged, mode, program, rule, timeline


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("off", None),
        ("shadow", None),
        ("live", 10_000),
        ("live 0%", 0),
        ("live 1%", 100),
        ("live 10%", 1_000),
        ("live 99%", 9_900),
        ("live 100%", 10_000),
    ],
)
def test_shares(text: str, share: int | None) -> None:
    assert live_share(text) == share


def test_buckets_are_pinned() -> None:
    """Another hash would move every target to another bucket in the middle of a ramp."""
    assert [bucket("burst", key) for key in (b"", b"a", b"user1", "\u00fc".encode())] == BUCKETS_PINNED


BUCKETS_PINNED = [635, 3746, 7616, 34]


def plan(text: str) -> Epoch:
    return Epoch("0", program(rules={"burst": rule(mode=text)}))


PLANS = {n: plan(f"live {n}%") for n in (0, 1, 2, 10, 33, 50, 99, 100)}


@given(st.binary(max_size=40), st.sampled_from(sorted(PLANS)), st.sampled_from(sorted(PLANS)))
def test_a_ramp_only_adds(target: bytes, one: int, other: int) -> None:
    def live(n: int) -> bool:
        epoch = PLANS[n]
        (only,) = epoch.program.rules
        return resolve(standing(only, epoch), "burst", target, NOON, -1)[0] == "live"

    low, high = sorted((one, other))
    assert live(high) or not live(low)
    assert not live(0)
    assert live(100)


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_a_percentage_is_one(percent: int) -> None:
    n = 20_000
    live = sum(bucket("burst", f"user{i}".encode()) < percent * 100 for i in range(n))
    assert abs(live / n - percent / 100) < 4 * (percent / 100 * (1 - percent / 100) / n) ** 0.5


def test_rules_try_out_on_different_targets() -> None:
    targets = [f"user{i}".encode() for i in range(5_000)]
    both = sum(bucket("one", t) < 1_000 and bucket("two", t) < 1_000 for t in targets)
    assert 20 < both < 90  # 1 % of them, not 10 %


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=4),
    st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=20),
)
def test_a_ramp_through_mode_records_keeps_everyone_that_it_had(steps: list[int], accounts: list[str]) -> None:
    line, before = timeline(BASE), set[str]()
    for i, percent in enumerate(sorted(steps)):
        line.offer(mode("burst", f"live {percent}%"), NOON + i)
        found = judged(line, batch([NOON + i] * len(accounts), account=accounts), posts_1h=[3] * len(accounts))
        live = {accounts[int(event[1:])] for event, m, *_ in fired(found) if m == "live"}
        assert before <= live
        before = live


BASE = program(rules={"burst": rule()})


def test_every_event_of_a_target_is_on_the_same_side() -> None:
    found = judged(
        timeline(program(rules={"burst": rule(mode="live 50%")})),
        batch([NOON] * 200, account=["a", "b", "c", "d"] * 50),
        posts_1h=[3] * 200,
    )
    sides = {(int(event[1:]) % 4, m) for event, m, *_ in fired(found)}
    assert len(sides) == 4


def test_the_mode_as_it_was_set_stands_in_the_verdict() -> None:
    line = timeline(program(rules={"burst": rule(mode="live 50%"), "other": rule(mode="shadow")}))
    line.offer(mode("other", "live  7%"), None)
    found = judged(line, batch([NOON], account=["a"]), posts_1h=[3])
    assert {r["rule"]: r["mode"] for _, v in found.verdicts for r in v["rules"]} == {
        "burst": "live 50%",
        "other": "live 7%",
    }


def test_a_feature_of_which_nothing_is_known_is_never_warm() -> None:
    (only,) = program(rules={"burst": rule(warmup="wait")}).rules
    assert warm_from(only, {}) == 2**63 - 1
    assert warm_from(only, {"posts_1h": NOON}) == NOON + 3_600_000


def test_modes_off_and_shadow_are_not_live() -> None:
    for text in ("off", "shadow", "live", "live 10%"):
        epoch = plan(text)
        (only,) = epoch.program.rules
        stands = standing(only, epoch)
        assert (stands.off, stands.doubt) == (text == "off", None if text.startswith("live") else "mode")
    assert BUCKETS == 10_000


def test_setting_a_mode_again_makes_a_new_fuse() -> None:
    line = timeline(program(rules={"burst": rule()}))
    keys = []
    for i in range(3):
        found = judged(line, batch([NOON + i], account=["a"]), posts_1h=[3])
        keys.append(found.hits[0].fuse_key)
        line.offer(mode("burst", "live"), NOON + i)
    assert keys == ["policy", "record:0", "record:1"]


@given(st.binary(max_size=20))
def test_the_share_ends_exactly_at_the_bucket(target: bytes) -> None:
    at = bucket("burst", target)
    for share, expected in ((at, "shadow"), (at + 1, "live")):
        assert resolve(Standing("live", False, None, share, "policy"), "burst", target, NOON, -1)[0] == expected
