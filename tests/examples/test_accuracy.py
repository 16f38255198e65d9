"""benchmarks/accuracy.py on a small stream: every answer lies within what its window declares."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def accuracy(load):
    return load("benchmarks/accuracy.py")


def test_every_answer_is_inside_what_its_window_declares(root):
    ended = subprocess.run(
        [sys.executable, "benchmarks/accuracy.py", "--events", "1500", "--seed", "7"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["inside"] == 1.0
    for stream in ("uniform", "zipf", "bursts"):
        errors = {name: figures["mean_error"] for name, figures in result[stream].items()}
        assert errors["distinct"] == errors["new_item"] == errors["last"] == 0.0
        assert errors["count_60"] <= errors["count"] <= errors["count_1"]
        assert errors["count_1"] > 0


def test_streams_are_what_they_claim_to_be(accuracy):
    for name in accuracy.STREAMS:
        events = accuracy.stream(name, 20_000, 3)
        assert events.equals(accuracy.stream(name, 20_000, 3)) and events.height == 20_000
        assert events["time"].is_sorted()
        share = events["account"].value_counts(sort=True)["count"][0] / 20_000
        assert (share > 0.1) == (name == "zipf")


def test_exact_windows_are_open_at_their_begin(accuracy):
    import numpy as np

    exact = accuracy.Exact(
        *(np.array(v, np.int64) for v in ([0, 1, accuracy.HOUR, accuracy.HOUR], [100] * 4, [1, 2, 1, 1]))
    )
    assert exact.answers("count", accuracy.HOUR).tolist() == [1, 2, 2, 3]
    assert exact.answers("new_item", accuracy.HOUR).tolist() == [1, 1, 1, 0]
    assert exact.answers("count", accuracy.HOUR, accuracy.HOUR).tolist() == [0, 0, 1, 1]
