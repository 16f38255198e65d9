"""The benchmark's job in Java compiles against the jars that the cluster runs with."""

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from tests.cluster.running import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK, which a job does not")
def test_the_java_job_compiles(
    flink: Cluster, broker: Broker, jars: Jars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("flink_benchmark", ROOT / "benchmarks" / "flink.py")
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "flink_benchmark", benchmark)
    spec.loader.exec_module(benchmark)
    jar = benchmark.compiled(benchmark.Place(broker, flink, jars), tmp_path)
    assert "Job.class" in zipfile.ZipFile(jar).namelist()
