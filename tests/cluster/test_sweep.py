"""A job's state does not grow for ever."""

import time
from pathlib import Path

import orjson
import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import admin_client, producer
from tests.cluster.running import Running, compare, running
from tests.e2e.conftest import post

pytestmark = pytest.mark.cluster

DAY = 86_400_000
POLICY = """
policy: short
events: {post: {when: {/kind: post}, id: /id, time: {path: /at, unit: ms}, fields: {account: string}}}
entities: {account: account}
features: {posts_10m: {count: post, by: account, over: 10m}}
rules: {burst: {when: posts_10m >= 2, action: limit, target: account, mode: live, warmup: ignore, cooldown: 2s}}
"""


def send(job: Running, begin: int, count: int, at_ms: int) -> None:
    """Two posts of each of so many accounts, taken in at a time that the test chooses."""
    with producer(job.broker.address) as client:
        for number in range(begin, begin + count):
            for turn in range(2):
                event = post(f"{number}.{turn}.{at_ms}", at_ms, f"a{number}")
                client.send(f"{job.prefix}.events", value=orjson.dumps(event), timestamp_ms=at_ms)


def test_rows_that_read_as_new_are_deleted_and_no_answer_changes(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    policy = tmp_path / "short.yaml"
    policy.write_text(POLICY)
    with running(flink, jars, broker, prefix, policy) as job:
        job.wait_checkpoint()
        # A job refuses such a topic, but nobody wants to wait for days until rows are old.
        with admin_client(broker.address) as admin:
            configs = {"message.timestamp.type": "CreateTime"}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{prefix}.events", configs=configs)])
        now = int(time.time() * 1000)
        send(job, 0, 300, now - 5 * DAY)
        deadline = time.monotonic() + 45
        begin, swept = 300, (0, 0)
        while min(swept) < 300 and time.monotonic() < deadline:
            send(job, begin, 5, now + begin * 1_000)
            begin += 5
            time.sleep(1)
            metrics = job.metrics()
            swept = metrics["kind.account.swept_total"], metrics["kind.cooldowns.swept_total"]
        assert swept[0] == 300 and swept[1] >= 300
        send(job, 0, 10, now + begin * 1_000)  # they come back
        compare(job)
        assert job.failures() == []
