"""The benchmark's events are what they claim to be, and bytewax finds the hits that a naive count finds."""

import json
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def generate(load):
    return load("benchmarks/generate.py")


def read(file):
    return [json.loads(line) for line in file.open("rb")]


@pytest.mark.parametrize("variant", ["hot", "cold", "heavy", "replay"])
def test_events_are_of_200_bytes_and_the_same_for_the_same_seed(generate, variant, tmp_path):
    size = generate.write(tmp_path / "one", 20_000, variant, seed=5)
    generate.write(tmp_path / "same", 20_000, variant, seed=5)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "same").read_bytes()
    assert 185 <= size / 20_000 <= 205
    events = read(tmp_path / "one")
    assert len({e["id"] for e in events}) == 20_000
    times = [e["at"] for e in events]
    assert times == sorted(times)


def test_the_variants_differ_in_what_they_say(generate, tmp_path):
    events = {}
    for variant in ("hot", "cold", "heavy", "replay"):
        generate.write(tmp_path / variant, 20_000, variant)
        events[variant] = read(tmp_path / variant)
    most = {v: Counter(e["account"] for e in rows).most_common(1)[0][1] / 20_000 for v, rows in events.items()}
    assert most["cold"] < 0.001 < most["hot"] < 0.2
    assert 0.5 < most["heavy"] < 0.6
    assert len({e["account"] for e in events["cold"]}) > 19_000
    assert events["replay"][16_384]["at"] - events["replay"][0]["at"] > 1.9 * DAY


def test_late_events_lie_up_to_five_minutes_back(generate, tmp_path):
    generate.write(tmp_path / "late", 20_000, "hot", late=0.1)
    newest, lags = 0, []
    for event in read(tmp_path / "late"):
        newest = max(newest, event["at"])
        lags.append(newest - event["at"])
    assert 0.08 < sum(lag > 0 for lag in lags) / 20_000 < 0.12
    assert 200_000 < max(lags) <= 300_000


def naive_hits(events):
    """(event id, rule) by looking through all earlier events of each entity, one event at a time."""
    seen = defaultdict(list)
    found = set()
    for event in events:
        cents = round(event["amount"] * 100)
        history = {}
        for kind in ("account", "ip", "device"):
            seen[kind, event[kind]].append((event["at"], cents, event))
            history[kind] = seen[kind, event[kind]]

        def window(kind, over, history=history, event=event):
            pane, newest, held = over // 12, 0, []
            for at, value, _ in history[kind]:
                newest = max(newest, at // pane)
                if at // pane >= newest - 12:
                    held.append((at // pane, value))
            own = event["at"] // pane
            return None if own < newest - 12 else [value for p, value in held if newest - 12 <= p <= own]

        def distinct(kind, over, column, history=history):
            newest, last = 0, {}
            for at, _, other in history[kind]:
                newest = max(newest, at)
                if at > newest - over:
                    last[other[column]] = max(at, last.get(other[column], 0))
            return min(16, sum(at > newest - over for at in last.values()))

        def holds(values, condition):
            return values is not None and condition(values)

        if cents >= 99_500 and (
            holds(window("account", HOUR), lambda v: sum(v) >= 300_000)
            or distinct("account", DAY, "ip") < 3
            or holds(window("account", MINUTE), lambda v: len(v) >= 40)
        ):
            found.add((event["id"], "large"))
        if cents < 300 and (
            distinct("ip", HOUR, "account") >= 6
            or holds(window("ip", 10 * MINUTE), lambda v: len(v) < 3)
            or holds(window("ip", DAY), lambda v: sum(v) < 40_000 * len(v))
        ):
            found.add((event["id"], "probing"))
        if 50_000 <= cents <= 50_300 and (
            distinct("device", DAY, "account") >= 4
            or holds(window("device", HOUR), lambda v: len(v) < 3)
            or holds(window("device", DAY), lambda v: sum(v) < 120_000)
        ):
            found.add((event["id"], "round_trip"))
    return found


def hits_of(*files):
    return {
        (v["event_id"], r if isinstance(r, str) else r["rule"])
        for file in files
        for v in read(file)
        for r in v["rules"]
    }


@pytest.mark.parametrize("variant", ["hot", "cold", "heavy", "replay"])
def test_watchgate_and_bytewax_find_what_a_naive_count_finds(root, generate, watchgate, variant, tmp_path):
    pytest.importorskip("bytewax")
    file = tmp_path / "events.jsonl"
    generate.write(file, 8_000, variant, late=0.05)
    expected = naive_hits(read(file))
    assert 0.005 < len(expected) / 8_000 < 0.02

    watchgate("run", root / "benchmarks/policy.yaml", "--input", file, "--output", tmp_path / "out", "--quiet")
    assert hits_of(tmp_path / "out/verdicts.jsonl", tmp_path / "out/verdicts.shadow.jsonl") == expected
    for form in (
        ["--state", "keys"],
        ["--state", "shards"],
        ["--state", "keys", "--recovery", str(tmp_path / "recovery")],
    ):
        command = [sys.executable, str(root / "benchmarks/peer_bytewax.py"), str(file), str(tmp_path / "peer"), *form]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = json.loads(ended.stdout.splitlines()[-1])
        assert hits_of(tmp_path / "peer") == expected
        assert (figures["events"], figures["hits"]) == (8_000, len(expected))


def test_the_harness_prints_figures_as_json_last(root):
    pytest.importorskip("bytewax")
    for large in (100_000, 400_000, 1_600_000):
        sizes = ("--events", "1000", str(large))
        command = [sys.executable, str(root / "benchmarks/embedded.py"), *sizes, "--variants", "hot"]
        ended = subprocess.run(command, capture_output=True, text=True)
        if "sizes that lie further apart" not in ended.stderr:  # on a busy machine a start can take longer than a run
            break
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout.splitlines()[-1])
    costs = figures["costs"]["hot"]
    assert set(costs) == {"watchgate", "bytewax shards", "bytewax keys", "bytewax keys+recovery"}
    assert costs["watchgate"]["us_per_event"] > 0
    assert {"decode", "observe", "judge", "checkpoint"} <= set(costs["watchgate"]["stages_us"])
    assert set(figures["ratios"]) == {"hot bytewax shards", "hot bytewax keys", "hot bytewax keys+recovery"}


def test_a_job_that_fails_ends_the_harness_with_its_words(load):
    embedded = load("benchmarks/embedded.py")
    with pytest.raises(embedded.BenchmarkError, match=r"ended with 3:\nno such thing"):
        embedded.run_process([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"], 0)
