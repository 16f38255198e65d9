"""The cluster runtime on a real broker and cluster: the same answers as the embedded engine, exactly once."""

import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from operators.judge import Emit
from schemas.cloudevents import iso, parse_iso
from tests.cluster.running import DATA, ROOT, Json, Running, Written, running
from tests.e2e.conftest import POLICY, crowd, post, spoiled

pytestmark = pytest.mark.cluster


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    path = tmp_path / "shop.yaml"
    path.write_text(POLICY)
    return path


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
        assert (len(missing), len(surplus)) == (0, 0), f"{topic}: {len(wanted)} expected, {job.failures()}"
        different = [i for i, document in wanted.items() if document != found.documents[topic][i]]
        assert not different, (wanted[different[0]], found.documents[topic][different[0]])
    assert found.twice == []
    return found


@pytest.mark.parametrize("parallelism", [1, 2])
def test_the_same_answers_as_the_embedded_engine(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path, parallelism: int
) -> None:
    with running(flink, jars, broker, prefix, policy, "--parallelism", str(parallelism)) as job:
        job.feed(poisoned(1_500, seed=parallelism))
        found = compare(job)
        assert all(found.documents[topic] for topic in DATA)
        reasons = {document["reason"] for document in found.documents["deadletter"].values()}
        assert reasons >= {"broken_json", "not_an_object", "too_large", "wrong_type", "future_time", "repeated_id"}
        assert job.restarts() == 0


@pytest.mark.parametrize("parallelism", [1, 2])
def test_real_comments_get_the_same_answers(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, parallelism: int
) -> None:
    example = ROOT / "examples" / "comments"
    policy = example / "policy.yaml"
    with running(flink, jars, broker, prefix, policy, "--parallelism", str(parallelism), "--emit", "all") as job:
        job.feed((example / "comments.jsonl").read_bytes().splitlines())
        found = compare(job, emit="all")
        assert sum(map(len, found.documents.values())) >= 1_587
        assert found.documents["enforcement.shadow"]


def test_a_mode_that_is_set_in_mid_stream_holds_from_its_time_on_for_every_event(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        posts = [post(f"m{n}", 1_740_960_000_000 + n, f"a{n % 7}", text=f"n{n}") for n in range(3_000)]
        job.feed(posts[:20])
        job.wait_checkpoint()
        began = int(job.records("events")[-1][0])
        job.set_mode("burst", "shadow", iso(began + 4_000))
        job.set_mode("nobody", "live")
        job.set_mode("burst", "live", iso(began + 7_000))
        job.feed(posts[20:], rate=350)
        found = compare(job)
        changes = [parse_iso(iso(began + 4_000)), parse_iso(iso(began + 7_000))]
        for topic, mode in (("verdicts", "live"), ("verdicts.shadow", "shadow")):
            for document in found.documents[topic].values():
                if any(rule["rule"] == "burst" for rule in document["rules"]):
                    at = parse_iso(document["ingest_time"])
                    assert (changes[0] <= at < changes[1]) == (mode == "shadow"), document
        kinds = {(d["kind"], d["subtask"], d["of"]) for d in job.statuses("config_rejected", of=2)}
        assert kinds == {("config_rejected", 0, 2), ("config_rejected", 1, 2)}


def test_a_taskmanager_that_is_killed_loses_nothing_and_repeats_nothing(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        records = list(poisoned(2_400, seed=5))
        job.feed(records[:800])
        job.wait_checkpoint()
        job.feed(records[800:1_500])
        flink.taskmanagers[0].kill()
        last = job.records("events")[-1][0]
        job.set_mode("*", "shadow", iso(last + 15_000))  # while the job is down: the job must know it before any event
        job.feed(records[1_500:1_900])
        flink.start_taskmanager()
        flink.wait_ready(2)
        job.feed(records[1_900:2_200])
        time.sleep(max(0.0, (last + 15_500) / 1000 - time.time()))
        job.feed(records[2_200:])
        found = compare(job)
        assert job.restarts() >= 1
        ceiling = [rule for d in found.documents["verdicts.shadow"].values() for rule in d["rules"]]
        assert any(rule["shadow_reason"] == "ceiling" for rule in ceiling)
