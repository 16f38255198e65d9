"""The cluster runtime on a real broker and cluster: the same answers as the embedded engine, exactly once."""

import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import admin_client
from schemas.times import iso, parse_iso
from tests.cluster.running import DATA, ROOT, Running, Written, compare, poisoned, running
from tests.e2e.conftest import POLICY, post, start

pytestmark = pytest.mark.cluster


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    path = tmp_path / "shop.yaml"
    path.write_text(POLICY)
    return path


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
        assert job.failures() == []
        started = subprocess.run(["ps", "-eo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
        parents = {str(process.pid) for process in flink.taskmanagers}
        assert not [
            line[:300] for line in started.splitlines() if line.split()[0] in parents and "PythonGateway" in line
        ]


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
        if parallelism == 2:
            metered(job, found)


STAGES = {"decode", "stamp", "repeats", "observe", "judge", "act", "sweep"}


def stages_of(metrics: Counter[str]) -> set[str]:
    """The stages that have reported how long they took."""
    return {name.split(".")[1] for name, n in metrics.items() if name.endswith("stage_microseconds_total") and n}


def metered(job: Running, found: Written) -> None:
    """Asserts that the job's metrics say what it wrote."""
    judged, deadline = len(found.documents["verdicts"]), time.monotonic() + 20
    # Each stage reports in its own rhythm, the one in a process of its own last.
    while (
        (metrics := job.metrics())["events_total"] < judged or stages_of(metrics) != STAGES
    ) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert metrics["events_total"] == judged
    dead = Counter(f"reason.{d['reason']}.dead_letters_total" for d in found.documents["deadletter"].values())
    assert dead == {name: n for name, n in metrics.items() if name.endswith("dead_letters_total")}
    actions = Counter(
        f"rule.{d['rule']}.mode.{d['mode']}.actions_total"
        for topic in ("enforcement", "enforcement.shadow")
        for d in found.documents[topic].values()
    )
    assert actions == {name: n for name, n in metrics.items() if name.endswith("actions_total")}
    hits = Counter(
        f"rule.{rule['rule']}.mode.{mode}.hits_total"
        for topic, mode in (("verdicts", "live"), ("verdicts.shadow", "shadow"))
        for d in found.documents[topic].values()
        for rule in d["rules"]
    )
    assert hits == {name: n for name, n in metrics.items() if name.endswith("hits_total")}
    assert stages_of(metrics) == STAGES
    assert metrics["kind.account.cached_rows"] > 100


def test_a_mode_that_is_set_in_mid_stream_holds_from_its_time_on_for_every_event(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        posts = [post(f"m{n}", 1_740_960_000_000 + n, f"a{n % 700}", text=f"n{n}") for n in range(14_000)]
        job.set_mode("burst", "shadow")
        job.feed(posts[:20])
        job.wait_checkpoint()
        began = int(time.time() * 1000)
        changes = [began + 2_500, began + 4_500]
        job.set_mode("burst", "live", iso(changes[0]))
        job.set_mode("burst", "shadow", iso(changes[1]))
        job.feed(posts[20:], rate=2_000)
        found = compare(job)
        counts = Counter()
        for topic, mode in (("verdicts", "live"), ("verdicts.shadow", "shadow")):
            for document in found.documents[topic].values():
                if any(rule["rule"] == "burst" for rule in document["rules"]):
                    at = parse_iso(document["ingest_time"])
                    assert (changes[0] <= at < changes[1]) == (mode == "live"), document
                    counts[mode] += 1
        assert counts["live"] > 1_000 and counts["shadow"] > 1_000
        # Every subtask has acknowledged every record.
        applied = Counter((d["subtask"], d["of"]) for d in job.statuses("config_applied", of=2))
        assert applied == {(0, 2): 3, (1, 2): 3}


def test_config_records_that_cannot_be_used_are_refused_by_every_subtask_and_change_nothing(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    """And records that no producer should send: a tombstone, bytes that are no text, one of 10 MB."""
    with admin_client(broker.address) as admin:
        configs = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "12000000"}
        admin.create_topics({f"{prefix}.events": {"num_partitions": 1, "replication_factor": 1, "configs": configs}})
    other = {"policy": "shop", "events": {}, "rules": {}}
    later = {"by": "t", "reason": "test"}
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        job.configure(b"\xff not json")
        job.configure({"key": "policy", "value": other, **later})
        job.configure({"key": "model/fraud", "value": {"version": 9, "mode": "live"}, **later})
        job.configure({"key": "mode/brust", "value": {"mode": "off"}, **later})
        job.configure({"key": "mode/burst", "value": {"mode": "shadow", "digest": "0123456789abcdef"}, **later})
        job.configure(None)
        job.configure({"key": "policy", "value": {"policy": "shop", "format": 9}, **later})
        refused = job.statuses("config_rejected", of=2, each=6)
        messages = {(d["subtask"], d["message"].split(":")[0]) for d in refused}
        names = ("record 1", "policy", "model/fraud", "mode/brust", "record 6")
        assert messages == {(subtask, f"{name} was rejected") for subtask in (0, 1) for name in names}
        assert any("format" in d["message"] for d in refused)
        assert any("did you mean burst?" in d["message"] for d in refused)
        job.feed([*poisoned(100), b"\x00" * 10_000_000, b'{"kind": "post", "id": "' + b"x" * 9_000_000 + b'"}', None])
        # A person waits until both subtasks have said that they took it.
        config = f"kafka://{broker.address}/{prefix}.config"
        switch = start("mode", "set", "*", "shadow", "--config", config, "--by", "t", "--reason", "t", "--wait")
        out, err = switch.communicate(timeout=60)
        assert (switch.returncode, b"the panic switch is on" in out) == (0, True), (out, err)
        job.feed(poisoned(300, seed=9))
        found = compare(job)
        large = [d for d in found.documents["deadletter"].values() if d["length"] > 5_000_000]
        assert {d["reason"] for d in large} == {"too_large"} and len(large) == 2
        assert all(len(d["prefix"]) < 700 for d in large)
        assert job.failures() == []
        rules = [rule for d in found.documents["verdicts.shadow"].values() for rule in d["rules"]]
        assert any((rule["rule"], rule["shadow_reason"]) == ("burst", "rule_changed") for rule in rules)
