"""`watchgate list` on a job of a cluster: who is on a list, at which event, and still after a stop."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import producer
from integration.kafka.topics import create_topics
from tests.cluster.running import Json, compare, poisoned, running
from tests.e2e.commands import run_command
from tests.e2e.conftest import POLICY

pytestmark = pytest.mark.cluster


def changes(documents: list[Json]) -> Counter[tuple[str, str, str]]:
    """What the statuses about lists say, added up: each subtask tells of its own entities."""
    told: Counter[tuple[str, str, str]] = Counter()
    for document in documents:
        if document["kind"] == "lists_changed":
            for what, number in document["detail"].items():
                told[document["subject"], document["at"], what] += number
    return +told


def test_lists_change_while_the_job_runs_and_while_it_is_down(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    lists = f"kafka://{broker.address}/{prefix}.lists"

    def change(what: str, *arguments: str) -> None:
        done = run_command("list", what, "vip", *arguments, "--lists", lists)
        assert done.status == 0, done.err
        time.sleep(0.7)  # a record counts for what is judged after it was read

    create_topics(broker.address, prefix, partitions=1)
    change("add", "a1", "a2", "a4")  # before there is a job: nothing is judged without it
    records = list(poisoned(1_200))
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2") as job:
        job.feed(records[:300])
        change("add", "a5", "a3")
        change("remove", "a1", "a7")  # a7 stands in the file
        job.feed(records[300:600])
        soon = datetime.now(UTC) + timedelta(seconds=5)  # over when the job runs again
        change("add", "a2", "--until", soon.isoformat())
        with producer(broker.address) as client:
            client.send(f"{prefix}.lists", key=b"vipp/a1", value=b"{}").get(timeout=60)
            client.send(f"{prefix}.lists", key=b"nothing", value=None).get(timeout=60)
        job.feed(records[600:650])
        job.wait_checkpoint()
        savepoint = job.api.stop(job.job, (tmp_path / "savepoints").as_uri())
        change("add", "a6")
        change("remove", "a4", "a3")
        job.submit("--parallelism", "1", savepoint=savepoint)
        job.feed(records[650:])
        found = compare(job)
        assert job.failures() == []
        assert changes(found.status) == changes(job.turned)
        told = Counter(what for _, _, what in changes(found.status).elements())
        assert told == {"added": 7, "removed": 3, "kept": 1}
        refused = {str(d["message"]).partition(": ")[2] for d in found.status if d["kind"] == "list_rejected"}
        assert refused == {
            'the policy has no list "vipp"; did you mean `vip`?',
            "the record's key is not LIST/ENTITY",
        }
