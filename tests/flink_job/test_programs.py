"""Programs of a TaskManager: what its operators share."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.flink_job import programs
from jobs.flink_job.programs import policies_over
from jobs.policies import Policies


def test_operators_that_start_together_load_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine times the models of a policy, each checked in a child process, took longer than events wait for them."""
    made = []

    def over(registry: Path | None, around: object) -> Policies:
        made.append(registry)
        time.sleep(0.05)  # the first one imports onnxruntime meanwhile
        return Policies()

    monkeypatch.setattr(programs, "_POLICIES", {})
    monkeypatch.setattr(Policies, "over", over)
    with ThreadPoolExecutor(8) as operators:
        found = list(operators.map(policies_over, [str(tmp_path)] * 8))
    assert made == [tmp_path]
    assert all(one is found[0] for one in found)
