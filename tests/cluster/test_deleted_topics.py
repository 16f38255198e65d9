"""A topic that is deleted under a running job: `watchgate jobs` and `watchgate doctor` say which, and nothing is passed over
in silence when it is there again."""

import re
import time
from itertools import islice
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import admin_client
from integration.kafka.topics import create_topics
from tests.cluster.running import Running, compare, poisoned, running
from tests.cluster.test_submit import watchgate
from tests.e2e.conftest import POLICY, crowd

pytestmark = pytest.mark.cluster


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    path = tmp_path / "shop.yaml"
    path.write_text(POLICY)
    return path


def delete(job: Running, topic: str) -> None:
    with admin_client(job.broker.address) as admin:
        admin.delete_topics([f"{job.prefix}.{topic}"])
        while f"{job.prefix}.{topic}" in admin.list_topics():
            time.sleep(0.1)


def until_it_fails(job: Running, text: str) -> None:
    deadline = time.monotonic() + 120
    while not (failure := job.api.failure(job.job)) or text not in failure.why:
        assert time.monotonic() < deadline, failure
        time.sleep(0.5)


def test_a_deleted_events_topic_is_named_and_a_new_one_of_its_name_is_not_taken_for_it(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    with running(flink, jars, broker, prefix, policy) as job:
        job.feed(crowd(200))
        job.wait_checkpoint()
        delete(job, "events")
        until_it_fails(job, f"{prefix}.events")
        _, out, _ = watchgate("jobs", "--jobmanager", flink.address)
        said = (f"not all of these topics are there: {prefix}.events. `watchgate doctor", f"{prefix}.events (repair: ")
        failed = re.search(r"^    last failure, 20\d\d-[\d-]+T[\d:]+\+00:00: (.*)$", out, re.M)
        assert failed and any(text in failed[1] for text in said), out
        status, out, _ = watchgate("doctor", "--kafka", broker.address, "--prefix", prefix)
        assert status == 1 and f"fail  not there: {prefix}.events\n" in out
        create_topics(broker.address, prefix, partitions=1)
        job.feed(crowd(300, first=200))
        # Going on at the old offset would pass over the first 200.
        until_it_fails(job, f"the events topic {prefix}.events was deleted and made again since")


def test_a_job_names_a_deleted_topic_of_its_output_and_goes_on_when_it_is_there_again(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, policy: Path
) -> None:
    with running(flink, jars, broker, prefix, policy) as job:
        job.feed(crowd(200))
        job.wait_checkpoint()
        delete(job, "deadletter")
        for taskmanager in flink.taskmanagers:
            taskmanager.kill()
        for _ in range(2):
            flink.start_taskmanager()
        until_it_fails(job, f"{prefix}.deadletter")
        _, out, _ = watchgate("doctor", "--kafka", broker.address, "--prefix", prefix)
        assert f"fail  not there: {prefix}.deadletter\n      -> watchgate topics create --kafka {broker.address}" in out
        job.feed(islice(poisoned(300, seed=3), 300))
        create_topics(broker.address, prefix, partitions=1)
        compare(job)
