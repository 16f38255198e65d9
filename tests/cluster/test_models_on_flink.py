"""Models in a job on a cluster: scores are those of the embedded engine, and a version changes between two events."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from tests.cluster.running import ROOT, compare, poisoned, running
from tests.e2e.conftest import POLICY
from tests.models.builders import forest, logistic, put
from tests.models.test_operating_points import CURVE

pytestmark = pytest.mark.cluster

MODELS = """
models:
  fraud: {version: 1, challenger: 2}
  trees: {version: 1}
  both: {mean: [fraud, trees]}
rules:
  risky: {on: pay, when: "fraud >= threshold(fraud, precision=0.9)", action: hold, target: account, mode: live, warmup: ignore, cooldown: 1m}
  unlikely: {on: pay, when: both >= 0.4, action: review, target: card}
"""


@pytest.fixture
def swaps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/swaps.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("swaps_benchmark", ROOT / "benchmarks" / "swaps.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "swaps_benchmark", module)
    spec.loader.exec_module(module)
    return module


def test_scores_are_those_of_the_embedded_engine(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    registry, policy = tmp_path / "models", tmp_path / "shop.yaml"
    for bias in (-1.0, -2.0):
        put(registry, logistic([0.02, 0.01], bias), "fraud", ["amount", "spend_1h"], curve=CURVE.model_dump())
    put(registry, forest(2), "trees", ["amount", "mean_1h"])
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    policy.write_text(POLICY.replace("\nrules:\n", MODELS))
    given = ("--parallelism", "2", "--registry", str(registry))
    with running(flink, jars, broker, prefix, policy, *given) as job:
        job.registry = str(registry)
        job.feed(poisoned(600, seed=5))
        job.configure({"key": "model/fraud", "value": {"version": 2, "mode": "live"}, "by": "t", "reason": "test"})
        job.statuses("config_applied", of=2)
        job.feed(poisoned(600, seed=6))
        found = compare(job)
        versions = Counter(
            d["scores"]["fraud"]["version"] for d in found.documents["verdicts"].values() if "fraud" in d["scores"]
        )
        assert versions[1] and versions[2]
        assert any("fraud@2" in d["scores"] for d in found.documents["verdicts.shadow"].values())
        assert job.failures() == []


def test_versions_change_under_load_and_no_event_is_unscored_or_scored_by_a_mixture(
    flink: Cluster, broker: Broker, prefix: str, tmp_path: Path, swaps: ModuleType
) -> None:
    place = swaps.Place(broker, flink)
    found = swaps.measure(place, prefix, tmp_path, rate=500, swaps=3, warm_s=1, before_s=1)
    assert (found.swaps, found.unscored, found.mixed, found.misplaced) == (3, 0, 0, 0)
    assert found.events > 1_000 and found.before and found.during
