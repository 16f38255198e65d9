"""What the compiler says of delays and of what cannot have one."""

import pytest

from operators.program import compile_program
from schemas.policy_file import PolicyError, parse_policy

POLICY = """policy: shop
events:
  sale: {{id: /id, time: /at, fields: {{account: string, amount: {{type: decimal, scale: 2}}}}}}
entities: {{account: account}}
features:
  n: {feature}
"""


def compiled(feature: str):
    return compile_program(parse_policy(POLICY.format(feature=feature), "p.yaml")).kinds["account"].features[0]


def said(feature: str) -> str:
    with pytest.raises(PolicyError) as caught:
        compiled(feature)
    return caught.value.render()


def test_a_delay_that_no_row_can_hold():
    assert said("{count: any, by: account, over: 1h, delay: 90d}") == (
        "p.yaml:6:49: feature n: window and delay together are 25,932 panes of 5m, and a row holds 1,000\n"
        "    n: {count: any, by: account, over: 1h, delay: 90d}\n"
        "                                                  ^^^\n"
        "  give it fewer `panes`, a longer `over` or a shorter `delay`"
    )


def test_what_a_delayed_window_holds_and_waits_for():
    plan = compiled("{mean: amount, by: account, over: 7d, delay: 7d}")
    assert (plan.held_panes, plan.settled_ms) == (24, 14 * 86_400_000)
    assert plan.reach_ms == 14 * 86_400_000 + plan.pane_ms


def test_a_delay_is_another_feature():
    prints = {
        compiled(f"{{count: any, by: account, over: 1h{more}}}").fingerprint
        for more in ("", ", delay: 1h", ", delay: 2h")
    }
    assert len(prints) == 3
