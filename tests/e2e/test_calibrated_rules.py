"""Rules over p-values and over discoveries, from the policy to the verdict."""

import random

import pytest

from tests.e2e.conftest import START, Json, Shop

POLICY = """
policy: shop
events: {pay: {id: /id, time: {path: /at, unit: ms}, fields: {account: string}}}
entities: {account: account}
features:
  rush: {surprise: 1m, by: account}
  n_1h: {count: pay, by: account, over: 1h}
rules:
  rare:  {when: "p(rush) < 0.002", action: review, target: account}
  found: {when: rush > 20, fdr: {of: rush, at: 10%}, action: review, target: account, warmup: ignore}
"""


def events() -> list[Json]:
    draw = random.Random(4)
    lines = []
    for number in range(60_000):
        at = START + number * 400
        # From 50,000 on one account in the crowd takes off.
        account = "burst" if number >= 50_000 and number % 5 == 0 else f"a{draw.randrange(400)}"
        lines.append({"id": number, "at": at, "account": account})
    return lines


def fired(shop: Shop, rule: str, output: str) -> list[Json]:
    return [v for v in shop.read("verdicts.shadow", output) if any(r["rule"] == rule for r in v["rules"])]


def test_a_rush_is_found_whatever_the_cuts_and_a_restart(shop: Shop) -> None:
    shop.policy.write_text(POLICY)
    lines = events()
    whole = shop.write(lines, "whole.jsonl")
    shop.run(whole, "once")
    source = shop.write(lines[:23_456], "events.jsonl")
    shop.run(source, "twice", "--batch-size", "997")
    shop.write(lines, "events.jsonl")
    shop.run(source, "twice", "--batch-size", "5000")
    assert shop.read("deadletter", "once") == []
    once = [without_source(v) for v in shop.read("verdicts.shadow", "once")]
    assert once == [without_source(v) for v in shop.read("verdicts.shadow", "twice")]

    found = fired(shop, "found", "once")
    assert len(found) > 100
    assert sum(int(v["event_id"]) >= 50_000 and int(v["event_id"]) % 5 == 0 for v in found) >= 0.9 * len(found)
    rare = [v for v in fired(shop, "rare", "once") if int(v["event_id"]) < 50_000]
    assert len(rare) < 0.006 * 50_000  # twice 0.2 %, and what the first, small references let through
    rule = next(r for r in fired(shop, "rare", "once")[-1]["rules"] if r["rule"] == "rare")
    assert rule["reason"].startswith("p(rush) 0.00")
    assert "rush" in found[0]["features"]


def test_a_comment_at_the_end_of_a_condition_does_not_swallow_the_test(shop: Shop) -> None:
    shop.policy.write_text(POLICY)
    shop.change(("when: rush > 20,", 'when: "rush > 20 -- only fast ones",'))
    assert shop.watchgate("rules", "check", shop.policy).status == 0
    source = shop.write(events()[:2_000])
    said = shop.watchgate("rules", "explain", shop.policy, "found", "--input", source, "--event", "1999").out
    assert '"discovery of rush at 10% for found" were 1' in said


def without_source(verdict: Json) -> Json:
    return {name: value for name, value in verdict.items() if name != "source"}


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (("p(rush)", "p(n_2h)"), "p of `n_2h`, which is no feature that is kept for an entity"),
        (("p(rush)", "p('rush')"), "p asks about a feature, named without quotes"),
        (("p(rush)", "p(rush, 2)"), "p takes 1 argument, not 2"),
        (("of: rush", "of: rish"), "rule found: there is no feature rish with state"),
        (("at: 10%", "at: 60%"), '`at`: "60%" is not a share from 0.1% to 50%'),
        (("at: 10%", "at: 0.1"), "`at`: 0.1 is not a share"),
    ],
)
def test_what_cannot_be_tested_says_so(shop: Shop, swap: tuple[str, str], said: str) -> None:
    shop.policy.write_text(POLICY)
    shop.change(swap)
    done = shop.watchgate("rules", "check", shop.policy)
    assert done.status == 2
    assert said in done.err
