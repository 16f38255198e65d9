"""benchmarks/nab.py on a small corpus that is made here, and its scoring against one written point by point."""

import json
import math
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest

START = datetime(2024, 3, 1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three series of a day's rhythm with noise; two have a spike in a labelled window."""
    folder = tmp_path_factory.mktemp("nab")
    (folder / "labels").mkdir()
    (folder / "data" / "made").mkdir(parents=True)
    draw, windows = np.random.default_rng(1), {}
    for number in range(3):
        times = [START + timedelta(minutes=5 * at) for at in range(2_000)]
        values = 20 + 5 * np.sin(np.arange(2_000) / 288 * 2 * math.pi) + draw.normal(0, 0.3, 2_000)
        name = f"made/series_{number}.csv"
        windows[name] = []
        if number:
            values[1_200:1_206] += 25
            windows[name] = [[f"{times[1_150]}.000000", f"{times[1_250]}.000000"]]
        lines = [f"{time},{value:.4f}" for time, value in zip(times, values, strict=True)]
        (folder / "data" / name).write_text("timestamp,value\n" + "\n".join(lines) + "\n")
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return folder


def nab(root, *arguments):
    command = [sys.executable, root / "benchmarks/nab.py", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def test_spikes_are_found_early_in_their_windows(root, corpus):
    status, said, error = nab(root, corpus)
    assert status == 0, error
    figures = json.loads(said.splitlines()[-1])
    assert set(figures) == {"standard", "low_fp", "low_fn", "thresholds", "series"}
    assert 80 < figures["standard"] <= 100
    again = json.loads(nab(root, corpus, "--threshold", str(figures["thresholds"]["standard"]))[1].splitlines()[-1])
    assert again["standard"] == figures["standard"]
    assert json.loads(nab(root, corpus, "--threshold", "1e9")[1].splitlines()[-1])["standard"] == 0


def test_a_folder_that_is_none_says_what_is_missing(root, tmp_path):
    status, _, error = nab(root, tmp_path)
    assert status == 1
    assert "combined_windows.json is missing: DIR has data/ and labels/" in error


@pytest.fixture
def scoring(load):
    return load("benchmarks/nab_scoring.py")


def naive(readings, windows, scores, threshold, missed, outside):
    """What detections at or above a threshold are worth, reading by reading."""

    def sigmoid(x):
        return -1.0 if x >= 3 else 2 / (1 + math.exp(5 * x)) - 1

    total, found, last = 0.0, {}, None
    for at in range(readings):
        inside = next((w for w in windows if w[0] <= at <= w[1]), None)
        detected = scores[at] >= threshold and at >= min(math.floor(0.15 * readings), 750)
        if inside and at >= min(math.floor(0.15 * readings), 750):
            found.setdefault(inside, -missed)
        if detected and inside:
            worth = sigmoid(-(inside[1] - at + 1) / (inside[1] - inside[0] + 1)) / sigmoid(-1.0)
            found[inside] = max(found[inside], worth)
        elif detected:
            total += outside * (-1.0 if last is None else sigmoid((at - last[1]) / (last[1] - last[0])))
        if inside and at == inside[1]:
            last = inside
    return 100 * (total + sum(found.values()) + missed * len(found)) / (len(found) * (1 + missed))


@pytest.mark.parametrize("profile", ["standard", "low_fp", "low_fn"])
def test_the_scoring_is_that_of_the_benchmark(scoring, profile):
    draw = np.random.default_rng(2)
    scores, windows = draw.random(1_000).round(2), [(200, 260), (500, 540), (900, 999)]
    marked, costs = [scoring.marks(1_000, windows)], scoring.PROFILES[profile]
    for threshold in (0.2, 0.9, 0.97, 0.99, 1.0):
        expected = naive(1_000, windows, scores, threshold, costs.missed, costs.outside)
        assert scoring.score_at(marked, [scores], costs, threshold) == pytest.approx(expected)
    reached, threshold = scoring.best(marked, [np.where(np.isin(np.arange(1_000), [200, 500, 900]), 1.0, 0.0)], costs)
    assert (round(reached, 6), threshold) == (100, 1.0)
    assert scoring.best(marked, [np.zeros(1_000)], costs) == (0.0, math.inf)
