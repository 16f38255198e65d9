"""From hits to enforcement."""

import itertools
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from operators.act import Acted, Actor
from operators.batch import Hit
from operators.cooldowns import Cooldowns
from operators.store import DictStore
from schemas.cloudevents import ce_id
from schemas.enforcement import Enforcement
from schemas.status import Status
from tests.judge.worlds import HOUR, NOON

HIT = Hit(
    rule="burst",
    mode="live",
    shadow_reason=None,
    action="limit",
    severity="high",
    target_kind="account",
    target_key="ann",
    target_id=b"ann",
    protected=None,
    reason="posts_1h 4 (>= 3)",
    policy_ref="spam/2.1",
    event_id="e0",
    event_type="post",
    event_ms=NOON - 5,
    ingest_ms=NOON,
    epoch="t:1",
    verdict_id=ce_id("shop", "verdicts", "post", "e0", "live"),
    cooldown_ms=0,
    expires_ms=HOUR,
    budget=(1000, HOUR),
    fuse_key="policy",
)


def hit(at: int = 0, target: str | None = "ann", **parts: Any) -> Hit:
    return replace(
        HIT, event_id=f"e{at}", ingest_ms=NOON + at, target_key=target, target_id=(target or "").encode(), **parts
    )


def shadow(at: int = 0, target: str | None = "ann", **parts: Any) -> Hit:
    return hit(at, target, mode="shadow", shadow_reason="mode", **parts)


def told(acted: Acted) -> list[tuple[str, str, str | None]]:
    """(event, mode, shadow reason) of the enforcement."""
    for _, document in acted.enforcement:
        Enforcement.model_validate_json(orjson.dumps(document))
    for document in acted.status:
        Status.model_validate_json(orjson.dumps(document))
    return [(d["event_id"], m, d["shadow_reason"]) for m, d in acted.enforcement]


def test_an_enforcement_says_what_to_do_and_why() -> None:
    ((made, document),) = Actor("shop").act([HIT]).enforcement
    assert made == "live"
    assert document == {
        "ce_id": ce_id("shop", "enforcement", "post", "e0", "live", "burst", "account", "ann"),
        "policy": "shop",
        "epoch": "t:1",
        "mode": "live",
        "shadow_reason": None,
        "rule": "burst",
        "action": "limit",
        "severity": "high",
        "target": {"kind": "account", "key": "ann"},
        "event_id": "e0",
        "event_type": "post",
        "event_time": "2026-01-01T11:59:59.995Z",
        "at": "2026-01-01T12:00:00.000Z",
        "expires_at": "2026-01-01T13:00:00.000Z",
        "reason": "posts_1h 4 (>= 3)",
        "policy_ref": "spam/2.1",
        "protected_by": None,
        "verdict": HIT.verdict_id,
    }
    Enforcement.model_validate_json(orjson.dumps(document))


def test_nobody_is_no_target() -> None:
    acted = Actor("shop").act([hit(0, None), shadow(1, None)])
    assert acted == Acted()


def test_a_target_is_left_alone_for_the_cooldown() -> None:
    actor = Actor("shop")
    acted = actor.act([hit(t, cooldown_ms=100) for t in (0, 50, 99, 100, 150, 200)])
    assert told(acted) == [("e0", "live", None), ("e100", "live", None), ("e200", "live", None)]
    assert acted.acted == {("burst", "live"): 3} and acted.cooled == {("burst", "live"): 3}


def test_cooldowns_are_by_rule_target_and_kind() -> None:
    actor = Actor("shop")
    hits = [hit(0), hit(1, "bob"), hit(2, rule="other"), hit(3, target_kind="card"), hit(4)]
    assert [e for e, *_ in told(actor.act([replace(h, cooldown_ms=HOUR) for h in hits]))] == ["e0", "e1", "e2", "e3"]


def test_without_a_cooldown_every_hit_acts() -> None:
    assert len(told(Actor("shop").act([hit(5), hit(5, event_type="pay"), hit(4)]))) == 3


def test_shadow_leaves_no_trace_in_live() -> None:
    """A rule that hit in shadow first acts as if it had not, and the other way round."""
    actor = Actor("shop")
    acted = actor.act(
        [shadow(0, cooldown_ms=HOUR), hit(1, cooldown_ms=HOUR), shadow(2, cooldown_ms=HOUR), hit(3, cooldown_ms=HOUR)]
    )
    assert told(acted) == [("e0", "shadow", "mode"), ("e1", "live", None)]


def test_shadow_is_what_live_would_have_done() -> None:
    hits = [hit(t * 7, f"u{t % 5}", cooldown_ms=90, budget=(6, 200)) for t in range(60)]
    live = Actor("shop").act(hits)
    dry = Actor("shop").act([replace(h, mode="shadow", shadow_reason="mode") for h in hits])
    assert [d["event_id"] for m, d in live.enforcement if m == "live"] == [d["event_id"] for _, d in dry.enforcement]
    assert (
        len(live.status) == 2 and len(dry.status) == 1
    )  # the live fuse, and then the shadow fuse of what went on in shadow


def test_the_fuse_lets_exactly_its_budget_through() -> None:
    actor = Actor("shop")
    acted = actor.act([hit(i, f"u{i}", budget=(3, HOUR)) for i in range(8)])
    assert told(acted) == [
        ("e0", "live", None),
        ("e1", "live", None),
        ("e2", "live", None),
        ("e3", "shadow", "fuse"),
        ("e4", "shadow", "fuse"),
        ("e5", "shadow", "fuse"),
    ]
    assert [(s["kind"], s["subject"], s["detail"]["namespace"], s["epoch"]) for s in acted.status] == [
        ("fuse_tripped", "burst", "live", "t:1"),
        ("fuse_tripped", "burst", "shadow", "t:1"),
    ]
    assert acted.status[0]["message"] == (
        "rule burst reached its budget of 3/1h and acts no more: "
        "its hits go to enforcement.shadow with reason fuse until its mode is set again"
    )
    assert acted.status[1]["message"] == (
        "rule burst in shadow reached its budget of 3/1h: live would have stopped here, "
        "so nothing more of it goes to enforcement.shadow until its mode is set again"
    )
    assert actor.act([hit(10_000, "z", budget=(3, HOUR))]).status == []


def test_a_tripped_fuse_stays_so_however_long() -> None:
    actor = Actor("shop")
    actor.act([hit(i, f"u{i}", budget=(1, 1000)) for i in range(2)])
    assert told(actor.act([hit(10**9, "later", budget=(1, 1000))])) == [("e1000000000", "shadow", "fuse")]
    assert told(actor.act([hit(10**9 + 1, "later", budget=(10**6, 1000))])) == [("e1000000001", "shadow", "fuse")]


def test_only_a_new_mode_record_resets_it() -> None:
    actor = Actor("shop")
    actor.act([hit(i, f"u{i}", budget=(1, HOUR)) for i in range(2)])
    later = 2 * HOUR
    again = [hit(later + i, f"v{i}", budget=(1, HOUR), fuse_key="record:7") for i in (0, 1)]
    assert told(actor.act(again)) == [(f"e{later}", "live", None), (f"e{later + 1}", "shadow", "fuse")]
    # An event that comes late, with the mode before, finds that one tripped as it was, and resets nothing.
    for key in ("policy", "record:7"):
        acted = actor.act([hit(later + 12, "w", budget=(5, HOUR), fuse_key=key)])
        assert not [m for m, _ in acted.enforcement if m == "live"]


def test_one_rule_does_not_trip_another() -> None:
    acted = Actor("shop").act(
        [hit(0, "a", budget=(1, HOUR)), hit(1, "b", budget=(1, HOUR)), hit(2, "c", rule="other", budget=(1, HOUR))]
    )
    assert [(d["rule"], m) for m, d in acted.enforcement] == [("burst", "live"), ("burst", "shadow"), ("other", "live")]


def test_shadow_hits_do_not_spend_the_live_budget() -> None:
    acted = Actor("shop").act(
        [*(shadow(i, f"u{i}", budget=(2, HOUR)) for i in range(5)), hit(9, "z", budget=(2, HOUR))]
    )
    assert told(acted) == [("e0", "shadow", "mode"), ("e1", "shadow", "mode"), ("e9", "live", None)]


def test_cooled_hits_spend_nothing() -> None:
    acted = Actor("shop").act([hit(i, "a", cooldown_ms=HOUR, budget=(2, HOUR)) for i in range(9)])
    assert [m for m, _ in acted.enforcement] == ["live"] and acted.status == []


def test_what_the_fuse_held_back_may_act_once_it_is_reset() -> None:
    actor = Actor("shop")
    parts = {"cooldown_ms": HOUR, "budget": (1, HOUR)}
    assert told(actor.act([hit(0, "a", **parts), hit(1, "b", **parts)])) == [
        ("e0", "live", None),
        ("e1", "shadow", "fuse"),
    ]
    assert told(actor.act([hit(2, "b", fuse_key="record:1", **parts)])) == [("e2", "live", None)]


def test_a_protected_target_is_acted_on_as_its_protection_says() -> None:
    ((_, document),) = Actor("shop").act([hit(0, action="review", protected="vip")]).enforcement
    assert (document["action"], document["protected_by"]) == ("review", "vip")


HITS = st.lists(
    st.builds(
        lambda step, target, live, cooldown, budget, key, rule: (step, target, live, cooldown, budget, key, rule),
        st.sampled_from([0, 1, 10, 60, 400]),
        st.sampled_from(["a", "b", "c", None]),
        st.booleans(),
        st.sampled_from([0, 50, 500]),
        st.sampled_from([(1, 20), (3, 100), (9, 1000)]),
        st.sampled_from(["policy", "policy", "record:1"]),
        st.sampled_from(["burst", "other"]),
    ),
    max_size=40,
)


def build(drawn: list[Any]) -> list[Hit]:
    hits, now = [], 0
    for i, (step, target, live, cooldown, budget, key, rule) in enumerate(drawn):
        now += step
        made = (hit if live else shadow)(now, target, cooldown_ms=cooldown, budget=budget, fuse_key=key, rule=rule)
        hits.append(replace(made, event_id=f"e{i}"))
    return hits


def naive(hits: list[Hit]) -> list[tuple[str, str, str | None]]:
    """What should come out, from the list of everything that was done so far."""
    done: list[tuple[str, Hit]] = []
    tripped: dict[tuple[str, str, str], int] = {}
    out = []
    for number, h in enumerate(hits):
        if h.target_key is None:
            continue
        for namespace in ("live", "shadow") if h.mode == "live" else ("shadow",):
            name = (namespace, h.rule, h.fuse_key)
            if name in tripped:
                continue
            mine = [d for n, d in done if n == namespace and d.rule == h.rule]
            same = [d for d in mine if d.target_key == h.target_key]
            if any(h.ingest_ms - d.ingest_ms < min(h.cooldown_ms, d.cooldown_ms) for d in same[-1:]) or cooled(same, h):
                break
            trips = [at for (n, r, _), at in tripped.items() if (n, r) == (namespace, h.rule)]
            since = [
                d for d in mine if hits.index(d) > max(trips, default=-1) and d.ingest_ms > h.ingest_ms - h.budget[1]
            ]
            if len(since) >= h.budget[0]:
                tripped[name] = number
                continue
            done.append((namespace, h))
            reason = None if namespace == "live" else "fuse" if h.mode == "live" else h.shadow_reason
            out.append((h.event_id, namespace, reason))
            break
    return out


def cooled(same: list[Hit], h: Hit) -> bool:
    """By the last act that began a cooldown."""
    began = [d for d in same if d.cooldown_ms]
    return bool(began) and h.ingest_ms - began[-1].ingest_ms < min(h.cooldown_ms, began[-1].cooldown_ms)


@given(HITS, st.sets(st.integers(0, 40)), st.integers(1, 6))
def test_acts_are_those_of_the_naive_reading_wherever_batches_are_cut(
    drawn: list[Any], cuts: set[int], capacity: int
) -> None:
    hits = build(drawn)
    store = DictStore()
    actor = Actor("shop", Cooldowns(store, capacity))
    edges = sorted({0, len(hits), *(c for c in cuts if c < len(hits))})
    found = []
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        found += told(actor.act(hits[a:b]))
        if i % 2:
            for key, value in actor.cooldowns.take_dirty():
                store.rows.pop(key, None) if value is None else store.rows.__setitem__(key, value)
    assert found == naive(hits)
