"""TaskManagers that outlive their jobs: nothing of a job may stay in one, or it takes no more of them some day."""

import re
import subprocess
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.java import find_java
from integration.kafka.broker import Broker
from integration.processes import Started
from tests.cluster.running import ROOT, compare, crowd, running

pytestmark = pytest.mark.cluster


def test_a_job_that_is_gone_leaves_no_classes(flink: Cluster, jars: Jars, broker: Broker, prefix: str) -> None:
    """Counted over all that this cluster has run so far."""
    policy = ROOT / "examples" / "comments" / "policy.yaml"
    with running(flink, jars, broker, prefix, policy) as job:
        job.feed(crowd(20, seed=1))
        compare(job)
    for taskmanager in flink.taskmanagers:
        jcmd(taskmanager, "GC.run")
        jcmd(taskmanager, "GC.run")  # what the first one found is freed
        loaders = re.findall("ChildFirstClassLoader", jcmd(taskmanager, "VM.classloader_stats"))
        assert loaders == []


def jcmd(process: Started, command: str) -> str:
    """What a JVM answers."""
    program = Path(find_java().home) / "bin" / "jcmd"
    done = subprocess.run([program, str(process.pid), command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
