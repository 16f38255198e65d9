"""The attack is the same for the same seed; the policy does on it what the README says."""

import csv
import json
from collections import Counter, defaultdict

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="module")
def story(root):
    return YAML(typ="safe", pure=True).load((root / "examples/logins/story.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(load, story, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logins")
    load("examples/logins/generate.py").write(folder, story["seed"], story["accounts"], story["hours"], story)
    return folder


@pytest.fixture(scope="module")
def run(root, data, watchgate, tmp_path_factory):
    output = tmp_path_factory.mktemp("verdicts")
    policy = root / "examples/logins/policy.yaml"
    watchgate(
        "run",
        policy,
        "--input",
        data / "logins.jsonl",
        "--config",
        data / "config.jsonl",
        "--output",
        output,
        "--quiet",
    )
    return output


def read(file):
    return [json.loads(line) for line in file.open("rb")]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(load, story, tmp_path):
    generate = load("examples/logins/generate.py")
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        generate.write(tmp_path / name, seed, 200, 2.0, story)
    for file in ("logins.jsonl", "labels.csv", "config.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "same" / file).read_bytes()
    assert (tmp_path / "one/logins.jsonl").read_bytes() != (tmp_path / "other/logins.jsonl").read_bytes()


def test_events_come_in_the_order_of_time_and_attacks_after_every_window_has_warmed_up(data):
    sent = read(data / "logins.jsonl")
    events = list({e["id"]: e for e in sent}.values())
    assert len(sent) - len(events) == len(events) // 500, "some are sent twice"
    with (data / "labels.csv").open(newline="") as rows:
        labels = list(csv.DictReader(rows))
    assert 30_000 <= len(events) <= 60_000
    assert [e["id"] for e in events] == [row["id"] for row in labels]
    times = [e["at"] for e in events]
    assert times == sorted(times)
    assert Counter(e["kind"] for e in events).keys() == {"login", "profile_change", "payment"}
    assert {row["kind"] for row in labels} == {"", "spray", "slow_spray", "takeover"}
    assert all((row["attack"] == "1") == bool(row["kind"]) for row in labels)
    first = next(e["at"] for e, row in zip(events, labels, strict=True) if row["attack"] == "1")
    assert first - times[0] > 3 * 3_600_000


def test_the_policy_passes_its_own_tests(root, watchgate):
    assert "FAIL" not in watchgate("rules", "test", root / "examples/logins/policy.yaml")


def test_the_readme_tells_the_truth(root, story, data, run, fired, readme_table):
    events = {e["id"]: e for e in read(data / "logins.jsonl")}
    with (data / "labels.csv").open(newline="") as rows:
        kinds = {row["id"]: row["kind"] for row in csv.DictReader(rows)}
    policy = YAML(typ="safe", pure=True).load((root / "examples/logins/policy.yaml").read_text(encoding="utf-8"))
    hits = fired(run)
    claimed = readme_table(root / "examples/logins/README.md")
    assert set(claimed) == set(hits) == set(policy["rules"])
    for rule, ids in hits.items():
        to_catch = {
            i
            for i, e in events.items()
            if e["kind"] == policy["rules"][rule]["on"]
            and kinds[i] in story["catches"][rule]
            and e.get(story["among"].get(rule, "kind"))
        }
        precision = sum(kinds[i] != "" for i in ids) / len(ids)
        assert claimed[rule] == (len(ids), round(precision, 2), round(len(ids & to_catch) / len(to_catch), 2))


def test_the_promoted_rule_acts_from_the_minute_of_the_story_on(story, run):
    modes = defaultdict(set)
    for name in ("verdicts.jsonl", "verdicts.shadow.jsonl"):
        for verdict in read(run / name):
            if any(rule["rule"] == story["promote"]["rule"] for rule in verdict["rules"]):
                modes[verdict["mode"]].add(verdict["ingest_time"])
    assert max(modes["shadow"]) < "2026-03-02T10:00:00.000Z" <= min(modes["live"])
    (status,) = [s for s in read(run / "status.jsonl") if s["kind"] == "config_applied"]
    assert status["message"] == "rule spray_login is live (was shadow) from 2026-03-02T10:00:00.000Z on"


def test_half_of_the_targets_of_the_ramped_rule_are_held_out(run):
    reasons = Counter()
    for name in ("verdicts.jsonl", "verdicts.shadow.jsonl"):
        for verdict in read(run / name):
            reasons.update(rule["shadow_reason"] for rule in verdict["rules"] if rule["rule"] == "takeover_payment")
    assert set(reasons) == {None, "holdout"}


def test_no_device_is_written_out(data, run):
    devices = {e["device"] for e in read(data / "logins.jsonl")}
    for name in ("enforcement.jsonl", "enforcement.shadow.jsonl"):
        for record in read(run / name):
            assert record["target"]["key"] not in devices
