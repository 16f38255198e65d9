"""benchmarks/models.py runs as its docstring says, although it bears the name of a package, and ends with a line of JSON."""

import json
import subprocess
import sys


def test_it_prints_what_a_score_costs(root, tmp_path):
    command = [sys.executable, str(root / "benchmarks/models.py"), "--quick", "--kinds", "text", "--batches", "64"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout.splitlines()[-1])
    assert (row["model"], row["batch"]) == ("text", 64)
    assert row["alone_us"] > 0 and row["in_judge_us"] != 0
