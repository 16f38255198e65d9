"""Modes through the command line: who set what, from when on, and what it makes of a rule."""

import getpass
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from schemas.config import parse_config
from tests.e2e.conftest import MINUTE, START, Json, Shop, crowd, pay, post

REASON = ("--reason", "a week in shadow, nobody complained")


def at(minutes: float) -> str:
    from schemas.times import iso

    return iso(START + int(minutes * MINUTE))


@pytest.fixture
def config(shop: Shop) -> Path:
    return shop.folder / "modes.jsonl"


def set_mode(shop: Shop, rule: str, mode: str, *options: object) -> str:
    done = shop.watchgate(
        "mode", "set", rule, mode, "--config", shop.folder / "modes.jsonl", *REASON, "--yes", *options
    )
    assert done.status == 0, done.err
    return done.out


def listed(shop: Shop, *options: object) -> dict[str, list[str]]:
    """The rows of `mode list` by rule, and what stands below the table under `epoch`."""
    done = shop.watchgate("mode", "list", shop.policy, "--config", shop.folder / "modes.jsonl", *options)
    assert done.status == 0, done.err
    heading, *lines = done.out.splitlines()
    starts = [heading.index(name) for name in ("rule", "mode", "held in shadow by", "set by", "reason")]
    rows = {}
    for line in lines[:-1]:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        rows[cells[0]] = cells[1:]
    return rows | {"epoch": [lines[-1]]}


def fired(shop: Shop, rule: str, output: str = "out") -> dict[str, tuple[str, str | None]]:
    """By event: mode and shadow reason of a rule."""
    return {
        verdict["event_id"]: (verdict["mode"], one["shadow_reason"])
        for topic in ("verdicts", "verdicts.shadow")
        for verdict in shop.read(topic, output)
        for one in verdict["rules"]
        if one["rule"] == rule
    }


def sales(count: int, first: int = 0, amount: float = 90, accounts: Callable[[int], str] = "a{}".format) -> list[Json]:
    """One a minute, each of which fires `pricey`."""
    return [pay(f"p{n}", START + n * MINUTE, accounts(n), amount=amount) for n in range(first, first + count)]


# set and list


def test_what_is_set_is_listed_with_who_and_why(shop: Shop, config: Path) -> None:
    said = set_mode(shop, "copied", "live  10%", "--by", "anna")
    assert f"copied is set to live 10% from where a job reads the record; recorded in {config}\n" in said
    assert said.endswith(
        f"no policy is known that goes with {config}: the first job that reads the record takes it for the rule copied that it has, "
        "and rejects it if it has none; --policy POLICY says which rule is meant\n"
    )
    assert set_mode(shop, "burst", "off", "--by", "ben", "--effective-at", "2030-01-02T03:04:05+01:00").startswith(
        f"burst is set to off from 2030-01-02T02:04:05.000Z; recorded in {config}\n"
    )
    rows = listed(shop)
    assert rows["copied"] == ["live 10%", "", "anna", REASON[1]]
    assert rows["burst"] == ["off", "", "ben", REASON[1]]
    assert rows["pricey"] == ["live", "", "the policy", ""]
    assert rows["epoch"][0].endswith(":2, in force since 2030-01-02T02:04:05.000Z")
    before = listed(shop, "--at", "2030-01-02T02:04:04.999Z")
    assert before["burst"] == ["live", "", "the policy", ""] and before["copied"] == rows["copied"]
    assert listed(shop, "--at", "2030-01-02T02:04:05Z") == rows
    # Of a file only the job knows where it read a record without a time: a job that starts with it, at its first event.
    assert listed(shop, "--at", "2001-01-01T00:00:00Z")["copied"] == rows["copied"]
    done = shop.watchgate("mode", "list", shop.policy, "--config", config)
    assert (
        "1 record has no time: a job has one in force from where it reads it; shown is a job that starts with"
        in done.err
    )


def test_a_mode_set_before_any_job_holds_for_the_rule_of_the_first_one(shop: Shop, config: Path) -> None:
    """Whatever state folder or policy comes later: another rule of that name is not what somebody let act."""
    first = shop.policy.read_text()
    set_mode(shop, "burst", "live")
    events = shop.write([post(f"e{n}", START + n * 1_000, "a") for n in range(9)])
    shop.run(events, "one", "--config", config)
    acted = fired(shop, "burst", "one")
    assert acted and set(acted.values()) == {("live", None)}
    assert first.count("action: limit") == 1
    shop.policy.write_text(first.replace("action: limit", "action: ban"))
    assert listed(shop)["burst"] == ["live", "the rule changed since it was set", getpass.getuser(), REASON[1]]
    for output in ("two", "three"):
        shop.run(events, output, "--config", config)
        assert set(fired(shop, "burst", output).values()) == {("shadow", "rule_changed")}
    shop.policy.write_text(first)
    shop.run(events, "four", "--config", config)
    assert fired(shop, "burst", "four") == acted


def test_a_mode_may_name_the_policy_whose_rule_it_is_for(shop: Shop, config: Path) -> None:
    first = shop.policy.read_text()
    said = set_mode(shop, "burst", "live", "--policy", shop.policy)
    assert said.endswith(f"recorded in {config}\n")
    shop.policy.write_text(first.replace("action: limit", "action: ban"))
    events = shop.write([post(f"e{n}", START + n * 1_000, "a") for n in range(9)])
    shop.run(events, "out", "--config", config)
    assert set(fired(shop, "burst").values()) == {("shadow", "rule_changed")}
    done = shop.watchgate("mode", "set", "bursts", "live", "--config", config, *REASON, "--policy", shop.policy)
    assert done.status == 2
    assert f"error: policy shop in {shop.policy} has no rule bursts; did you mean `burst`?" in done.err


def test_the_list_says_of_a_log_what_a_job_does_that_starts_with_it(shop: Shop, config: Path) -> None:
    set_mode(shop, "burst", "live 30%")
    set_mode(shop, "burst", "off", "--effective-at", at(90))
    set_mode(shop, "*", "shadow", "--effective-at", at(30))
    set_mode(shop, "*", "clear", "--effective-at", at(60))
    set_mode(shop, "burst", "live 20%")
    done = shop.run(shop.write([post(f"e{n}", START + n * MINUTE, "a") for n in range(100)]), "out", "--config", config)
    assert next(line.split()[1] for line in done.out.splitlines() if line.startswith("burst")) == "off"
    assert listed(shop)["burst"][0] == "off"
    assert listed(shop, "--at", at(80))["burst"][0] == "live 20%"


def test_without_a_config_the_modes_of_the_policy_are_listed(shop: Shop) -> None:
    done = shop.watchgate("mode", "list", shop.policy)
    assert done.status == 0 and "crowd" in done.out and "live 50%" in done.out and "epoch 0" in done.out


def test_the_log_is_an_audit_trail(shop: Shop, config: Path) -> None:
    """Lines are added and never changed; each says who, why and when it was written."""
    set_mode(shop, "copied", "shadow", "--by", "anna")
    first = config.read_bytes()
    set_mode(shop, "*", "shadow")
    lines = config.read_bytes().splitlines()
    assert config.read_bytes().startswith(first) and len(lines) == 3
    assert set(orjson.loads(lines[0])) == {"timeline"}
    record = orjson.loads(lines[1])
    at = record.pop("at")
    assert at.endswith("Z") and parse_config(lines[1]).at is not None
    assert record == {
        "key": "mode/copied",
        "value": {"mode": "shadow", "digest": None},
        "effective_at": None,
        "by": "anna",
        "reason": REASON[1],
    }
    assert orjson.loads(lines[2])["by"]  # the user's own name
    shop.run(shop.write(crowd(30)), "out", "--config", config)
    applied = [s for s in shop.read("status") if s["kind"] == "config_applied"]
    assert [(s["subject"], s["detail"]["by"], s["detail"]["reason"]) for s in applied] == [
        ("mode/copied", "anna", REASON[1]),
        ("mode/*", orjson.loads(lines[2])["by"], REASON[1]),
    ]


def test_a_line_that_was_left_open_does_not_swallow_the_next_record(shop: Shop, config: Path) -> None:
    set_mode(shop, "copied", "off")
    with config.open("ab") as file:
        file.write(b'{"key": "mode/bu')
    set_mode(shop, "pricey", "off")
    shop.run(shop.write(sales(3)), "out", "--config", config)
    assert [s["kind"] for s in shop.read("status")][1:] == ["config_applied", "config_rejected", "config_applied"]
    assert fired(shop, "pricey") == {}


def test_a_line_that_names_the_same_timeline_again_is_no_news(shop: Shop, config: Path) -> None:
    set_mode(shop, "copied", "off")
    named, _ = config.read_bytes().splitlines()
    with config.open("ab") as file:
        file.write(named + b"\n")
    set_mode(shop, "pricey", "off")
    shop.run(shop.write(sales(3)), "out", "--config", config)
    assert [s["kind"] for s in shop.read("status")][1:] == ["config_applied", "config_applied"]
    assert fired(shop, "pricey") == {}


# in mid-stream


def test_a_record_switches_exactly_at_its_time(shop: Shop, config: Path) -> None:
    """By ingest time, whatever the batches: the events of one millisecond before are judged as before."""
    set_mode(shop, "pricey", "shadow", "--effective-at", at(3))
    set_mode(shop, "pricey", "off", "--effective-at", at(5))
    set_mode(shop, "pricey", "live", "--effective-at", at(7))
    extra = [pay(name, START + ms, "b", amount=90) for name, ms in (("before", 3 * MINUTE - 1), ("on", 3 * MINUTE))]
    events = sorted([*sales(10), *extra], key=lambda event: event["at"])
    source = shop.write(events)
    for output, size in (("out", 16_384), ("cut", 1)):
        shop.run(source, output, "--config", config, "--batch-size", size)
        live, shadow = ("live", None), ("shadow", "mode")
        assert fired(shop, "pricey", output) == {
            **dict.fromkeys(("p0", "p1", "p2", "before"), live),
            **dict.fromkeys(("on", "p3", "p4"), shadow),
            **dict.fromkeys(("p7", "p8", "p9"), live),
        }
    assert shop.files("cut") == shop.files("out")
    epochs = {v["event_id"]: v["epoch"].split(":")[1] for t in ("verdicts", "verdicts.shadow") for v in shop.read(t)}
    assert (epochs["before"], epochs["on"], epochs["p7"]) == ("0", "1", "3")


def test_a_late_event_is_judged_by_when_it_came(shop: Shop, config: Path) -> None:
    """Its own time lies before the switch; nobody may act with a rule that was switched off since."""
    set_mode(shop, "pricey", "shadow", "--effective-at", at(3))
    events = [*sales(5), pay("late", START, "b", amount=90)]
    shop.run(shop.write(events), "out", "--config", config)
    assert fired(shop, "pricey")["late"] == ("shadow", "mode")


def test_a_record_that_comes_while_the_job_is_stopped_counts_from_where_it_goes_on(shop: Shop, config: Path) -> None:
    set_mode(shop, "copied", "shadow")
    source = shop.write(sales(4))
    shop.run(source, "out", "--config", config)
    set_mode(shop, "pricey", "shadow", "--effective-at", at(0))
    shop.write(sales(8))
    shop.run(source, "out", "--config", config)
    modes = [mode for mode, _ in fired(shop, "pricey").values()]
    assert [fired(shop, "pricey")[f"p{n}"][0] for n in range(8)] == ["live"] * 4 + ["shadow"] * 4, modes
    applied = [s for s in shop.read("status") if s["subject"] == "mode/pricey"]
    assert f"(asked for from {at(0)}, which had passed; an unknown number of events" in applied[0]["message"]


def test_a_ramp_only_adds(shop: Shop, config: Path) -> None:
    """Who is acted on at 20 % is acted on at 60 %; the others are shadow with reason holdout."""
    source = shop.write(sales(120))
    acted: list[set[str]] = []
    for percent in (0, 20, 60, 100):
        config.unlink(missing_ok=True)
        set_mode(shop, "pricey", f"live {percent}%")
        shop.run(source, f"out{percent}", "--config", config)
        found = fired(shop, "pricey", f"out{percent}")
        assert len(found) == 120 and set(found.values()) <= {("live", None), ("shadow", "holdout")}
        acted.append({event for event, (mode, _) in found.items() if mode == "live"})
    assert not acted[0] and acted[1] < acted[2] < acted[3] and len(acted[3]) == 120
    assert 10 <= len(acted[1]) <= 40 and 50 <= len(acted[2]) <= 95


def test_the_panic_switch_holds_every_rule_until_it_is_cleared(shop: Shop, config: Path) -> None:
    set_mode(shop, "pricey", "live")
    said = set_mode(shop, "*", "shadow", "--effective-at", at(3))
    assert f"every rule is held in shadow from {at(3)}" in said
    said = set_mode(shop, "*", "clear", "--effective-at", at(6))
    assert f"the panic switch is cleared from {at(6)}" in said
    assert listed(shop, "--at", at(4))["pricey"][:2] == ["live", "the panic switch"]
    assert listed(shop, "--at", at(7))["pricey"][:2] == ["live", ""]
    shop.run(shop.write(sales(9)), "out", "--config", config)
    live, held = ("live", None), ("shadow", "ceiling")
    assert fired(shop, "pricey") == {f"p{n}": held if 3 <= n < 6 else live for n in range(9)}
    assert [act["event_id"] for act in shop.read("enforcement.shadow")] == ["p3", "p4", "p5"]


# the rule that was meant


def test_a_rule_that_changed_since_it_was_set_is_shadow_until_it_is_set_again(shop: Shop, config: Path) -> None:
    source = shop.write(sales(3))
    set_mode(shop, "pricey", "live")
    shop.run(source, "out", "--config", config)
    shop.change(("mean_1h > 60", "mean_1h > 50"))
    shop.write(sales(6))
    shop.run(source, "out", "--config", config)
    set_mode(shop, "pricey", "live")
    shop.write(sales(9))
    shop.run(source, "out", "--config", config)
    live, held = ("live", None), ("shadow", "rule_changed")
    assert fired(shop, "pricey") == {f"p{n}": held if 3 <= n < 6 else live for n in range(9)}


def test_what_is_only_said_about_a_rule_does_not_change_it(shop: Shop, config: Path) -> None:
    source = shop.write(sales(3))
    set_mode(shop, "pricey", "live")
    shop.run(source, "out", "--config", config)
    shop.change(
        ("action: ask,", "action: ask, severity: low, description: words, owner: us,"),
        ("mean_1h > 60,", "( mean_1h>60 ),"),
    )
    shop.write(sales(6))
    shop.run(source, "out", "--config", config)
    assert set(fired(shop, "pricey").values()) == {("live", None)}


def test_a_mode_is_bound_to_the_rule_that_the_job_ran(shop: Shop, config: Path) -> None:
    """Whoever promotes a rule has seen what it did; if the policy changes before the job reads the record, she has not."""
    set_mode(shop, "copied", "shadow")
    source = shop.write(sales(3))
    shop.run(source, "out", "--config", config)
    seen = orjson.loads((shop.folder / "modes.jsonl.seen.json").read_bytes())
    assert seen["policy"] == "shop" and seen["judged"] == 3 and seen["at"] == at(2)
    assert seen["rules"]["pricey"] | {"digest": ""} == {
        "digest": "", "mode": "live", "hits": 3, "shadow_hits": 0, "acted": 3, "shadow_acted": 0,
    }  # fmt: skip
    set_mode(shop, "pricey", "live")
    record = orjson.loads(config.read_bytes().splitlines()[-1])
    assert record["value"] == {"mode": "live", "digest": seen["rules"]["pricey"]["digest"]}
    shop.change(("mean_1h > 60", "mean_1h > 50"))
    shop.write(sales(6))
    shop.run(source, "out", "--config", config)
    assert [fired(shop, "pricey")[f"p{n}"] for n in (3, 4, 5)] == [("shadow", "rule_changed")] * 3
    assert listed(shop)["pricey"][:2] == ["live", "the rule changed since it was set"]


def test_promoting_shows_what_the_rule_did_in_shadow(shop: Shop, config: Path) -> None:
    set_mode(shop, "pricey", "shadow")
    shop.run(shop.write(sales(30)), "out", "--config", config)
    said = set_mode(shop, "pricey", "live")
    assert said.startswith(
        f"pricey: 30 shadow hits in 30 events up to {at(29)}; live it would have acted 30 times (shadow now)\n"
    )
    shop.run(shop.write(sales(40)), "out", "--config", config)
    assert set_mode(shop, "*", "clear").splitlines()[-2] == (
        f"pricey: 10 live hits, 10 actions; 30 shadow hits in 40 events up to {at(39)}; live it would have acted 30 times "
        "(live now)"
    )


# the fuse


def test_a_fuse_stops_a_rule_until_its_mode_is_set_again(shop: Shop, config: Path) -> None:
    shop.change(("max_actions: 20/10m", "max_actions: 4/10m"))
    set_mode(shop, "pricey", "live")
    source = shop.write(sales(30))
    shop.run(source, "out", "--config", config, "--batch-size", 3)
    assert [act["event_id"] for act in shop.read("enforcement")] == ["p0", "p1", "p2", "p3"]
    held = shop.read("enforcement.shadow")
    assert {act["shadow_reason"] for act in held} == {"fuse"} and held[0]["event_id"] == "p4"
    tripped = [s for s in shop.read("status") if s["kind"] == "fuse_tripped" and s["detail"]["namespace"] == "live"]
    assert [s["message"] for s in tripped] == [
        "rule pricey reached its budget of 4/10m and acts no more: "
        "its hits go to enforcement.shadow with reason fuse until its mode is set again"
    ]
    shop.write(sales(40))
    shop.run(source, "out", "--config", config)  # a restart is no reset
    assert len(shop.read("enforcement")) == 4
    set_mode(shop, "pricey", "live")
    shop.write(sales(43))
    shop.run(source, "out", "--config", config)
    assert [act["event_id"] for act in shop.read("enforcement")][4:] == ["p40", "p41", "p42"]


def test_a_cooldown_outlives_a_restart(shop: Shop) -> None:
    shop.change(("target: card, mode: live,", "target: card, mode: live, cooldown: 5m,"))
    source = shop.write(sales(3, accounts=lambda _: "same"))
    shop.run(source)
    shop.write(sales(7, accounts=lambda _: "same"))
    shop.run(source)
    assert [act["event_id"] for act in shop.read("enforcement")] == ["p0", "p5"]
    state = shop.folder / "out" / "state"
    shown = orjson.loads(shop.watchgate("entity", "show", "card", "card-same", "--state", state, "--json").out)
    assert shown["cooling_until"] == {"pricey": at(10)} and shown["features"] == {"mean_1h": 90}


# what an auditor finds


def test_a_verdict_names_the_records_that_made_it(shop: Shop, config: Path) -> None:
    set_mode(shop, "burst", "live", "--by", "anna")
    flood = [post(f"b{n}", START + n * 1_000, "a3") for n in range(5)]
    shop.run(shop.write(flood), "out", "--config", config)
    timeline = orjson.loads(config.read_bytes().splitlines()[0])["timeline"]
    verdict = shop.read("verdicts")[0]
    assert verdict["epoch"] == f"{timeline}:1" and verdict["policy"] == "shop"
    applied = [s for s in shop.read("status") if s["epoch"] == verdict["epoch"]]
    assert [s["detail"]["by"] for s in applied] == ["anna"]
    (rule,) = [one for one in verdict["rules"] if one["rule"] == "burst"]
    assert {name: rule[name] for name in ("mode", "action", "policy_ref", "reason", "expires_at", "severity")} == {
        "mode": "live",
        "action": "review",
        "policy_ref": "spam/2.1",
        "reason": "posts_10m 4 (>= 4)",
        "expires_at": "2025-03-03T01:00:03.000Z",
        "severity": "high",
    }
    act = shop.read("enforcement")[0]
    assert (act["verdict"], act["epoch"], act["protected_by"]) == (verdict["ce_id"], verdict["epoch"], "vip")
