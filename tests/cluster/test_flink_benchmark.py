"""The benchmark's job in Java does the work that it is compared for: it finds the same hits."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from integration.flink.cluster import Cluster
from integration.flink.rest import FlinkApi
from integration.kafka.broker import Broker
from integration.kafka.client import producer
from integration.kafka.topics import create_topics
from tests.cluster.running import ROOT, tail
from tests.e2e.conftest import start

pytestmark = pytest.mark.cluster

EVENTS = 20_000


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/flink.py as a module; the folder bears names of packages, so it is on the path for its own import."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("flink_benchmark", ROOT / "benchmarks" / "flink.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "flink_benchmark", found)
    spec.loader.exec_module(found)
    return found


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK, which a job does not")
def test_the_java_job_finds_the_same_hits(
    benchmark: ModuleType, flink: Cluster, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    benchmark.write(events, EVENTS, "hot")
    policy = ROOT / "benchmarks" / "policy.yaml"
    process = start("run", policy, "--input", events, "--output", tmp_path / "out")
    assert process.wait(timeout=120) == 0
    ours: dict[str, set[str]] = {}
    for name in ("verdicts.jsonl", "verdicts.shadow.jsonl"):
        for line in (tmp_path / "out" / name).read_bytes().splitlines():
            verdict = orjson.loads(line)
            ours.setdefault(verdict["event_id"], set()).update(rule["rule"] for rule in verdict["rules"])
    assert len(ours) > EVENTS / 200

    create_topics(broker.address, prefix, partitions=1)
    with producer(broker.address) as client:
        for line in events.read_bytes().splitlines():
            client.send(f"{prefix}.events", value=line)
    job = benchmark.java(benchmark.Place(broker, flink), prefix)
    theirs: dict[str, set[str]] = {}
    for record in tail(broker, [f"{prefix}.verdicts"], lambda: len(theirs) >= len(ours)):
        verdict = orjson.loads(record.value)
        theirs[verdict["event_id"]] = set(verdict["rules"])
    FlinkApi(flink.address).cancel(job)
    assert theirs == ours
