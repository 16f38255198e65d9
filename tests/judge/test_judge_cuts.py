"""Where batches are cut changes nothing that comes out, also in the middle of a change of policy."""

from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.act import Actor
from operators.batch import Batch
from operators.cooldowns import Cooldowns
from operators.judge import judge
from operators.observe import KindObserver, observe
from operators.stamp import stamp
from operators.store import DictStore
from operators.timeline import Timeline
from tests.judge.worlds import NOON, batch, ceiling, compile_document, document, fails_on, mode, observed, record, rule

RULES = {
    "burst": rule(mode="live 50%", cooldown="2s", max_actions="4/6s"),
    "spree": rule("spend_1d > 2 AND NOT in_list(account, 'vip')", warmup="wait", cooldown="3s", expires="1h"),
    "fragile": rule("risk > 2 OR posts_1h = 4", mode="shadow", max_actions="3/1h"),
}
PARTS: dict[str, Any] = {
    "rules": RULES,
    "derive": {"size": "length(text)", "risk": "size * posts_1h"},
    "features": {
        "posts_1h": {"count": "post", "by": "account", "over": "10s"},
        "spend_1d": {"sum": "amount", "by": "account", "over": "10s"},
        "seen": {"age": "account"},
    },
    "protect": {"account": {"list": "vip", "action": "review"}},
}
FIRST = document(**PARTS)
SECOND = document(
    **PARTS
    | {
        "rules": RULES | {"burst": rule("posts_1h >= 2", mode="live", max_actions="4/6s")},
        "derive": PARTS["derive"] | {"risk": "size + 1"},
    }
)
THIRD = document(
    **PARTS
    | {"rules": {"burst": RULES["burst"]}, "features": {"posts_1h": PARTS["features"]["posts_1h"]}, "derive": {}}
)


def compiled(value: dict[str, object]) -> Any:
    base = compile_document(value)
    return fails_on(fails_on(base, "fragile", "text", "bad"), "size", "text", "worse")


PROGRAMS = {id(value): compiled(value) for value in (FIRST, SECOND, THIRD)}
CHANGES = st.sampled_from(
    [
        ("policy", FIRST),
        ("policy", SECOND),
        ("policy", THIRD),
        ("mode/burst", "live"),
        ("mode/burst", "live 70%"),
        ("mode/burst", "shadow"),
        ("mode/burst", "off"),
        ("mode/fragile", "live"),
        ("mode/spree", "live 10%"),
        ("mode/*", "shadow"),
        ("mode/*", "clear"),
    ]
)
EVENT = st.fixed_dictionaries(
    {
        "step": st.sampled_from([0, 0, 1, 500, 1000, 3000]),
        "account": st.sampled_from(["a", "b", "c", "", None]),
        "text": st.sampled_from(["x", "bad", "worse", "long text", None]),
        "amount": st.sampled_from([1.0, None, 1e300]),
        "posts_1h": st.sampled_from([0.0, 2.0, 3.0, 4.0, None]),
        "spend_1d": st.sampled_from([0.0, 3.0, None]),
        "vip": st.booleans(),
    }
)


def offer(line: Timeline, key: str, value: Any, at: int | None, clock: int | None) -> None:
    when = None if at is None else f"2026-01-01T12:00:{at:02}Z"
    if key == "policy":
        line.offer(record(key, value, when), clock)
    elif key == "mode/*":
        line.offer(ceiling(value), clock)
    else:
        line.offer(mode(key.removeprefix("mode/"), value, when), clock)


def run(
    events: list[dict[str, Any]],
    cuts: set[int],
    early: list[tuple[Any, int]],
    late: list[tuple[int, Any]],
    emit: Any,
    restart: bool = False,
) -> Any:
    """The whole output. `early` records are read before the first event, `late` ones after so many events."""
    ingest = [NOON + sum(e["step"] for e in events[: i + 1]) for i in range(len(events))]
    texts = {name: [e[name] for e in events] for name in ("account", "text", "amount")}
    whole = batch(ingest, **texts).frame
    line = Timeline(PROGRAMS[id(FIRST)], compiled, "t", True)
    store = DictStore()
    actor = Actor("shop", Cooldowns(store, 4))
    for (key, value), at in early:
        offer(line, key, value, at, None)
    reads = {after: change for after, change in late if after < len(events)}
    out: dict[str, list[Any]] = {"verdicts": [], "hits": [], "acts": [], "fuses": [], "dead": []}
    edges = sorted({0, len(events), *(c for c in cuts if c < len(events)), *reads})
    for a, b in pairwise(edges):
        if a in reads:
            offer(line, *reads[a], None, ingest[a - 1] if a else None)
        pieces, dead = stamp(Batch(whole.slice(a, b - a), (("f", 0),)), line)
        out["dead"] += [d.origin.offset for d in dead]
        for piece in pieces:
            rows = piece.frame["__offset"].to_list()
            known = {n: [events[r][n] for r in rows] for n in ("posts_1h", "spend_1d") if n in piece.program.features}
            found = judge(piece, observed(piece, vip=[events[r]["vip"] for r in rows], **known), emit)
            acted = actor.act(found.hits)
            out["verdicts"] += found.verdicts
            out["hits"] += found.hits
            out["acts"] += acted.enforcement
            out["fuses"] += acted.status
        if restart:
            for key, value in actor.cooldowns.take_dirty():
                store.rows.pop(key, None) if value is None else store.rows.__setitem__(key, value)
            again = Timeline(PROGRAMS[id(FIRST)], compiled, "t", True)
            again.restore(line.snapshot())
            snapshot = actor.fuses.snapshot()
            line, actor = again, Actor("shop", Cooldowns(store, 4))
            actor.fuses.restore(snapshot)
    return out


STREAMS = st.lists(EVENT, min_size=1, max_size=25)
EARLY = st.lists(st.tuples(CHANGES, st.integers(0, 20)), max_size=4)
LATE = st.lists(st.tuples(st.integers(0, 24), CHANGES), max_size=2)


@settings(max_examples=60, deadline=None)
@given(STREAMS, st.sets(st.integers(0, 24)), EARLY, LATE, st.sampled_from(["hits", "all"]))
def test_nothing_depends_on_cuts(events: Any, cuts: set[int], early: Any, late: Any, emit: str) -> None:
    assert run(events, cuts, early, late, emit) == run(events, set(), early, late, emit)


def test_a_verdict_shows_what_the_rules_of_its_own_epoch_read() -> None:
    plain = {"account": "a", "text": "x", "amount": 1.0, "posts_1h": 0.0, "spend_1d": 0.0, "vip": False}
    events = [plain | {"step": step} for step in (0, 3000)]
    early = [(("policy", THIRD), None), (("mode/burst", "off"), 2)]
    whole = run(events, set(), early, [], "all")
    assert [list(verdict["features"]) for _, verdict in whole["verdicts"]] == [["posts_1h"], []]
    assert run(events, {1}, early, [], "all") == whole


@settings(max_examples=30, deadline=None)
@given(STREAMS, st.sets(st.integers(0, 24)), EARLY, LATE)
def test_nor_on_a_restart_from_what_was_kept(events: Any, cuts: set[int], early: Any, late: Any) -> None:
    assert run(events, cuts, early, late, "hits", restart=True) == run(events, set(), early, late, "hits")


@settings(max_examples=60, deadline=None)
@given(STREAMS, EARLY, LATE)
def test_whatever_happens_live_acts_only_where_nothing_speaks_against_it(events: Any, early: Any, late: Any) -> None:
    out = run(events, set(), early, late, "hits")
    hits = {(h.event_id, h.rule): h for h in out["hits"]}
    doubted = {(v["event_id"], r["rule"]) for _, v in out["verdicts"] for r in v["rules"] if r["shadow_reason"]}
    for made, act in out["acts"]:
        hit = hits[act["event_id"], act["rule"]]
        assert act["target"]["key"] == hit.target_key is not None
        if made == "live":
            assert (act["event_id"], act["rule"]) not in doubted and hit.mode == "live"
            assert events[int(act["event_id"][1:])]["text"] != "bad" or act["rule"] != "fragile"
            assert act["action"] == ("review" if events[int(act["event_id"][1:])]["vip"] else "limit")
    for made, verdict in out["verdicts"]:
        assert all((r["shadow_reason"] is None) == (made == "live") for r in verdict["rules"])


@settings(max_examples=25, deadline=None)
@given(STREAMS, st.sets(st.integers(0, 24)))
def test_the_same_with_what_observe_answers(events: Any, cuts: set[int]) -> None:
    base = PROGRAMS[id(FIRST)]

    def run(cuts: set[int]) -> list[Any]:
        ingest = [NOON + sum(e["step"] for e in events[: i + 1]) for i in range(len(events))]
        texts = {name: [e[name] for e in events] for name in ("account", "text", "amount")}
        whole = batch(ingest, **texts).frame
        line, actor, found = Timeline(base, compiled, "t", True), Actor("shop"), []
        observers = {name: KindObserver(plan, DictStore()) for name, plan in base.kinds.items()}
        for a, b in pairwise(sorted({0, len(events), *(c for c in cuts if c < len(events))})):
            for piece in stamp(Batch(whole.slice(a, b - a), (("f", 0),)), line)[0]:
                judged = judge(piece, observe(piece.frame, piece.program, observers))
                found += [*judged.verdicts, *actor.act(judged.hits).enforcement]
        return sorted(orjson.dumps(one) for one in found)

    assert run(cuts) == run(set())
