"""benchmarks/text.py runs as its docstring says, and ends with a line of JSON."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest


def run(root, *arguments, status=0):
    command = [sys.executable, str(root / "benchmarks/text.py"), *map(str, arguments)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, env=None)
    assert ended.returncode == status, ended.stderr
    return ended.stdout if status == 0 else ended.stderr


def texts(count, seed):
    rng = np.random.default_rng(seed)
    said = ("win a free phone", "what a nice song", "the trains are late")
    classes = rng.integers(0, 3, count)
    return pl.DataFrame({"said": [f"{said[c]} {rng.integers(99)}" for c in classes], "class": classes})


@pytest.mark.parametrize("classes", [2, 3])
def test_it_prints_figures_of_both(root, tmp_path, classes):
    frame = texts(400, 1).filter(pl.col("class") < classes)
    frame.write_csv(tmp_path / "train.csv")
    texts(100, 2).filter(pl.col("class") < classes).write_parquet(tmp_path / "test.parquet")
    shown = run(root, tmp_path / "train.csv", "--text", "said", "--label", "class", "--test", tmp_path / "test.parquet")
    result = json.loads(shown.splitlines()[-1])
    assert (result["classes"], result["train"]) == (classes, frame.height)
    for name in ("watchgate", "sklearn", "sklearn_balanced", "sklearn_chosen"):
        assert result[name] == {"macro_f1": 1.0, "average_precision": 1.0}
    assert set(result["us_per_text"]) == {"1", "64", "256", "1024", "4096"}


def test_what_it_cannot_read(root, tmp_path):
    texts(20, 1).write_csv(tmp_path / "train.csv")
    wrong = run(root, tmp_path / "train.csv", "--text", "words", "--label", "class", status=1)
    assert wrong.strip() == f"{tmp_path / 'train.csv'} has no column words: it has said, class"
