"""Every doubt about a live rule, one by one: none of them may act."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from operators.act import Acted, Actor
from operators.judge import Judged, judge
from operators.modes import bucket
from operators.plan import Program
from operators.stamp import stamp
from operators.timeline import BEGUN, Timeline
from tests.judge.worlds import (
    HOUR,
    NOON,
    batch,
    ceiling,
    compile_document,
    document,
    fails_on,
    fired,
    judged,
    mode,
    observed,
    program,
    record,
    rule,
    timeline,
)

HELD_OUT = next(f"user{i}" for i in range(1000) if bucket("burst", f"user{i}".encode()) >= 1_000)
CHOSEN = next(f"user{i}" for i in range(1000) if bucket("burst", f"user{i}".encode()) < 1_000)


@dataclass
class Scene:
    """One event of `account` for which rule `burst` is TRUE."""

    rules: dict[str, Any] = field(default_factory=lambda: {"burst": rule()})
    records: tuple[Callable[[Timeline], Any], ...] = ()
    account: str | None = "user0"
    change: Callable[[Program], Program] = lambda p: p
    parts: dict[str, Any] = field(default_factory=dict)
    vip: bool = False

    def play(self, after_ms: int = 0) -> tuple[Judged, Acted]:
        base = self.change(program(rules=self.rules, **self.parts))
        line = Timeline(base, compile_document, "t", True)
        judged(line, batch([NOON] * BEGUN), posts_1h=[0] * BEGUN)
        for offer in self.records:
            offer(line)
        found = judged(
            line, batch([NOON + after_ms], text=["bad"], account=[self.account]), posts_1h=[3], vip=[self.vip]
        )
        return found, Actor("shop").act(found.hits)


def offering(*records: bytes) -> tuple[Callable[[Timeline], Any], ...]:
    return tuple(lambda line, r=r: line.offer(r, NOON) for r in records)


CHANGED = record("policy", document(rules={"burst": rule("posts_1h >= 2")}))

DOUBTS: dict[str, tuple[Scene, str]] = {
    "no config yet": (Scene(records=(lambda line: line.unavailable(True),)), "config_unavailable"),
    "no config yet, although a record set it live": (
        Scene(records=(*offering(mode("burst", "live")), lambda line: line.unavailable(True))),
        "config_unavailable",
    ),
    "changed rule": (Scene(records=offering(mode("burst", "live"), CHANGED)), "rule_changed"),
    "set for another version": (Scene(records=offering(mode("burst", "live", digest="0" * 16))), "rule_changed"),
    "changed action": (
        Scene(records=offering(mode("burst", "live"), record("policy", document(rules={"burst": rule(action="ban")})))),
        "rule_changed",
    ),
    "changed target": (
        Scene(records=offering(mode("burst", "live"), record("policy", document(rules={"burst": rule(target="ip")})))),
        "rule_changed",
    ),
    "ceiling": (Scene(records=offering(ceiling("shadow"))), "ceiling"),
    "ceiling, and then set live": (Scene(records=offering(ceiling("shadow"), mode("burst", "live"))), "ceiling"),
    "shadow in the policy": (Scene({"burst": rule(mode="shadow")}), "mode"),
    "set to shadow": (Scene(records=offering(mode("burst", "shadow"))), "mode"),
    "holdout": (Scene({"burst": rule(mode="live 10%")}, account=HELD_OUT), "holdout"),
    "live 0%": (Scene({"burst": rule(mode="live 0%")}, account=CHOSEN), "holdout"),
    "holdout without a target": (Scene({"burst": rule(mode="live 99%")}, account=None), "holdout"),
    "warm-up": (Scene({"burst": rule(warmup="wait")}), "warming_up"),
    "rule error": (Scene(change=lambda p: fails_on(p, "burst", "text", "bad")), "rule_error"),
    "error in a column that it reads": (
        Scene(
            {"burst": rule("size IS NULL AND posts_1h >= 3")},
            change=lambda p: fails_on(p, "size", "text", "bad"),
            parts={"derive": {"size": "length(text)"}},
        ),
        "rule_error",
    ),
    "error in a column that reads features": (
        Scene(
            {"burst": rule("risk IS NULL")},
            change=lambda p: fails_on(p, "risk", "text", "bad"),
            parts={"derive": {"risk": "posts_1h * 2"}},
        ),
        "rule_error",
    ),
    "error in a column behind that": (
        Scene(
            {"burst": rule("risk IS NULL")},
            change=lambda p: fails_on(p, "size", "text", "bad"),
            parts={"derive": {"size": "length(text)", "risk": "posts_1h * size"}},
        ),
        "rule_error",
    ),
    "error in the column that a feature sums": (
        Scene(
            {"burst": rule("posts_1h >= 3 AND total IS NULL")},
            change=lambda p: fails_on(p, "size", "text", "bad"),
            parts={
                "derive": {"size": "length(text)"},
                "features": {
                    "posts_1h": {"count": "post", "by": "account", "over": "1h"},
                    "total": {"sum": "size", "by": "account", "over": "1h"},
                },
            },
        ),
        "rule_error",
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_never_acts_live(name: str) -> None:
    scene, reason = DOUBTS[name]
    found, acted = scene.play()
    assert [(m, why) for _, m, _, why in fired(found)] == [("shadow", reason)]
    assert not [m for m, _ in acted.enforcement if m == "live"]
    assert all(m == "shadow" for m, _ in found.verdicts)


@pytest.mark.parametrize(
    "scene",
    [
        Scene(),
        Scene({"burst": rule(mode="shadow")}, records=offering(mode("burst", "live"))),
        Scene(records=offering(mode("burst", "live"), CHANGED, mode("burst", "live"))),
        Scene(records=offering(CHANGED)),
        Scene(records=offering(ceiling("shadow"), ceiling("clear"))),
        Scene(records=(lambda line: line.unavailable(True), lambda line: line.unavailable(False))),
        Scene({"burst": rule(mode="live 10%")}, account=CHOSEN),
        Scene({"burst": rule("size IS NULL OR posts_1h >= 3")}, parts={"derive": {"size": "length(text)"}}),
    ],
)
def test_without_a_doubt_the_same_event_acts(scene: Scene) -> None:
    found, acted = scene.play()
    assert [(m, why) for _, m, _, why in fired(found)] == [("live", None)]
    assert [m for m, _ in acted.enforcement] == ["live"]


def test_the_warm_up_ends_when_the_window_is_full() -> None:
    scene = Scene({"burst": rule(warmup="wait")})
    assert [m for m, _ in scene.play(HOUR - 1)[1].enforcement] == ["shadow"]
    assert [m for m, _ in scene.play(HOUR)[1].enforcement] == ["live"]


def test_the_warm_up_waits_for_the_longest_window_behind_derived_columns_and_ratios() -> None:
    features = {
        "posts_1h": {"count": "post", "by": "account", "over": "1h"},
        "posts_3h": {"count": "post", "by": "account", "over": "3h"},
        "share": {"ratio": ["posts_1h", "posts_3h"]},
    }
    scene = Scene(
        {"burst": rule("risk IS NULL", warmup="wait")}, parts={"features": features, "derive": {"risk": "share * 2"}}
    )
    assert [m for m, _ in scene.play(3 * HOUR - 1)[1].enforcement] == ["shadow"]
    assert [m for m, _ in scene.play(3 * HOUR)[1].enforcement] == ["live"]


def test_a_feature_of_a_new_policy_warms_up_anew() -> None:
    features = {
        "posts_1h": {"count": "post", "by": "account", "over": "1h"},
        "ips": {"distinct": "ip", "by": "account", "over": "1h"},
    }
    new = document(features=features, rules={"burst": rule("posts_1h >= 3 AND ips IS NULL", warmup="wait")})
    scene = Scene(records=(lambda line: line.offer(record("policy", new, "2026-01-01T14:00:00Z"), NOON),))
    assert [why for *_, why in fired(scene.play(3 * HOUR - 1)[0])] == ["warming_up"]
    assert [why for *_, why in fired(scene.play(3 * HOUR)[0])] == [None]


def test_off_is_nothing_at_all() -> None:
    for scene in (
        Scene({"burst": rule(mode="off")}),
        Scene(records=offering(mode("burst", "off"))),
        Scene(records=offering(mode("burst", "off"), CHANGED)),
        Scene({"burst": rule(mode="off")}, change=lambda p: fails_on(p, "burst", "text", "bad")),
    ):
        found, acted = scene.play()
        assert (found.verdicts, found.hits, acted.enforcement, dict(found.counts)) == ([], [], [], {})


def test_a_null_target_has_a_verdict_and_acts_on_nobody() -> None:
    for account in (None, ""):
        found, acted = Scene(account=account).play()
        (entry,) = found.verdicts[0][1]["rules"]
        assert entry["target"] == {"kind": "account", "key": None}
        assert acted.enforcement == [] and len(found.hits) == 1


def test_a_protected_target_gets_the_protecting_action() -> None:
    scene = Scene(parts={"protect": {"account": {"list": "vip", "action": "review"}}}, vip=True)
    found, acted = scene.play()
    assert found.verdicts[0][1]["rules"][0]["action"] == "review"
    ((made, document_),) = acted.enforcement
    assert (made, document_["action"], document_["protected_by"]) == ("live", "review", "vip")
    scene.vip = False
    assert scene.play()[1].enforcement[0][1]["action"] == "limit"
    assert scene.play()[1].enforcement[0][1]["protected_by"] is None


def test_another_list_protects_nobody() -> None:
    parts = {"protect": {"account": {"list": "trusted", "action": "review"}}}
    assert Scene(parts=parts, vip=True).play()[1].enforcement[0][1]["action"] == "limit"


def test_the_first_doubt_is_the_one_that_is_named() -> None:
    """The order of the reasons, from the first to the last."""
    held = HELD_OUT
    rules = {"burst": rule(mode="live 10%", warmup="wait")}
    unavailable = (lambda line: line.unavailable(True),)
    changed = offering(mode("burst", "live", digest="0" * 16))
    panic = offering(ceiling("shadow"))
    assert [why for *_, why in fired(Scene(rules, (*changed, *panic, *unavailable), held).play()[0])] == [
        "config_unavailable"
    ]
    assert [why for *_, why in fired(Scene(rules, (*changed, *panic), held).play()[0])] == ["rule_changed"]
    assert [why for *_, why in fired(Scene(rules, (*offering(mode("burst", "shadow")), *panic), held).play()[0])] == [
        "ceiling"
    ]
    assert [why for *_, why in fired(Scene(rules, offering(mode("burst", "shadow")), held).play()[0])] == ["mode"]
    assert [why for *_, why in fired(Scene(rules, (), held).play()[0])] == ["holdout"]
    assert [why for *_, why in fired(Scene(rules, (), CHOSEN).play()[0])] == ["warming_up"]
    broken = Scene(rules, (*changed, *panic, *unavailable), held, change=lambda p: fails_on(p, "burst", "text", "bad"))
    assert [why for *_, why in fired(broken.play()[0])] == ["rule_error"]


def test_a_rule_that_fails_for_one_event_keeps_its_answer_for_the_others() -> None:
    base = fails_on(program(rules={"burst": rule(), "other": rule("posts_1h >= 5")}), "burst", "text", "bad")
    line = Timeline(base, compile_document, "t", True)
    n = 300
    texts = ["bad" if i in (5, 250) else "ok" for i in range(n)]
    found = judged(line, batch([NOON] * n, text=texts, account=["a"] * n), posts_1h=[5] * n)
    wrong = [(e, m, r) for e, m, r, why in fired(found) if why]
    assert wrong == [("e5", "shadow", "burst"), ("e250", "shadow", "burst")]
    assert found.counts == {("burst", "live"): n - 2, ("burst", "error"): 2, ("other", "live"): n}
    assert [h.event_id for h in found.hits if h.rule == "burst"] == [f"e{i}" for i in range(n) if i not in (5, 250)]
    (told,) = found.errors
    assert told["message"] == (
        "rule burst failed for 2 events (ValueError), first at record 5 of events: "
        "it is shadow there, with reason rule_error"
    )
    assert "a value of an event" not in str(told)


def test_a_rule_is_not_said_to_fail_for_events_that_it_does_not_look_at() -> None:
    base = fails_on(program(rules={"burst": rule(on="post")}), "burst", "text", "bad")
    found = judged(
        Timeline(base, compile_document, "t", True),
        batch([NOON] * 2, type=["payment", "post"], text=["bad", "ok"], account=["a", "b"]),
        posts_1h=[3, 3],
    )
    assert fired(found) == [("e1", "live", "burst", None)] and found.errors == []


def test_a_rule_whose_column_is_missing_acts_on_nobody() -> None:
    line = timeline(program(rules={"burst": rule(), "text": rule("text = 'x'")}))
    (one,), _ = stamp(batch([NOON] * 2, text=["x", "x"], account=["a", "b"]), line)
    seen = observed(one)
    seen.frame = seen.frame.drop("posts_1h", "spend_1d")
    found = judge(one, seen)
    assert {(m, r, why) for _, m, r, why in fired(found)} == {("shadow", "burst", "rule_error"), ("live", "text", None)}
