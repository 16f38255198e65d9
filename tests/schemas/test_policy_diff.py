"""What a new policy does to a running job, told in whole sentences."""

from pathlib import Path
from typing import Any

from schemas.policy import Policy
from schemas.policy_diff import diff
from schemas.source_text import SourceText

TEXT = (Path(__file__).parent / "marketplace.yaml").read_text(encoding="utf-8")
OLD: dict[str, Any] = SourceText(TEXT).root.value
DIGESTS = {"copied_text": "d1", "model_high": "d2"}
PRINTS = {"posts_1h": "p1", "spend_7d": "p2", "authors_1d": "p3", "tx_surprise": "p4"}


def told(
    change: dict[str, Any],
    digests: dict[str, str] | None = None,
    prints: dict[str, str] | None = None,
) -> list[str]:
    old, new = Policy.model_validate(OLD), Policy.model_validate({**OLD, **change})
    return diff(old, new, DIGESTS, digests or DIGESTS, PRINTS, prints or PRINTS)


def rules(**changes: dict[str, Any] | None) -> dict[str, Any]:
    found = {
        name: {**spec, **(changes.get(name) or {})}
        for name, spec in OLD["rules"].items()
        if changes.get(name, {}) is not None
    }
    return {"rules": {**found, **{n: s for n, s in changes.items() if n not in found and s is not None}}}


def features(**changes: dict[str, Any] | None) -> dict[str, Any]:
    kept = {name: spec for name, spec in OLD["features"].items() if name not in changes}
    return {"features": {**kept, **{name: spec for name, spec in changes.items() if spec is not None}}}


def test_nothing_differs() -> None:
    assert told({}) == []
    assert told({"description": "reworded", "tests": []}) == []


def test_rules_come_and_go() -> None:
    new = {"when": "amount > 100", "action": "review", "target": "account", "mode": "live"}
    assert told(rules(big=new, model_high=None), {"copied_text": "d1", "big": "d3"}) == [
        "rule big is added: live",
        "rule model_high is removed: its mode records count for nothing",
    ]


def test_a_rule_does_something_else() -> None:
    change = rules(copied_text={"when": "authors_1d >= 4", "cooldown": "2h"})
    assert told(change, {**DIGESTS, "copied_text": "d9"}) == [
        "rule copied_text does something else (when changed; also cooldown 1h -> 2h): "
        "where a record set its mode it is back in shadow until that is set again"
    ]


def test_a_rule_that_the_policy_sets_live_goes_on_live_where_no_record_set_its_mode() -> None:
    change = rules(copied_text={"when": "authors_1d >= 4", "mode": "live"})
    (line,) = told(change, {**DIGESTS, "copied_text": "d9"})
    assert line.endswith("until that is set again; if none ever was, the policy's own mode counts: live")


def test_what_a_rule_reads_is_something_else() -> None:
    assert told({}, {**DIGESTS, "model_high": "d9"}) == [
        "rule model_high does something else (the definition of something that it reads changed): "
        "where a record set its mode it is back in shadow until that is set again; "
        "if none ever was, the policy's own mode counts: live 10%"
    ]


def test_only_the_text_of_a_rule() -> None:
    change = rules(copied_text={"when": "authors_1d>=3 and not in_list(account, 'vip')"})
    assert told(change) == ["rule copied_text does the same and keeps its mode: only the text of when changed"]
    change = rules(
        copied_text={
            "description": "new words",
            "owner": "fraud",
            "expires": None,
            "mode": "live",
            "max_actions": "9/1d",
        }
    )
    assert told(change) == [
        "rule copied_text does the same and keeps its mode: mode shadow -> live; expires 1d -> none; "
        "max_actions 500/1h -> 9/1d; description reworded; owner changed; "
        "the policy's mode counts only where no mode record exists"
    ]


def test_features_keep_lose_and_start_state() -> None:
    change = features(
        posts_1h={"count": "post", "by": "account", "over": "2h"},
        spend_7d=None,
        writers_1d={"distinct": "account", "by": "content", "over": "1d"},
        authors_1d=None,
        first_s={"age": "account"},
    )
    prints = {"posts_1h": "p9", "writers_1d": "p3", "first_s": "p8", "tx_surprise": "p4"}
    assert told(change, prints=prints) == [
        "feature posts_1h is defined differently: its state is lost and it starts empty; "
        "it is whole after 2h, and live rules that read it are shadow until then",
        "feature writers_1d keeps the state of authors_1d: the same under another name",
        "feature first_s is added and starts empty",
        "feature spend_7d is removed: its state is lost",
        "features that keep their state: tx_surprise",
    ]


def test_what_needs_a_new_job() -> None:
    change = {"entities": {**OLD["entities"], "ip": "ip"}, "lists": {}}
    assert told(change) == [
        "entities: added ip: this needs a new job from a savepoint",
        "lists: removed vip: this needs a new job from a savepoint",
    ]
    assert told({"policy": "bazaar"}) == [
        "the policy is called bazaar, no longer marketplace: it needs a new job, and all ids change"
    ]


def test_the_rest() -> None:
    change = {"derive": {"night": "hour(event_time) < 5"}, "include": ["ip"], "repeats": 5}
    assert told(change) == [
        "derived columns: changed night; removed content",
        "verdicts include ip (before: none)",
        "repeats 1000000 -> 5: in force when the job is started again",
    ]
