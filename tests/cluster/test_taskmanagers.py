"""TaskManagers outlive their jobs: what a job left in one would keep it from taking more of them some day. And a job
outlives a process of its cluster that stands still for a while."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.java import find_java
from integration.kafka.broker import Broker
from integration.kafka.topics import create_topics
from integration.processes import Started
from tests.cluster.running import PII_KEY, ROOT, Running, compare, crowd, forget_dead, running
from tests.cluster.test_submit import watchgate
from tests.e2e.conftest import POLICY

pytestmark = pytest.mark.cluster


def test_a_job_brings_no_classes(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes that come with a job are loaded for each job anew, and stay while a thread holds them: one of the connector
    always does. So all of them are the cluster's own."""
    forget_dead(flink)
    before = [class_loaders(taskmanager) for taskmanager in flink.taskmanagers]
    monkeypatch.setenv("WATCHGATE_PII_KEY", PII_KEY)
    policy = ROOT / "examples" / "comments" / "policy.yaml"
    job = Running(flink, broker, prefix, policy, create_topics(broker.address, prefix, partitions=1).timeline, jars)
    status, out, err = watchgate(
        *("submit", policy, "--kafka", broker.address, "--prefix", prefix, "--jobmanager", flink.address)
    )
    assert status == 0, err
    job.job = out.split(" runs as job ")[1].split()[0]
    try:
        job.feed(crowd(20, seed=1))
        compare(job)
        brought = [class_loaders(taskmanager) for taskmanager in flink.taskmanagers]
    finally:
        job.cancel()
    for now, then in zip(brought, before, strict=True):
        assert now <= then, "a job loaded classes of its own"


def test_a_process_that_stands_still_for_a_while_fails_no_job(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    """As one does on a machine that has more to do than it can: neither its session with ZooKeeper nor its heartbeat may
    be given up for that."""
    forget_dead(flink)
    assert flink.jobmanager is not None
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        job.wait_checkpoint()
        began = running_since(job)
        for seed, process in enumerate((*flink.taskmanagers, flink.jobmanager)):
            job.feed(crowd(100, seed))
            process.send(signal.SIGSTOP)
            time.sleep(5)
            process.send(signal.SIGCONT)
            job.wait_checkpoint()
            assert running_since(job) == began, job.failures()
        compare(job)


def running_since(job: Running) -> int:
    """Later after each start: by a failure, or by a JobManager that was not the leader for a moment."""
    return int(job.flink.get(f"/jobs/{job.job}")["timestamps"]["RUNNING"])


def class_loaders(taskmanager: Started) -> set[str]:
    """The class loaders of jobs that have loaded a class, by where the JVM keeps what they loaded."""
    rows = jcmd(taskmanager, "VM.classloader_stats").splitlines()
    return {row.split()[2] for row in rows if row.endswith("ChildFirstClassLoader")}


def jcmd(process: Started, command: str) -> str:
    """What a JVM answers."""
    program = Path(find_java().home) / "bin" / "jcmd"
    done = subprocess.run([program, str(process.pid), command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
