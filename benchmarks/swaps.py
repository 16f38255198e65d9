"""Whether a Flink job notices that its model is changed: latency and scores while versions are published.

    python benchmarks/swaps.py [--rate 2000] [--swaps 20] [--warm 60] [--before 30]

Starts a broker and a cluster of one TaskManager of its own, and a job with --delivery at-least-once over the benchmark's
policy and a model, which writes a verdict for each event. Events come at a steady rate. After a while without a change,
each version in turn is put in force by `watchgate models publish --mode live --in 2s --wait` on the config topic; each is a
file that the job has not seen, to be read, checked and warmed up. A consumer reads the verdicts as a service would: an
event's latency is from the broker's stamp on it to the moment at which the consumer has its verdict. *while* is from the
first command to two seconds after the last one.

Each version has its own bias, so a score tells which version made it. An event is *unscored* when its verdict has no score,
*mixed* when the score is not that of the version that the verdict names, *misplaced* when that version is not the one that
was in force at the event's ingest time, by the job's own status. The last line printed is JSON.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from flink import BenchmarkError, Place, places
from generate import write

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    del sys.path[0]  # models.py there bears the name of a package

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from integration.flink.rest import FlinkApi
from integration.jars import resolve_jars
from integration.kafka.broker import start_broker
from integration.kafka.client import producer, reader
from integration.kafka.topics import create_topics
from models.importing import Wanted, imported
from models.registry import Registry
from schemas.manifest import ModelInput
from schemas.times import parse_iso

HERE = Path(__file__).resolve().parent
WEIGHT = 0.004
"""Of the amount in a score's logit."""
MODEL = """\
  scored: {when: swapped >= 0.995, action: review, target: account, mode: live, cooldown: 10m, max_actions: 1000000/1h, warmup: ignore}
models:
  swapped: {version: 1}
"""


def bias(version: int) -> float:
    return -4.0 + 0.1 * version


def score(amount: float, version: int) -> float:
    return 1.0 / (1.0 + math.exp(-(WEIGHT * amount + bias(version))))


def add_versions(folder: Path, versions: int) -> Path:
    """A registry with so many versions of the model."""
    registry = Registry(folder)
    inputs = [ModelInput(name=name) for name in ("amount", "account_events_1m")]
    for version in range(1, versions + 1):
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["score"])]
        tensors = {"w": np.array([[WEIGHT], [0.0]], np.float32), "b": np.array([bias(version)], np.float32)}
        graph = helper.make_graph(
            nodes,
            "logistic",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])],
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        opset = [helper.make_opsetid("", 17)]
        data = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
        registry.add(imported(data, Wanted("swapped", inputs)), data)
    return folder


@dataclass
class Load:
    """Events at a steady rate, what is due every 5 ms, until `stop` is set. `sent`: how many."""

    kafka: str
    topic: str
    file: Path
    rate: int
    sent: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    short: bool = False
    """The events came to an end before the swaps did."""

    def run(self) -> None:
        with producer(self.kafka) as client, self.file.open("rb") as lines:
            began = time.monotonic()
            for line in lines:
                while self.sent > (time.monotonic() - began) * self.rate:
                    time.sleep(0.005)
                if self.stop.is_set():
                    break
                client.send(self.topic, value=line.rstrip(b"\n"))
                self.sent += 1
        self.short = not self.stop.is_set()
        self.done.set()


@dataclass
class Swapping:
    """Publishes versions 2, 3 and so on, one command after the other."""

    config: str
    registry: Path
    swaps: int
    warm_s: float
    before_s: float
    began_ms: int = 0
    ended_ms: int = 0
    failed: str = ""

    def run(self, load: Load) -> None:
        time.sleep(self.warm_s + self.before_s)
        self.began_ms = int(time.time() * 1000)
        for version in range(2, self.swaps + 2):
            command = [
                sys.executable,
                "-c",
                "from jobs.cli import main; main()",
                "models",
                "publish",
                f"swapped@{version}",
            ]
            command += ["--config", self.config, "--registry", str(self.registry), "--mode", "live", "--in", "2s"]
            command += ["--reason", "benchmark", "--wait"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
            if done.returncode:
                self.failed = done.stderr
                break
        time.sleep(2)
        self.ended_ms = int(time.time() * 1000)
        time.sleep(2)
        load.stop.set()


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict: number of its event, ingest time, latency in ms, score and version."""

    number: int
    ingest_ms: int
    latency_ms: int
    score: float | None
    version: int


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies ascending, in ms; the rest counts events."""

    before: list[int]
    during: list[int]
    swaps: int
    events: int
    unscored: int
    mixed: int
    misplaced: int


def measure(
    place: Place, prefix: str, folder: Path, *, rate: int, swaps: int, warm_s: float, before_s: float
) -> Result:
    """Runs the job and the swaps, and reads every verdict. Raises BenchmarkError when one does not come."""
    kafka = place.broker.address
    create_topics(kafka, prefix, partitions=1)
    registry = add_versions(folder / "registry", swaps + 1)
    policy = folder / "policy.yaml"
    policy.write_text((HERE / "policy.yaml").read_text().rstrip("\n") + "\n" + MODEL)
    file = folder / "events.jsonl"
    write(file, int(rate * (warm_s + before_s + 15 * swaps + 60)), "hot")
    options = ["--policy", str(policy), "--kafka", kafka, "--prefix", prefix, "--registry", str(registry)]
    options += ["--delivery", "at-least-once", "--emit", "all", "--parallelism", "1", "--name", prefix]
    script = str(HERE.parent / "jobs" / "flink.py")
    job = place.flink_run("-py", script, *options)
    api = FlinkApi(place.cluster.address)
    try:
        why = api.wait_started(job)
        if why:
            raise BenchmarkError(why)
        load = Load(kafka, f"{prefix}.events", file, rate)
        config = f"kafka://{kafka}/{prefix}.config"
        swapping = Swapping(config, registry, swaps, warm_s, before_s)
        threads = [threading.Thread(target=load.run), threading.Thread(target=swapping.run, args=(load,))]
        for thread in threads:
            thread.start()
        seen = read_verdicts(kafka, f"{prefix}.verdicts", load)
        for thread in threads:
            thread.join()
        if swapping.failed or load.short:
            raise BenchmarkError(swapping.failed or "the events came to an end before the swaps")
        moments = in_force(kafka, f"{prefix}.status", swaps)
    finally:
        api.cancel(job)
    began_ms = min(one.ingest_ms for one in seen.values()) + int(warm_s * 1000)
    times = {
        span: sorted(one.latency_ms for one in seen.values() if start <= one.ingest_ms < stop)
        for span, start, stop in (
            ("before", began_ms, swapping.began_ms),
            ("during", swapping.began_ms, swapping.ended_ms),
        )
    }
    with file.open("rb") as lines:
        amounts = [float(orjson.loads(line)["amount"]) for line in islice(lines, load.sent)]
    return Result(times["before"], times["during"], swaps, len(seen), *faults(list(seen.values()), amounts, moments))


def read_verdicts(kafka: str, topic: str, load: Load) -> dict[int, Seen]:
    """The verdict of each event, by its number, when all that were sent have one. They are looked into when all are there: no
    event shall wait for that."""
    from kafka import TopicPartition

    found: list[tuple[float, bytes]] = []
    deadline = math.inf
    with reader(kafka, fetch_max_wait_ms=5) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        while not load.done.is_set() or len(found) < load.sent:
            records = consumer.poll(timeout_ms=50, max_records=10_000).get(partition, [])
            now = time.time() * 1000
            found += [(now, record.value) for record in records]
            if load.done.is_set():
                deadline = min(deadline, time.monotonic() + 120)
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{len(found)} of {load.sent} verdicts came")
    seen: dict[int, Seen] = {}
    for now, value in found:
        one = _seen(orjson.loads(value), now)
        seen.setdefault(one.number, one)
    if len(seen) < load.sent:
        raise BenchmarkError(f"{load.sent - len(seen)} of {load.sent} events have no verdict")
    return seen


def _seen(verdict: dict[str, Any], now_ms: float) -> Seen:
    ingest_ms = parse_iso(verdict["ingest_time"])
    told = verdict.get("scores", {}).get("swapped", {})
    number = int(verdict["event_id"].removeprefix("e"))
    return Seen(number, ingest_ms, int(now_ms - ingest_ms), told.get("value"), told.get("version", 0))


def in_force(kafka: str, topic: str, swaps: int) -> list[int]:
    """From when on each version after the first was in force, by what the job said."""
    from kafka import TopicPartition

    moments: list[int] = []
    deadline = time.monotonic() + 60
    with reader(kafka) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        while len(moments) < swaps and time.monotonic() < deadline:
            for record in consumer.poll(timeout_ms=500).get(partition, []):
                document = orjson.loads(record.value)
                if document["subject"] == "model/swapped" and document["kind"] == "config_applied":
                    moments.append(parse_iso(document["detail"]["in_force_at"]))
    if len(moments) != swaps:
        raise BenchmarkError(f"the job took {len(moments)} of {swaps} versions")
    return moments


def faults(seen: Sequence[Seen], amounts: Sequence[float], moments: Sequence[int]) -> tuple[int, int, int]:
    """Events unscored, mixed and misplaced."""
    scored = [one for one in seen if one.score is not None]
    mixed = sum(abs(one.score - score(amounts[one.number], one.version)) > 2e-6 for one in scored)  # type: ignore[operator]
    misplaced = sum(one.version != 1 + bisect_right(moments, one.ingest_ms) for one in scored)
    return len(seen) - len(scored), mixed, misplaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--warm", type=float, default=60, help="seconds that are not counted")
    parser.add_argument("--before", type=float, default=30, help="seconds before the first swap that are counted")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="watchgate-benchmark-"))
    load = os.getloadavg()[0]
    with places(folder, "rocksdb") as place:
        found = measure(
            place, "swaps", folder, rate=given.rate, swaps=given.swaps, warm_s=given.warm, before_s=given.before
        )
    start_broker(folder / "kafka", resolve_jars()).stop()
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    document = {
        name: {share: times[int(part * len(times))] for share, part in shares.items()}
        for name, times in (("before", found.before), ("while", found.during))
    }
    counts = {name: getattr(found, name) for name in ("swaps", "events", "unscored", "mixed", "misplaced")}
    print(json.dumps(document | counts | {"load": [round(load, 1), round(os.getloadavg()[0], 1)]}))


if __name__ == "__main__":
    main()
