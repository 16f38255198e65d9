"""What an event costs on a Flink cluster, from a Kafka topic to transactions on another, beside the same work by others.

    python benchmarks/flink.py [--jobs watchgate java pyflink sql] [--backends rocksdb hashmap] [--variants hot cold]
    python benchmarks/flink.py --latency [--rate 2000] [--seconds 30]

Starts a broker and a cluster of one TaskManager of its own and fills a topic with the events of `generate.py`. Each job
runs at parallelism 1 from the topic's first record. Its cost is (time at the second mark - time at the first) / (events
between the marks), by the count of events that have left its last keyed operator, so that start-up is in no figure. CPU
time is that of the TaskManager and of the Python processes that it started.

    watchgate   `policy.yaml`: three entity kinds, nine features, three rules, cooldowns, verdicts and enforcement
    java        the same windows and rules by hand in Java (`java_job/`): three keyed steps, rules, verdicts as JSON
    pyflink     the usual per-event PyFlink job in thread mode, with the three features of ONE entity kind
    sql         Flink SQL, an OVER window of a minute by ONE entity kind: a count and a sum

`--latency` feeds events at a steady rate instead, to a job with --delivery at-least-once that writes a verdict for each,
and reads the verdicts as a service would: an event's latency is from the broker's stamp on it to the moment at which the
consumer has its verdict. The first third is not counted.

The last line printed is JSON.
"""

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from generate import VARIANTS, write

from integration.flink.cluster import Cluster, start_cluster
from integration.flink.rest import FlinkApi
from integration.jars import resolve_jars
from integration.kafka.broker import Broker, start_broker
from integration.kafka.client import producer, reader
from integration.kafka.topics import create_topics
from schemas.times import parse_iso

HERE = Path(__file__).resolve().parent
MARKS = {
    "watchgate": (1_000_000, 2_000_000),
    "java": (1_000_000, 2_000_000),
    "pyflink": (50_000, 150_000),
    "sql": (100_000, 300_000),
}
"""Events at which the clock is read; fewer for what is slow. Before the first one Java's compilers do most of their work:
they take 7 us of CPU time an event between 400,000 and 1,000,000."""
COUNTED = {
    "watchgate": r"watchgate\.events_total$",
    "java": r"\brules\.numRecordsIn$",
    "pyflink": r"\bvelocity\.numRecordsIn$",
    "sql": r"\bOverAggregate\S*numRecordsIn$",
}
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A job failed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of wall and CPU time an event."""

    us: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs run."""

    broker: Broker
    cluster: Cluster

    def flink_run(self, *arguments: str) -> str:
        """Submits a job, returns its id."""
        command = [str(self.cluster.flink), "run", "-d", "-m", self.cluster.address, *arguments]
        done = subprocess.run(command, env=self.cluster.environment, capture_output=True, text=True)
        found = re.search(r"JobID (\w{32})", done.stdout)
        if found is None:
            raise BenchmarkError(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}")
        return found[1]


def watchgate(place: Place, prefix: str, *more: str) -> str:
    script = str(HERE.parent / "jobs" / "flink.py")
    options = ["--policy", str(HERE / "policy.yaml"), "--kafka", place.broker.address, "--prefix", prefix, *more]
    return place.flink_run("-py", script, *options, "--parallelism", "1")


def java(place: Place, prefix: str) -> str:
    jar = compiled(place, Path(tempfile.gettempdir()))
    return place.flink_run("-c", "Job", str(jar), place.broker.address, prefix)


def peer(place: Place, prefix: str, script: str) -> str:
    return place.flink_run("-py", str(HERE / "flink_peers" / script), place.broker.address, prefix)


def compiled(place: Place, folder: Path) -> Path:
    """The jar of the Java job."""
    classes = Path(tempfile.mkdtemp(dir=folder))
    lib = str(place.cluster.folder / "lib" / "*")
    source = HERE / "java_job" / "Job.java"
    subprocess.run(["javac", "-proc:none", "-cp", lib, "-d", str(classes), str(source)], check=True)
    jar = classes / "job.jar"
    subprocess.run(["jar", "cf", str(jar), "-C", str(classes), "."], check=True)
    return jar


def progress(api: FlinkApi, cluster: Cluster, job: str, pattern: str) -> int:
    """Events that have come to the operator that counts."""
    for vertex in cluster.get(f"/jobs/{job}")["vertices"]:
        base = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
        names = [metric["id"] for metric in cluster.get_list(base) if re.search(pattern, metric["id"])]
        if names:
            return int(float(cluster.get_list(f"{base}?get={names[0]}")[0]["sum"]))
    return 0


def cpu_seconds(leader: int) -> float:
    """CPU time of a process and of all that descend from it."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS
    family, grew = {leader}, True
    while grew:
        children = {pid for pid, parent in parents.items() if parent in family} - family
        family |= children
        grew = bool(children)
    return sum(spent.get(pid, 0.0) for pid in family)


def cost(place: Place, name: str, job: str, seconds: float = 600) -> Cost:
    """Runs a job past both marks, and cancels it."""
    api = FlinkApi(place.cluster.address)
    taskmanager = place.cluster.taskmanagers[0].pid
    points: list[tuple[int, float, float]] = []
    deadline = time.monotonic() + seconds
    try:
        while len(points) < 2:
            count = progress(api, place.cluster, job, COUNTED[name])
            if count >= MARKS[name][len(points)]:
                points.append((count, time.perf_counter(), cpu_seconds(taskmanager)))
            failure = api.failure(job)
            if failure or time.monotonic() > deadline:
                raise BenchmarkError(f"{name}: {failure.why if failure else f'{count} events after {seconds:.0f} s'}")
            time.sleep(0.1)
    finally:
        api.cancel(job)
        while not next(found for found in api.jobs() if found.id == job).ended:
            time.sleep(0.2)
    (first, begin, cpu), (last, end, spent) = points
    return Cost(1e6 * (end - begin) / (last - first), 1e6 * (spent - cpu) / (last - first))


@contextmanager
def places(folder: Path, backend: str) -> Iterator[Place]:
    """A broker and a cluster of one TaskManager, ended at the end."""
    jars = resolve_jars()
    broker = start_broker(folder / "kafka", jars)
    settings = {
        "state.backend.type": backend,
        "metrics.fetcher.update-interval": "200",
        "taskmanager.memory.process.size": "3g",
    }
    cluster = start_cluster(folder / backend, jars, taskmanagers=1, settings=settings)
    try:
        yield Place(broker, cluster)
    finally:
        cluster.stop()


def fill(place: Place, prefix: str, variant: str, events: int, folder: Path) -> None:
    """Makes the topics of a prefix and writes the events of a variant."""
    create_topics(place.broker.address, prefix, partitions=1)
    file = folder / f"{variant}.jsonl"
    write(file, events, variant)
    with producer(place.broker.address, linger_ms=50, batch_size=262_144) as client, file.open("rb") as lines:
        for line in lines:
            client.send(f"{prefix}.events", value=line.rstrip(b"\n"))


def latencies(place: Place, folder: Path, rate: int, seconds: int) -> list[int]:
    """Milliseconds from broker to consumer of each event after the first third, ascending."""
    from kafka import TopicPartition

    prefix = "latency"
    create_topics(place.broker.address, prefix, partitions=1)
    file = folder / "latency.jsonl"
    write(file, rate * seconds, "hot")
    job = watchgate(place, prefix, "--delivery", "at-least-once", "--emit", "all")
    api = FlinkApi(place.cluster.address)
    why = api.wait_started(job)
    if why:
        raise BenchmarkError(why)
    # Producer and consumer in processes of their own, and no document is read while others are on their way: neither
    # shall be what an event waits for.
    feeding = multiprocessing.Process(
        target=feed, args=(place.broker.address, f"{prefix}.events", file, rate), daemon=True
    )
    feeding.start()
    with reader(place.broker.address, fetch_max_wait_ms=5) as consumer:
        partition = TopicPartition(f"{prefix}.verdicts", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: list[tuple[float, bytes]] = []
        deadline = time.monotonic() + 3 * seconds + 60
        while len(found) < rate * seconds and time.monotonic() < deadline:
            records = consumer.poll(timeout_ms=50, max_records=10_000).get(partition, [])
            now = time.time() * 1000
            found += [(now, record.value) for record in records]
    api.cancel(job)
    if len(found) < rate * seconds:
        raise BenchmarkError(f"{len(found)} of {rate * seconds} verdicts came")
    return sorted(int(now - parse_iso(json.loads(value)["ingest_time"])) for now, value in found[len(found) // 3 :])


def feed(address: str, topic: str, file: Path, rate: int) -> None:
    """Writes the lines of a file to a topic at a steady rate, what is due every 5 ms."""
    with producer(address) as client, file.open("rb") as lines:
        began = time.monotonic()
        for number, line in enumerate(lines):
            while number > (time.monotonic() - began) * rate:
                time.sleep(0.005)
            client.send(topic, value=line.rstrip(b"\n"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=MARKS, default=list(MARKS))
    parser.add_argument("--backends", nargs="+", choices=("rocksdb", "hashmap"), default=["rocksdb", "hashmap"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["hot", "cold"])
    parser.add_argument("--folder", type=Path, help="for topics and state; a temporary one unless given")
    parser.add_argument("--latency", action="store_true", help="measure latency instead of cost")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second for --latency")
    parser.add_argument("--seconds", type=int, default=30, help="how long for --latency")
    given = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    folder = given.folder or Path(tempfile.mkdtemp(prefix="watchgate-benchmark-"))
    if given.latency:
        with places(folder, "rocksdb") as place:
            found = latencies(place, folder, given.rate, given.seconds)
        start_broker(folder / "kafka", resolve_jars()).stop()
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        print(json.dumps({name: found[int(share * len(found))] for name, share in shares.items()}))
        return
    events = max(MARKS[name][1] for name in given.jobs) + 50_000
    filled: set[str] = set()
    for backend in given.backends:
        with places(folder, backend) as place:
            for variant in given.variants:
                prefix = f"bench-{variant}"
                if variant not in filled:
                    fill(place, prefix, variant, events, folder)
                    filled.add(variant)
                for name in given.jobs:
                    job = {
                        "watchgate": watchgate,
                        "java": java,
                        "pyflink": lambda where, what: peer(where, what, "per_event.py"),
                        "sql": lambda where, what: peer(where, what, "over_window.py"),
                    }[name](place, prefix)
                    spent = cost(place, name, job)
                    key = f"{name} {backend} {variant}"
                    results[key] = {"us": round(spent.us, 1), "cpu_us": round(spent.cpu_us, 1)}
                    print(f"{key:30} {spent.us:8.1f} us {spent.cpu_us:8.1f} CPU us an event", flush=True)
                    # Modules and classes of one job shall not be in the next one's way.
                    place.cluster.taskmanagers[0].stop(30)  # told to end, it leaves the cluster at once
                    place.cluster.start_taskmanager()
                    place.cluster.wait_ready(1)
    start_broker(folder / "kafka", resolve_jars()).stop()
    print(json.dumps(results))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
