"""The local cluster: a Python job runs on it from Kafka to Kafka, and it takes the loss of its processes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster, find_cluster, start_cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import producer, reader
from integration.kafka.properties import ClientProperties, parse_client_properties
from integration.kafka.topics import create_topics
from tests.cluster.running import ROOT, submission
from tests.cluster.secure import Secure, start_secure

pytestmark = pytest.mark.cluster

_JOB = Path(__file__).parent / "jobs" / "probe.py"


def run_probe(
    flink: Cluster, kafka: str, prefix: str, options: dict[str, str], properties: ClientProperties | None
) -> list[bytes]:
    """Sends three events through the job, returns what comes out."""
    from kafka import TopicPartition

    create_topics(kafka, prefix, partitions=1, properties=properties)
    source, sink = f"{prefix}.events", f"{prefix}.verdicts"
    with producer(kafka, properties) as client:
        for number in range(3):
            client.send(source, value=b"event%d" % number)
    given = [f"{key}={value}" for key, value in ({"properties.bootstrap.servers": kafka} | options).items()]
    command = [str(flink.flink), "run", "-m", flink.address, "-py", str(_JOB), source, sink, *given]
    done = subprocess.run(command, env=flink.environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with reader(kafka, properties) as consumer:
        partition = TopicPartition(sink, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: list[bytes] = []
        deadline = time.monotonic() + 20
        while len(found) < 3 and time.monotonic() < deadline:
            found += [record.value for record in consumer.poll(timeout_ms=500).get(partition, [])]
        return found


_WANTED = [b"event%d polars2 1970-01-01T00:00:00.000Z" % number for number in range(3)]


def test_a_python_job_runs_from_kafka_to_kafka_with_transactions(flink: Cluster, broker: Broker, prefix: str) -> None:
    assert run_probe(flink, broker.address, prefix, {}, None) == _WANTED


@pytest.fixture
def secure(jars: Jars, tmp_path: Path) -> Iterator[Secure]:
    broker, made = start_secure(tmp_path, jars)
    yield made
    broker.stop()


def test_the_same_properties_file_serves_flinks_client(flink: Cluster, secure: Secure, prefix: str) -> None:
    properties = parse_client_properties(secure.plain_properties())
    found = run_probe(flink, secure.address, prefix, properties.flink_options(), properties)
    assert found == _WANTED


def test_a_taskmanager_that_was_killed_is_replaced(flink: Cluster) -> None:
    first, second = flink.taskmanagers
    first.kill()
    assert [each.alive for each in (first, second)] == [False, True]
    made = flink.start_taskmanager()
    assert flink.taskmanagers == [second, made]
    flink.wait_ready(2)


def test_a_jobmanager_that_was_killed_comes_back_on_its_port(flink: Cluster) -> None:
    assert flink.jobmanager is not None
    flink.jobmanager.kill()
    assert not flink.alive
    flink.start_jobmanager()
    flink.wait_ready(2)
    assert flink.get("/overview")["flink-version"] == "2.3.0"


def test_a_jobmanager_comes_back_after_a_job_whose_start_failed(
    flink: Cluster, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    create_topics(broker.address, prefix)
    comments = ROOT / "examples" / "comments" / "policy.yaml"
    done = submission(flink, broker, prefix, comments, settings=["-s", (tmp_path / "absent").as_uri()])
    assert "Cannot find checkpoint or savepoint" in done.stdout + done.stderr
    assert flink.jobmanager is not None
    flink.jobmanager.kill()
    flink.start_jobmanager()
    flink.wait_ready(2)


def test_another_process_finds_it_and_starts_no_second_one(flink: Cluster, jars: Jars) -> None:
    flink.save()
    found = find_cluster(flink.folder)
    assert found == flink
    again = start_cluster(flink.folder, jars, taskmanagers=2)
    assert again.jobmanager == flink.jobmanager and again.taskmanagers == flink.taskmanagers


def test_its_processes_listen_on_this_machine_only(flink: Cluster) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    open_to_all = [line.split()[1] for line in listening(flink) if line.split()[1].split(":")[0].strip("0") == ""]
    assert open_to_all == []


def listening(flink: Cluster) -> list[str]:
    """The lines of /proc/net/tcp of sockets on which the cluster's processes listen."""
    processes = [flink.zookeeper, flink.jobmanager, *flink.taskmanagers]
    inodes = set()
    for process in processes:
        assert process is not None
        for handle in Path(f"/proc/{process.pid}/fd").iterdir():
            target = str(handle.readlink()) if handle.is_symlink() else ""
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    tables = [Path(f"/proc/{processes[0].pid}/net/{name}") for name in ("tcp", "tcp6") if processes[0]]
    lines = [line for table in tables for line in table.read_text().splitlines()[1:]]
    return [line for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes]
