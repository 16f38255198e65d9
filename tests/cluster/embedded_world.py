"""What the tests of the embedded runtime on Kafka share: a policy, events as they arrive, runs, and what was committed."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from integration.kafka.client import admin_client, producer, reader
from integration.kafka.topics import OUTPUTS, create_topics, topic_name
from jobs.cli.programs import compile_document, load_program
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan, Summary

Json = dict[str, Any]

POLICY = """
policy: shop
events:
  post: {when: {/kind: post}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, text: string, amount: {type: decimal, scale: 2}}}
  vote: {when: {/kind: vote}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, ip: {type: string, pii: hash}}}
repeats: 500
entities: {account: account, ip: ip}
lists: {vip: {of: account, source: vip.txt}}
protect: {account: {list: vip, action: review}}
features:
  posts_1m:  {count: post, by: account, over: 1m}
  spend_10m: {sum: amount, by: account, over: 10m}
  names_10m: {distinct: account, by: ip, over: 10m, cap: 4}
rules:
  burst: {on: post, when: posts_1m >= 4, action: limit, target: account, cooldown: 10ms, max_actions: 40/5m, mode: live, warmup: ignore}
  spend: {on: post, when: spend_10m >= 300, action: review, target: account, cooldown: 1ms, mode: shadow, warmup: ignore}
  crowd: {on: vote, when: "names_10m >= 3 AND NOT in_list(account, 'vip')", action: block, target: ip, mode: live 50%, warmup: ignore}
"""


def write_policy(folder: Path) -> Path:
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "vip.txt").write_text("a1\na7\n")
    return folder / "policy.yaml"


def records(seed: int, count: int, now_ms: int) -> list[bytes]:
    """Posts and votes of the last minutes, with late, broken, repeated and oversized records among them."""
    rng = random.Random(seed)
    found, at = [], now_ms - count * 300
    for number in range(count):
        at += rng.choice((0, 5, 300, 600))
        event: Json = {"id": f"e{number}", "kind": rng.choice(("post", "vote")), "at": at}
        event |= {"account": f"a{rng.randrange(25)}", "ip": f"10.0.0.{rng.randrange(12)}"}
        event |= {"amount": rng.randrange(10_000) / 100, "text": "x" * rng.randrange(40)}
        match rng.randrange(40):
            case 0:
                event["at"] = at - rng.randrange(1_200_000)
            case 1:
                event["account"] = None
            case 2:
                event["amount"] = "not a number"
            case 3:
                event["at"] = at + 10**9
            case 4:
                event["text"] = "y" * 70_000
        record = orjson.dumps(event)
        found.append(record if rng.randrange(60) else record[:20])
        if rng.randrange(60) == 0:
            found.append(record)
    return found


def send(kafka: str, topic: str, values: Iterable[bytes | None], partition: int | None = 0, **settings: Any) -> None:
    with producer(kafka, linger_ms=5, **settings) as client:
        sent = [client.send(topic, key=b"k", value=value, partition=partition) for value in values]
        client.flush()
        for each in sent:
            each.get(timeout=10)


def config_record(key: str, value: Json, **more: Any) -> bytes:
    return orjson.dumps({"key": key, "value": value, "by": "t", "reason": "t", **more})


def make_topics(kafka: str, prefix: str, partitions: int = 1) -> None:
    assert not create_topics(kafka, prefix, partitions=partitions).differences


def make_topic(kafka: str, name: str, partitions: int = 1, **settings: str) -> None:
    configs = {key.replace("_", "."): value for key, value in settings.items()}
    with admin_client(kafka) as admin:
        admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})
        admin.wait_for_topics([name])


def plan(kafka: str, folder: Path, prefix: str, to: str, state: str, **more: Any) -> JobPlan:
    """A run on the topics of `prefix`, with `to` as the prefix of what it writes."""
    settings: Json = {
        "program": load_program(folder / "policy.yaml"),
        "compile_policy": compile_document,
        "source": f"kafka://{kafka}/{prefix}.events",
        "output": f"kafka://{kafka}/{to}",
        "state": folder / state,
        "lists": folder,
        "config": f"kafka://{kafka}/{prefix}.config",
        "checkpoint_ms": 0,
        "batch_size": 97,
        "pii_key": b"the same in every run",
    }
    return JobPlan(**settings | more)


def ends(kafka: str, topic: str) -> dict[int, int]:
    """By partition: the offset behind the last committed record."""
    with reader(kafka) as client:
        from kafka import TopicPartition

        partitions = [TopicPartition(topic, n) for n in client.partitions_for_topic(topic)]
        return {partition.partition: end for partition, end in client.end_offsets(partitions).items()}


def until_read(job: EmbeddedJob, wanted: dict[int, int], seconds: float = 60) -> Callable[[], bool]:
    """Stops a run when it has read so far; fails when that takes too long."""
    deadline = time.monotonic() + seconds

    def stop() -> bool:
        assert time.monotonic() < deadline, f"read up to {job.topic and job.topic.offsets}, wanted {wanted}"
        assert job.topic is not None
        return all(job.topic.offsets.get(n, 0) >= end for n, end in wanted.items())

    return stop


def run_to_end(job_plan: JobPlan, kafka: str, topic: str) -> Summary:
    """Runs until everything that is in the topic now was read."""
    wanted = ends(kafka, topic)
    job = EmbeddedJob(job_plan)
    try:
        return job.run(until_read(job, wanted))
    finally:
        job.close()


def committed(kafka: str, topic: str) -> list[Any]:
    """Every committed record of a topic, by partition and offset."""
    from kafka import TopicPartition

    found = []
    with reader(kafka, max_partition_fetch_bytes=8 << 20) as client:
        partitions = [TopicPartition(topic, n) for n in sorted(client.partitions_for_topic(topic))]
        client.assign(partitions)
        client.seek_to_beginning(*partitions)
        wanted = client.end_offsets(partitions)
        deadline = time.monotonic() + 30
        while any(client.position(partition) < end for partition, end in wanted.items()):
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            for polled in client.poll(timeout_ms=500).values():
                found += polled
    return sorted(found, key=lambda record: (record.partition, record.offset))


def outputs(kafka: str, prefix: str) -> dict[str, list[tuple[bytes, Json]]]:
    """Key and document of every committed record, by topic without prefix."""
    return {
        spec.name: [(r.key, orjson.loads(r.value)) for r in committed(kafka, topic_name(prefix, spec.name))]
        for spec in OUTPUTS
    }


def kinds(found: Sequence[tuple[bytes, Json]]) -> list[str]:
    return [document["kind"] for _, document in found]
