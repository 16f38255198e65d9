"""A job on the cluster of the session: fed through Kafka, read by a read_committed consumer, compared with the embedded
engine over the same records."""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from integration.flink.cluster import Cluster
from integration.flink.rest import FlinkApi
from integration.flink.settings import ClusterError
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import producer, reader
from integration.kafka.topics import create_topics
from jobs.engine import Engine
from jobs.entity_lists import EntityLists, read_lists
from jobs.flink_job.list_feed import read_batch
from jobs.flink_job.programs import Programs
from jobs.label_feed import LabelFeed
from operators.judge import Emit
from operators.members import Members
from operators.store import MemoryState
from tests.e2e.conftest import Json, crowd, spoiled
from tests.records import decoded

ROOT = Path(__file__).parents[2]
DATA = ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow", "deadletter")
PII_KEY = "the same in every run of a test"


@dataclass
class Written:
    """What a read_committed consumer found: documents by id, and how often each id came."""

    documents: dict[str, dict[str, Json]] = field(default_factory=lambda: {topic: {} for topic in DATA})
    times: Counter[str] = field(default_factory=Counter)
    status: list[Json] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.documents.values()))

    @property
    def twice(self) -> list[str]:
        return [ident for ident, times in self.times.items() if times > 1]


@dataclass
class Running:
    """A submitted job and its topics."""

    flink: Cluster
    broker: Broker
    prefix: str
    policy: Path
    timeline: str
    jars: Jars
    job: str = ""
    registry: str | None = None
    turned: list[Json] = field(default_factory=list)
    """What `expected` found of lists that changed."""

    def feed(self, events: Iterable[Json | bytes | None], rate: float | None = None) -> None:
        """Writes records to the events topic, as fast as it goes or so many a second."""
        with producer(self.broker.address, linger_ms=5, max_request_size=12_000_000) as client:
            began = time.monotonic()
            for number, event in enumerate(events):
                if rate is not None:
                    time.sleep(max(0.0, began + number / rate - time.monotonic()))
                value = orjson.dumps(event) if isinstance(event, dict) else event
                client.send(f"{self.prefix}.events", key=None if value else b"tombstone", value=value)

    def set_mode(self, rule: str, mode: str, effective_at: str | None = None) -> None:
        """A mode record on the config topic."""
        value = {"ceiling": mode} if rule == "*" else {"mode": mode}
        self.configure(
            {"key": f"mode/{rule}", "value": value, "effective_at": effective_at, "by": "t", "reason": "test"}
        )

    def configure(self, record: Json | bytes | None) -> None:
        """A record on the config topic, as it is."""
        value = orjson.dumps(record) if isinstance(record, dict) else record
        with producer(self.broker.address) as client:
            client.send(f"{self.prefix}.config", key=b"a key", value=value, partition=0).get(timeout=60)

    def records(self, topic: str) -> list[tuple[int, bytes]]:
        """(append time, value) of partition 0 of a topic."""
        return [(record.timestamp, record.value or b"") for record in read_all(self.broker, [f"{self.prefix}.{topic}"])]

    def expected(self, emit: Emit = "hits") -> dict[str, dict[str, Json]]:
        """What the embedded engine makes of the records that are in the topics: of one partition each, and labels that are
        all good and one known at each time."""
        programs = Programs(self.policy.read_text(), str(self.policy), self.registry)
        program, policies = programs.base, programs.policies
        state = MemoryState()
        engine = Engine(
            program,
            state,
            policies.of_document,
            timeline_id=self.timeline,
            pii_key=PII_KEY.encode(),
            emit=emit,
            scorers=policies.scorers,
            choose=policies.choose,
        )
        lists, members = EntityLists(program, state, read_lists(program, self.policy.parent)), Members()
        lists.load(engine)
        listed = read_all(self.broker, [f"{self.prefix}.lists"])
        for each in read_batch(program, ((r.key, r.value, 0, r.offset, r.timestamp) for r in listed)).records:
            entry = each.entry
            members.offer(each.appended_ms, entry.list, entry.key, entry.until_ms, entry.on)
        engine.follow_members(members, lists.holds)
        if program.labels:
            known = sorted(
                (value for _, value in self.records("labels")), key=lambda v: str(orjson.loads(v)["known_at"])
            )
            file = self.policy.with_name(f"{self.prefix}.jsonl")
            file.write_bytes(b"\n".join(known))
            engine.labels = LabelFeed(str(file), program, None, None)
        for at, record in self.records("config")[1:]:
            engine.timeline.offer(record, at)
        topic = f"{self.prefix}.events"
        records = [(record.timestamp, record.value) for record in read_all(self.broker, [topic])]
        found, values, broken = decoded(records, topic, program.policy)
        outcome = engine.process(found, np.empty(0, np.int64), values.__getitem__, broken)
        self.turned = [d for d in outcome.documents.get("status", []) if d["kind"] == "lists_changed"]
        return {topic: {str(d["ce_id"]): d for d in outcome.documents.get(topic, [])} for topic in DATA}

    def written(self, count: int, seconds: float = 90) -> Written:
        """What is committed when there are at least `count` documents, and a little later, so that what is too much
        is seen as well. Or what there is when none has come for so many seconds."""
        found = Written()
        last = time.monotonic()
        names = {f"{self.prefix}.{topic}": topic for topic in (*DATA, "status")}

        def enough() -> bool:
            return found.count >= count or time.monotonic() > last + seconds

        for record in tail(self.broker, list(names), enough):
            last = time.monotonic()
            topic, document = names[record.topic], orjson.loads(record.value)
            if topic == "status":
                found.status.append(document)
                continue
            ident = dict(record.headers)["ce_id"].decode()
            assert document["ce_id"] == ident
            found.times[ident] += 1
            found.documents[topic][ident] = document
        return found

    def statuses(self, kind: str, of: int, seconds: float = 120, each: int = 1) -> list[Json]:
        """Status records of a kind, as soon as all of `of` subtasks have written `each` of them."""
        found: list[Json] = []
        deadline = time.monotonic() + seconds

        def told_by_all() -> bool:
            told = Counter(d["subtask"] for d in found)
            return len(told) >= of and min(told.values()) >= each

        def enough() -> bool:
            return told_by_all() or time.monotonic() > deadline

        for record in tail(self.broker, [f"{self.prefix}.status"], enough, quiet=1):
            document = orjson.loads(record.value)
            if document["kind"] == kind:
                found.append(document)
        assert told_by_all(), f"{kind} of {of} subtasks, {each} each: {len(found)} found; {self.situation()}"
        return found

    @property
    def api(self) -> FlinkApi:
        return FlinkApi(self.flink.address)

    def wait_checkpoint(self, seconds: float = 120) -> None:
        """Returns after two more checkpoints: the second one holds all that is there now."""
        deadline = time.monotonic() + seconds
        before: int | None = None
        while True:
            try:
                done = self.api.completed_checkpoints(self.job)
                before = done if before is None else min(before, done)  # a new JobManager counts anew
                if done >= before + 2:
                    return
            except ClusterError:
                pass  # a JobManager on its way up
            assert time.monotonic() < deadline, self.failures()
            time.sleep(0.2)

    def wait_running(self, seconds: float = 300) -> None:
        """Returns when all tasks run: on a busy machine the first job of a new TaskManager takes more than a minute for
        that, which is not to be taken from what a test waits for later."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if all(v["status"] == "RUNNING" for v in self.flink.get(f"/jobs/{self.job}")["vertices"]):
                    return
            except ClusterError:
                pass  # a JobManager that has no time to answer
            assert time.monotonic() < deadline, self.situation()
            time.sleep(0.2)

    def situation(self) -> str:
        """Where the job and its cluster stand, for the message of an assertion."""
        job, overview = self.flink.get(f"/jobs/{self.job}"), self.flink.get("/overview")
        tasks = {v["name"][:40]: v["status"] for v in job["vertices"]}
        alive = [process.alive for process in self.flink.taskmanagers]
        there = f"{overview['taskmanagers']} TaskManagers ({alive}), {overview['slots-available']} slots free"
        done = self.flink.get(f"/jobs/{self.job}/checkpoints")["counts"]
        return f"job {job['state']}, {tasks}; {there}; checkpoints {done}; failures {self.failures()}"

    def submit(self, *options: str, savepoint: str | None = None) -> None:
        """Starts the job."""
        settings = ["-s", savepoint] if savepoint else []
        done = submission(self.flink, self.broker, self.prefix, self.policy, *options, settings=settings)
        found = re.search(r"JobID (\w{32})", done.stdout)
        assert found, done.stdout[-3000:] + done.stderr[-3000:]
        self.job = found[1]

    def metrics(self) -> Counter[str]:
        """The job's own metrics, added up over operators and subtasks."""
        found: Counter[str] = Counter()
        vertices = self.flink.get(f"/jobs/{self.job}")["vertices"]
        for vertex in vertices:
            base = f"/jobs/{self.job}/vertices/{vertex['id']}/subtasks/metrics"
            names = [m["id"] for m in self.flink.get_list(base) if ".watchgate." in m["id"]]
            for start in range(0, len(names), 20):
                for metric in self.flink.get_list(f"{base}?get={','.join(names[start : start + 20])}"):
                    found[metric["id"].partition(".watchgate.")[2]] += int(float(metric.get("sum", 0)))
        return found

    def cancel(self) -> None:
        """Ends the job as it is."""
        FlinkApi(self.flink.address).cancel(self.job)

    def publish(self, policy: str, effective_at: str) -> None:
        """A policy record on the config topic."""
        document = Programs(policy, "shop", None).base.policy.model_dump(mode="json", exclude_defaults=True)
        self.configure({"key": "policy", "value": document, "effective_at": effective_at, "by": "t", "reason": "test"})

    def failures(self) -> list[str]:
        """Why the job has failed, the last time first."""
        entries = self.flink.get(f"/jobs/{self.job}/exceptions")["exceptionHistory"]["entries"]
        return [entry["stacktrace"][-3000:] for entry in entries]


def poisoned(count: int, seed: int = 1) -> Iterator[Json | bytes | None]:
    """A crowd with late, repeated and broken records, and some that no decoder should ever meet as a whole."""
    for number, record in enumerate(spoiled(crowd(count, seed))):
        yield record
        if number % 100 == 7:
            yield from (
                None,
                b"\xff\x00\xfe",
                b"[" * 900,
                b"[1, 2]",
                orjson.dumps({"text": "x" * 90_000}),
                b"\x80" * 70_000,
            )


def compare(job: Running, emit: Emit = "hits") -> Written:
    """Asserts that the job has written what the embedded engine would have, nothing less, more, twice or different."""
    expected = job.expected(emit)
    found = job.written(sum(map(len, expected.values())), seconds=150)
    for topic, wanted in expected.items():
        missing, surplus = wanted.keys() - found.documents[topic], found.documents[topic].keys() - wanted
        assert not missing and not surplus, (
            f"{topic}: {len(missing)} of {len(wanted)} are missing, {len(surplus)} too much, first {[*missing, *surplus][:2]}; "
            f"{ {name: (len(documents), len(expected[name])) for name, documents in found.documents.items()} } (found, expected); "
            f"{Counter(r['shadow_reason'] for d in found.documents['verdicts.shadow'].values() for r in d['rules'])}; "
            f"status {Counter((d['kind'], d['message']) for d in found.status)}; {job.situation()}"
        )
        different = [i for i, document in wanted.items() if document != found.documents[topic][i]]
        assert not different, (wanted[different[0]], found.documents[topic][different[0]])
    assert found.twice == []
    return found


def submission(
    flink: Cluster, broker: Broker, prefix: str, policy: Path, *options: str, settings: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """`flink run` with the job's script."""
    command = [str(flink.flink), "run", "-d", "-m", flink.address, *settings, "-py", str(ROOT / "jobs" / "flink.py")]
    command += ["--policy", str(policy), "--kafka", broker.address, "--prefix", prefix]
    command += ["--name", prefix, "--checkpoint-interval", "1s", *options]
    environment = flink.environment | {"WATCHGATE_PII_KEY": PII_KEY}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)


@contextmanager
def running(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path, *options: str, partitions: int = 1
) -> Iterator[Running]:
    """A job on new topics, cancelled at the end."""
    forget_dead(flink)
    timeline = create_topics(broker.address, prefix, partitions=partitions).timeline
    made = Running(flink, broker, prefix, policy, timeline, jars)
    made.submit(*options)
    try:
        made.wait_running()
        yield made
    finally:
        made.cancel()


def forget_dead(flink: Cluster) -> None:
    """Waits until the cluster has noticed which TaskManagers earlier tests ended: a job sent to one would start twice.
    Raises ClusterError, with the ends of the logs, when one has ended by itself."""
    flink.wait_ready(len(flink.taskmanagers), seconds=60)


def read_all(broker: Broker, topics: list[str]) -> list[Any]:
    """All committed records of topics up to where they end now."""
    from kafka import TopicPartition

    with reader(broker.address) as consumer:
        partitions = [TopicPartition(t, n) for t in topics for n in sorted(consumer.partitions_for_topic(t) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=300).values():
                found += records
        return found


def tail(broker: Broker, topics: list[str], enough: Any, quiet: int = 5) -> Iterator[Any]:
    """Committed records as they come, until `enough()` and then `quiet` polls of half a second brought nothing."""
    from kafka import TopicPartition

    with reader(broker.address) as consumer:
        partitions = [TopicPartition(t, n) for t in topics for n in sorted(consumer.partitions_for_topic(t) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        silent = 0
        while silent < quiet:
            batches = consumer.poll(timeout_ms=500)
            for records in batches.values():
                yield from records
            silent = silent + 1 if not batches and enough() else 0


def overview(flink: Cluster) -> str:
    """The jobs of the cluster, for the message of an assertion."""
    return json.dumps(flink.get("/jobs/overview"))
