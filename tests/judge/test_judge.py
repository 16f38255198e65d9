"""Verdicts and hits of a batch."""

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from operators.act import Actor
from operators.batch import Batch
from operators.judge import judge
from operators.stamp import stamp
from operators.timeline import BEGUN
from schemas.cloudevents import ce_id
from schemas.verdict import Verdict
from tests.judge.worlds import (
    DAY,
    EVENTS,
    HOUR,
    NOON,
    batch,
    document,
    fired,
    judged,
    mode,
    observed,
    program,
    record,
    rule,
    timeline,
)


def verdicts(result: Any) -> list[dict[str, Any]]:
    for _, v in result.verdicts:
        Verdict.model_validate_json(orjson.dumps(v))
    return [v for _, v in result.verdicts]


def test_a_verdict_says_all_that_is_known() -> None:
    rules = {
        "burst": rule(
            on="post",
            when="posts_1h >= 3 AND NOT in_list(account, 'vip')",
            severity="high",
            policy_ref="spam/2.1",
            owner="spam-team",
            runbook="https://runbook",
            expires="24h",
            cooldown="1h",
            max_actions="5/1h",
        )
    }
    line = timeline(program(rules=rules, include=["text", "event_time"]))
    found = judged(line, batch([NOON], account=["ann"], text=["hello"]), posts_1h=[4])
    (v,) = verdicts(found)
    assert v == {
        "ce_id": ce_id("shop", "verdicts", "post", "e0", "live"),
        "policy": "shop",
        "policy_digest": line.at(NOON).program.digest,
        "epoch": "t:0",
        "event_id": "e0",
        "event_type": "post",
        "event_time": "2026-01-01T12:00:00.000Z",
        "ingest_time": "2026-01-01T12:00:00.000Z",
        "mode": "live",
        "rules": [
            {
                "rule": "burst",
                "mode": "live",
                "shadow_reason": None,
                "action": "limit",
                "target": {"kind": "account", "key": "ann"},
                "severity": "high",
                "reason": "posts_1h 4 (>= 3), not in list vip",
                "policy_ref": "spam/2.1",
                "owner": "spam-team",
                "runbook": "https://runbook",
                "expires_at": "2026-01-02T12:00:00.000Z",
            }
        ],
        "features": {"posts_1h": {"value": 4, "error": "covers 1h to 1h5m", "coverage": 0.0}},
        "scores": {},
        "include": {"text": "hello", "event_time": "2026-01-01T12:00:00.000Z"},
        "source": {"name": "events", "partition": 0, "offset": 0},
    }
    (hit,) = found.hits
    assert (hit.verdict_id, hit.target_id, hit.cooldown_ms, hit.expires_ms, hit.budget) == (
        v["ce_id"],
        b"ann",
        HOUR,
        DAY,
        (5, HOUR),
    )
    assert (hit.event_ms, hit.ingest_ms, hit.epoch, hit.fuse_key) == (NOON, NOON, "t:0", "policy")
    assert found.counts == {("burst", "live"): 1} and found.judged == 1


def test_only_true_fires() -> None:
    found = judged(
        timeline(program(rules={"burst": rule()})), batch([NOON] * 4, account=list("abcd")), posts_1h=[2, 3, None, 4]
    )
    assert fired(found) == [("e1", "live", "burst", None), ("e3", "live", "burst", None)]
    assert found.judged == 4


def test_live_and_shadow_of_one_event_are_two_verdicts_with_two_ids() -> None:
    rules = {"b": rule(mode="shadow"), "a": rule(), "c": rule("posts_1h >= 2", mode="shadow"), "d": rule("seen > 5")}
    found = judged(timeline(program(rules=rules)), batch([NOON] * 2, account=["x", "y"]), posts_1h=[3, 2], seen=[0, 9])
    assert [(v["event_id"], v["mode"], [r["rule"] for r in v["rules"]]) for v in verdicts(found)] == [
        ("e0", "live", ["a"]),
        ("e0", "shadow", ["b", "c"]),
        ("e1", "live", ["d"]),
        ("e1", "shadow", ["c"]),
    ]
    assert len({v["ce_id"] for v in verdicts(found)}) == 4
    assert [list(v["features"]) for v in verdicts(found)] == [["posts_1h"], ["posts_1h"], ["seen"], ["posts_1h"]]


def test_the_same_id_in_two_event_types_is_two_verdicts() -> None:
    found = judged(
        timeline(program(rules={"a": rule("seen > 1")})),
        batch([NOON] * 2, id=["x", "x"], type=["post", "payment"], account=["a", "a"]),
        seen=[9, 9],
    )
    assert len({v["ce_id"] for v in verdicts(found)}) == 2
    assert len({d["ce_id"] for _, d in Actor("shop").act(found.hits).enforcement}) == 2


def test_a_rule_looks_at_its_event_types_only() -> None:
    rules = {"post": rule(on="post"), "both": rule(on=["post", "payment"]), "any": rule(), "pay": rule(on="payment")}
    found = judged(
        timeline(program(rules=rules)), batch([NOON] * 2, type=["post", "payment"], account=["a", "b"]), posts_1h=[3, 3]
    )
    assert [(e, r) for e, _, r, _ in fired(found)] == [
        ("e0", "post"),
        ("e0", "both"),
        ("e0", "any"),
        ("e1", "both"),
        ("e1", "any"),
        ("e1", "pay"),
    ]


def test_a_constant_rule_fires_for_every_event() -> None:
    found = judged(
        timeline(program(rules={"all": rule("1 = 1"), "none": rule("1 = 2")})), batch([NOON] * 3, account=list("abc"))
    )
    assert [e for e, *_ in fired(found)] == ["e0", "e1", "e2"]
    assert found.verdicts[0][1]["features"] == {}


def test_each_row_has_the_mode_of_its_epoch() -> None:
    line = timeline(program(rules={"burst": rule()}))
    for i, text in enumerate(("shadow", "off", "live")):
        line.offer(mode("burst", text, f"2026-01-01T12:00:0{i + 1}Z"), None)
    found = judged(line, batch([NOON + i * 1000 for i in range(4)], account=list("abcd")), posts_1h=[3] * 4)
    assert [(e, m, v["epoch"]) for (m, v), (e, *_) in zip(found.verdicts, fired(found), strict=True)] == [
        ("e0", "live", "t:0"),
        ("e1", "shadow", "t:1"),
        ("e3", "live", "t:3"),
    ]


def test_no_rules_no_events_no_verdicts() -> None:
    assert judged(timeline(program(rules={})), batch([NOON] * 3)).verdicts == []
    (one,), _ = stamp(batch([NOON]), timeline())
    one.frame = one.frame.clear()
    one.epoch_index = one.epoch_index[:0]
    assert judge(one, observed(one), "all").verdicts == []


def test_emit_all_writes_one_live_verdict_for_every_event() -> None:
    rules = {
        "burst": rule(on="post"),
        "quiet": rule("posts_1h >= 1", mode="shadow"),
        "off": rule("spend_1d > 1", mode="off"),
        "pay": rule("spend_1d > 9 OR seen > 9", on="payment"),
    }
    found = judged(
        timeline(program(rules=rules, include=["text"])),
        batch([NOON] * 4, type=["post", "post", "post", "payment"], account=list("abcd")),
        "all",
        posts_1h=[0, 3, 1, 0],
    )
    assert [(v["event_id"], v["mode"], [r["rule"] for r in v["rules"]]) for v in verdicts(found)] == [
        ("e0", "live", []),
        ("e1", "live", ["burst"]),
        ("e1", "shadow", ["quiet"]),
        ("e2", "live", []),
        ("e2", "shadow", ["quiet"]),
        ("e3", "live", []),
    ]
    assert [list(v["features"]) for v in verdicts(found)][::5] == [["posts_1h"], ["posts_1h", "spend_1d", "seen"]]
    assert [h.rule for h in found.hits] == ["burst", "quiet", "quiet"]


def test_emit_all_finds_the_same_as_emit_hits() -> None:
    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {"posts_1h": rng.integers(0, 6, 200).astype(float).tolist()}
    events = batch([NOON] * 200, account=[f"a{i}" for i in range(200)])
    base = program(rules={"burst": rule(mode="live 30%"), "more": rule("posts_1h >= 5", mode="shadow")})
    some, every = (judged(timeline(base), events, emit, **columns) for emit in ("hits", "all"))
    assert some.hits == every.hits and some.counts == every.counts
    assert fired(some) == fired(every)


# what is shown of features


def test_features_show_their_error_and_coverage() -> None:
    features = {
        "n": {"count": "post", "by": "account", "over": "1h"},
        "ips": {"distinct": "ip", "by": "account", "over": "1d", "cap": 16},
        "paid": {"sum": "amount", "by": "account", "over": "90s", "panes": 1},
        "age": {"age": "account"},
        "share": {"ratio": ["n", "paid"]},
        "pace": {"ratio": ["n", "age"]},
    }
    line = timeline(program(features=features, rules={"all": rule("n + ips + paid + age + share + pace IS NULL")}))
    judged(line, batch([NOON] * BEGUN))
    late = {"account": np.array([0.5, 1.0], dtype=np.float32)}
    found = judged(
        line,
        batch([NOON + HOUR // 2] * 2, account=["a", "b"]),
        coverage=late,
        n=[3, 4],
        ips=[2, None],
        paid=[1.5, None],
        age=[60.0, None],
    )
    first, second = (v["features"] for v in verdicts(found))
    assert first == {
        "n": {"value": 3, "error": "covers 1h to 1h5m", "coverage": 0.25},
        "ips": {"value": 2, "error": "exact below 16, at least 16 from there", "coverage": 0.0104},
        "paid": {"value": 1.5, "error": "covers 1m30s to 3m", "coverage": 0.5},
        "age": {"value": 60.0, "error": "exact", "coverage": 1.0},
        "share": {"value": None, "error": "n: covers 1h to 1h5m; paid: covers 1m30s to 3m", "coverage": 0.25},
        "pace": {"value": None, "error": "n: covers 1h to 1h5m; age: exact", "coverage": 0.25},
    }
    assert second["n"] == {"value": 4, "error": "covers 1h to 1h5m", "coverage": 0.5}
    assert second["ips"]["value"] is None and second["paid"]["coverage"] == 1.0


def test_features_behind_derived_columns_are_shown_too() -> None:
    found = judged(
        timeline(program(derive={"risk": "posts_1h * spend_1d"}, rules={"a": rule("risk > 5")})),
        batch([NOON], account=["a"]),
        posts_1h=[2],
        spend_1d=[4.0],
    )
    assert {name: f["value"] for name, f in verdicts(found)[0]["features"].items()} == {"posts_1h": 2, "spend_1d": 4.0}


def test_nan_of_a_derived_column_fires_nothing() -> None:
    base = program(
        derive={"risk": "posts_1h / spend_1d", "log": "ln(spend_1d)"}, rules={"a": rule("risk >= 0.97 OR log >= 0.97")}
    )
    assert (
        judged(timeline(base), batch([NOON] * 2, account=["a", "b"]), posts_1h=[0, 1], spend_1d=[0, -1.0]).verdicts[1:]
        == []
    )


# what is not shown


def test_no_text_of_an_event_leaves_unless_it_is_included() -> None:
    base = program(rules={"a": rule("contains(text, 'secret') AND posts_1h >= 3")})
    found = judged(
        timeline(base), batch([NOON], account=["ann"], text=["a secret word"], ip=["10.0.0.1"]), posts_1h=[3]
    )
    assert b"word" not in orjson.dumps(found.verdicts) and b"10.0.0.1" not in orjson.dumps(found.verdicts)


def test_pii_is_a_keyed_hash_everywhere() -> None:
    rules = {"by_ip": rule(target="ip"), "by_pair": rule(target="pair")}
    base = program(rules=rules, derive={"net": "subnet(ip)"}, include=["ip", "net", "account"])
    events = batch([NOON] * 3, account=["ann"] * 3, ip=["10.0.0.1", "10.0.0.1", None])
    found = judged(timeline(base), events, pii_key=b"pepper", posts_1h=[3] * 3)
    acted = Actor("shop").act(found.hits)
    for text in (orjson.dumps(found.verdicts), orjson.dumps(acted.enforcement)):
        assert b"10.0.0" not in text
    first, second, third = verdicts(found)
    hidden = first["include"]["ip"]
    assert hidden.startswith("h:") and len(hidden) == 26 and second["include"]["ip"] == hidden
    assert first["include"]["net"].startswith("h:") and first["include"]["account"] == "ann"
    assert [r["target"]["key"] for r in first["rules"]] == [hidden, f"ann|{hidden}"]
    assert third["include"]["ip"] is None and [r["target"]["key"] for r in third["rules"]] == [None, None]
    other = judged(timeline(base), events, pii_key=b"salt", posts_1h=[3] * 3)
    assert verdicts(other)[0]["include"]["ip"] != hidden
    # State and percentages go by the key itself.
    assert found.hits[0].target_id == b"10.0.0.1" == other.hits[0].target_id


def test_an_ignored_pii_key_is_no_target() -> None:
    base = program(
        rules={"by_ip": rule(target="ip")},
        entities={"account": "account", "ip": {"key": "ip", "ignore": ["0.0.0.0"]}, "pair": {"key": ["account", "ip"]}},
    )
    found = judged(timeline(base), batch([NOON], ip=["0.0.0.0"]), posts_1h=[3])
    assert verdicts(found)[0]["rules"][0]["target"]["key"] is None and found.hits[0].target_key is None


def test_included_fields_are_plain_json() -> None:
    fields = {
        "account": "string",
        "at": {"path": "/at", "type": "timestamp"},
        "tags": {"path": "/tags", "type": "list<string>", "pii": "hash"},
        "n": "integer",
        "ok": "boolean",
    }
    base = program(
        events={"post": EVENTS["post"] | {"when": {}, "fields": fields}},
        entities={"account": "account"},
        features={},
        rules={"all": rule("n > 0")},
        include=["at", "tags", "n", "ok", "event_type", "account"],
    )
    frame = batch([NOON, NOON]).frame.select(
        "event_id",
        "event_time",
        "ingest_time",
        "__source",
        "__offset",
        pl.Series("event_type", ["post"] * 2, dtype=pl.Enum(["post"])),
    )
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    frame = frame.with_columns(
        pl.Series("account", ["a", None]),
        pl.Series("at", [moment, None], dtype=pl.Datetime("ms", "UTC")),
        pl.Series("tags", [["x", "y"], None], dtype=pl.List(pl.String)),
        pl.Series("n", [1, 2]),
        pl.Series("ok", [True, None]),
    )
    found = judged(timeline(base), Batch(frame, (("f", 0),)))
    first, second = (v["include"] for v in verdicts(found))
    assert (
        first["at"] == "2026-01-01T00:00:00.000Z"
        and first["n"] == 1
        and first["ok"] is True
        and first["event_type"] == "post"
    )
    assert [tag[:2] for tag in first["tags"]] == ["h:", "h:"]
    assert second == {"at": None, "tags": None, "n": 2, "ok": None, "event_type": "post", "account": None}


def test_a_policy_that_changes_in_the_stream_judges_each_event_by_its_own() -> None:
    line = timeline(program(rules={"burst": rule()}))
    line.offer(record("policy", document(rules={"new": rule("posts_1h >= 1")}), "2026-01-01T13:00:00Z"), None)
    pieces, _ = stamp(batch([NOON, NOON + HOUR], account=["a", "b"]), line)
    found = [judge(p, observed(p, posts_1h=[3])) for p in pieces]
    assert [fired(f) for f in found] == [[("e0", "live", "burst", None)], [("e1", "live", "new", None)]]
    assert len({v["policy_digest"] for f in found for v in verdicts(f)}) == 2


# cost


@pytest.mark.parametrize(("share", "emit", "limit_us"), [(0.01, "hits", 1.5), (1.0, "hits", 100.0), (0.0, "all", 30.0)])
def test_events_without_hits_cost_next_to_nothing(share: float, emit: Any, limit_us: float) -> None:
    """Budgets with room for a slow machine: what they catch is a loop over events."""
    n = 16_384
    rng = np.random.default_rng(1)
    (one,), _ = stamp(
        batch([NOON] * n, account=[f"a{i % 5000}" for i in range(n)]),
        timeline(program(rules={"burst": rule(max_actions="1000000/1h")})),
    )
    seen = observed(one, posts_1h=np.where(rng.random(n) < share, 4.0, 1.0).tolist())
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        Actor("shop").act(judge(one, seen, emit).hits)
        best = min(best, time.process_time() - start)
    assert best / n * 1e6 < limit_us
