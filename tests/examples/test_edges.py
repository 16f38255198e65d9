"""benchmarks/edges.py on a small stream that is made here: a scan among steady traffic."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest


def flows(minutes=400, seed=3):
    draw = np.random.default_rng(seed)
    rows = []
    for minute in range(1, minutes + 1):
        rows += [(pair, 100 + pair % 7, minute, 0) for pair in range(12) for _ in range(draw.poisson(1.5))]
        if 300 <= minute < 310:
            rows += [(50, 103, minute, 1)] * 60
    return pl.DataFrame(rows, schema=["src", "dst", "ts", "label"], orient="row")


def edges(root, file):
    ended = subprocess.run([sys.executable, root / "benchmarks/edges.py", file], capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_scan_stands_out(root, tmp_path):
    flows().write_parquet(tmp_path / "flows.parquet")
    status, said, error = edges(root, tmp_path / "flows.parquet")
    assert status == 0, error
    figures = json.loads(said.splitlines()[-1])
    assert figures["auc"] > 0.98
    assert figures["edges"] == flows().height
    assert figures["edges_per_s"] > 0


def test_flows_that_are_not_in_order_are_refused(root, tmp_path):
    flows().sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "flows.parquet")
    status, _, error = edges(root, tmp_path / "flows.parquet")
    assert status == 1
    assert "flows have no features: is ts in order?" in error


def test_the_area_is_the_chance_that_an_attack_scores_higher(load):
    auc = load("benchmarks/edges.py").auc
    draw = np.random.default_rng(5)
    labels, scores = draw.random(200) < 0.3, draw.integers(0, 9, 200).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="an area needs flows of both kinds"):
        auc(np.ones(3, np.bool_), np.arange(3.0))
