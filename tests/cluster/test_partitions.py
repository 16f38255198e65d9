"""Several partitions, several subtasks: the order between partitions is that of arrival, so what must hold is that every
event is judged once and every count is right."""

import random
from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from integration.flink.cluster import Cluster
from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import producer
from tests.cluster.running import running

pytestmark = pytest.mark.cluster

POLICY = """
policy: counts
events: {click: {id: /id, time: {path: /at, unit: ms}, fields: {account: string, amount: {type: decimal, scale: 2}}}}
entities: {account: account}
features:
  clicks: {count: click, by: account, over: 30d}
  spent: {sum: amount, by: account, over: 30d, scale: 2}
rules:
  any: {when: "clicks >= 1 AND spent > 0", action: note, target: account, cooldown: 1h}
"""
EVENTS = 6_000


def test_every_event_is_judged_once_and_every_count_is_right(
    flink: Cluster, jars: Jars, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    policy = tmp_path / "counts.yaml"
    policy.write_text(POLICY)
    rng = random.Random(3)
    amounts = [rng.randrange(1, 10_000) for _ in range(EVENTS)]
    events = [
        {"id": f"e{n}", "at": 1_740_960_000_000 + n, "account": f"a{min(rng.randrange(90), rng.randrange(90))}"}
        for n in range(EVENTS)
    ]
    with running(flink, jars, broker, prefix, policy, "--parallelism", "2", partitions=5) as job:
        with producer(broker.address, linger_ms=5) as client:
            for event, amount in zip(events, amounts, strict=True):
                value = orjson.dumps(event | {"amount": amount / 100})
                for _ in range(2 if rng.random() < 0.1 else 1):  # a retry may even come by another partition
                    client.send(f"{prefix}.events", value=value, partition=rng.randrange(5))
        found = job.written(EVENTS, seconds=120)
        assert job.failures() == []
    verdicts = list(found.documents["verdicts.shadow"].values())
    assert found.twice == []
    assert sorted(d["event_id"] for d in verdicts) == sorted(str(event["id"]) for event in events)
    seen: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for d in verdicts:
        account = d["rules"][0]["target"]["key"]
        seen[account].append((int(d["features"]["clicks"]["value"]), d["features"]["spent"]["value"]))
    spent: dict[str, int] = defaultdict(int)
    for event, amount in zip(events, amounts, strict=True):
        spent[str(event["account"])] += amount
    for account, counts in seen.items():
        counts.sort()
        assert [count for count, _ in counts] == list(range(1, len(counts) + 1)), account
        assert counts[-1][1] == spent[account] / 100
