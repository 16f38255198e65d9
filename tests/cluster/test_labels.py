"""Labels on a job of a cluster: the features of the embedded engine, whatever became of the job in between."""

import random
import time
from pathlib import Path

import orjson
import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import producer
from schemas.times import iso
from tests.cluster.running import Json, Running, compare, running

pytestmark = pytest.mark.cluster

POLICY = """policy: shop
events:
  pay: {id: /id, time: {path: /at, unit: ms}, fields: {account: string, shop: string, amount: float}}
entities: {account: account, pair: {key: [account, shop]}}
features:
  pays_2h: {count: pay, by: account, over: 2h}
  bad_2h:  {sum: label.fraud, by: account, over: 2h, panes: 4}
  risk_1h: {mean: label.fraud, by: account, over: 1h, delay: 10m}
  lost_2h: {sum: label.fraud, by: pair, over: 2h}
rules:
  all: {when: "bad_2h >= 0 OR risk_1h >= 0 OR lost_2h > 0 OR pays_2h > 0", action: note, target: account, warmup: ignore}
"""


def pays(begin: int, count: int) -> list[Json]:
    """Payments of the last hour."""
    draw, now = random.Random(begin), int(time.time() * 1000)
    return [
        {"id": f"e{n}", "at": now - draw.randrange(3_600_000), "account": f"a{n % 9}", "shop": f"s{n % 4}", "amount": 1}
        for n in range(begin, begin + count)
    ]


class Desk:
    """Writes labels to a topic, each known at a time of its own: what is known at one time has no order."""

    def __init__(self, job: Running) -> None:
        self.job = job
        self.last = 0

    def write(self, events: list[Json], value: object, ahead_ms: int = 0) -> None:
        with producer(self.job.broker.address) as client:
            for event in events:
                known = self.last = max(self.last + 1, int(time.time() * 1000) + ahead_ms)
                keys = {"account": event["account"], "pair": [event["account"], event["shop"]]}
                label = {"event_id": event["id"], "name": "fraud", "value": value, "event_time": iso(event["at"])}
                record = orjson.dumps(label | {"known_at": iso(known), "keys": keys})
                client.send(f"{self.job.prefix}.labels", key=str(event["id"]).encode(), value=record)


def test_features_over_labels_are_those_of_the_embedded_engine(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2", "--emit", "all") as job:
        events = pays(0, 200)
        job.feed(events)
        assert job.written(600).count == 600  # a verdict, one in shadow and its enforcement each
        desk = Desk(job)
        desk.write(events[:90], True)
        desk.write(events[20:60], False)
        desk.write(events[20:50], False)  # again
        desk.write(events[:10], None)
        job.wait_checkpoint()  # they wait for the next event
        savepoint = job.api.stop(job.job, (tmp_path / "savepoints").as_uri())
        job.submit("--parallelism", "1", "--emit", "all", savepoint=savepoint)
        desk.write(events[50:60], True)
        desk.write(events[100:130], True, ahead_ms=5_000)  # known in a while
        job.wait_checkpoint()
        job.feed(pays(200, 280), rate=40)
        found = compare(job, emit="all")
        seen = [verdict["features"]["bad_2h"]["value"] for verdict in found.documents["verdicts.shadow"].values()]
        assert len(set(seen)) > 8, seen
        with producer(broker.address) as client:
            client.send(f"{prefix}.labels", value=b"{}").get(timeout=60)
        (letter,) = job.written(found.count + 1).documents["deadletter"].values()
        assert (letter["stage"], letter["source"]["name"]) == ("labels", f"{prefix}.labels"), letter
        assert job.failures() == []
