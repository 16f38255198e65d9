"""Exactly once under faults: a job whose processes, broker and cluster are killed, and that is stopped and started with
another parallelism, writes what a run without faults would have written. Nothing less, nothing twice, nothing else.

`make test` does each fault once; WATCHGATE_FAULTS=60 does as many, in an order that WATCHGATE_SEED chooses.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker, start_broker
from integration.processes import port_is_free
from schemas.times import iso
from tests.cluster.running import Running, compare, poisoned, running
from tests.e2e.conftest import POLICY

pytestmark = pytest.mark.cluster

FAULTS = int(os.environ.get("WATCHGATE_FAULTS", "7"))
SEED = int(os.environ.get("WATCHGATE_SEED", "1"))
CHUNK = 250
"""Records between two faults."""


class Faults:
    """What can happen to a running job. `panic`: whether the panic switch is on; the faults that stop the job throw it
    while it is down."""

    def __init__(self, job: Running, folder: Path, options: tuple[str, ...]) -> None:
        self.job = job
        self.folder = folder
        self.options = options
        self.parallelism = 1
        self.panic = False

    def kill_a_taskmanager(self) -> None:
        self.job.flink.taskmanagers[0].kill()
        self.job.flink.start_taskmanager()

    def kill_all_taskmanagers_and_throw_the_switch(self) -> None:
        for taskmanager in self.job.flink.taskmanagers:
            taskmanager.kill()
        self._throw()
        for _ in range(2):
            self.job.flink.start_taskmanager()

    def kill_the_jobmanager(self) -> None:
        assert self.job.flink.jobmanager is not None
        self.job.flink.jobmanager.kill()
        self.job.flink.start_jobmanager()
        self.job.flink.save()

    def kill_the_broker(self) -> None:
        running_one = start_broker(self.job.broker.folder, self.job.jars)
        running_one.kill()
        # On a busy machine that takes a while; and clients that try again may hold the port for a moment themselves.
        deadline = time.monotonic() + 60
        while not (port_is_free(running_one.port) and port_is_free(running_one.controller_port)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert start_broker(self.job.broker.folder, self.job.jars).port == running_one.port

    def stop_and_start_with_another_parallelism(self) -> None:
        self.job.flink.wait_ready(2)
        self.job.wait_checkpoint()
        savepoint = self.job.api.stop(self.job.job, self.folder.as_uri())
        self._throw()
        self.parallelism = 3 - self.parallelism
        self.job.submit("--parallelism", str(self.parallelism), *self.options, savepoint=savepoint)

    def cancel_and_start_from_the_last_checkpoint(self) -> None:
        self.job.flink.wait_ready(2)
        self.job.wait_checkpoint()
        self.job.cancel()
        # Asked when it has ended: the one that was the last before may have given way to a newer one.
        checkpoint = self.job.flink.get(f"/jobs/{self.job.job}/checkpoints")["latest"]["completed"]["external_path"]
        self.job.submit("--parallelism", str(self.parallelism), *self.options, savepoint=checkpoint)

    def _throw(self) -> None:
        self.panic = not self.panic
        self.job.set_mode("*", "shadow" if self.panic else "clear")


def plan(faults: Faults, count: int, rng: random.Random) -> Iterator[Callable[[], None]]:
    """Each once, the change of parallelism there and back, then any."""
    every = [
        faults.kill_a_taskmanager,
        faults.stop_and_start_with_another_parallelism,
        faults.kill_the_broker,
        faults.kill_all_taskmanagers_and_throw_the_switch,
        faults.kill_the_jobmanager,
        faults.stop_and_start_with_another_parallelism,
        faults.cancel_and_start_from_the_last_checkpoint,
    ]
    yield from every[:count]
    for _ in range(count - len(every)):
        yield rng.choice(every)


def test_whatever_is_killed_nothing_is_lost_or_twice_or_different(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    rng = random.Random(SEED)
    records = iter(poisoned(CHUNK * (FAULTS + 2), seed=SEED))
    with running(flink, jars, broker, prefix, policy) as job:
        faults = Faults(job, tmp_path / "savepoints", ())
        job.feed(islice(records, CHUNK))
        job.wait_checkpoint()
        for number, fault in enumerate(plan(faults, FAULTS, rng)):
            job.feed(islice(records, CHUNK // 2))
            time.sleep(rng.random() * 1.5)  # anywhere between two checkpoints
            print(f"{time.strftime('%X')} seed {SEED}, fault {number}: {fault.__name__}", flush=True)
            fault()
            if number == 2:
                # Features, rules and thresholds change while the job goes through its faults.
                changed = POLICY.replace("posts_10m >= 4", "posts_10m >= 6").replace("over: 1h, cap: 8", "over: 2h")
                last = job.records("events")[-1][0]
                job.publish(changed, iso(max(last, int(time.time() * 1000)) + 5_000))
            job.feed(islice(records, CHUNK // 2))
        flink.wait_ready(2)
        job.wait_checkpoint()
        job.feed(records)
        found = compare(job)
        reasons = {rule["shadow_reason"] for d in found.documents["verdicts.shadow"].values() for rule in d["rules"]}
        assert "ceiling" in reasons
