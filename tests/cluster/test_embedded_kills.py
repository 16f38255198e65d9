"""The embedded runtime on Kafka, killed at every step of its protocol: a consumer of committed records finds nothing
lost, doubled or wrong, against a run that was never killed."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from integration.kafka.broker import Broker
from integration.kafka.client import producer
from jobs.job_plan import JobPlan
from schemas.times import iso
from tests.cluster import embedded_world as world
from tests.cluster.victim import STEPS, run

pytestmark = pytest.mark.cluster

KILLS = int(os.environ.get("WATCHGATE_KILLS", "20"))
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.cluster.victim"])


def _run(plan: JobPlan, wanted: dict[int, int], step: str, count: int) -> int:
    """The exit code of a process of its own."""
    folder, kafka = plan.state.parent, plan.source.removeprefix("kafka://").partition("/")[0]
    prefix, output = plan.source.rpartition("/")[2].removesuffix(".events"), plan.output.rpartition("/")[2]
    arguments = (folder, kafka, prefix, output, plan.state.name, wanted, step, count)
    process = _processes.Process(target=_child, args=arguments)
    process.start()
    process.join(90)
    assert process.exitcode in (0, -signal.SIGKILL), f"the run ended with {process.exitcode}: see its error above"
    return process.exitcode


def _child(
    folder: Path, kafka: str, prefix: str, output: str, state: str, wanted: dict[int, int], step: str, count: int
) -> None:
    members = f"kafka://{kafka}/{prefix}.lists"
    run(world.plan(kafka, folder, prefix, output, state, members=members), wanted, step, count)


def test_kills_change_nothing(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    for name in (prefix, f"{prefix}.whole"):
        world.make_topics(kafka, name)
    world.write_policy(tmp_path)
    sent = world.records(1, 2_000, int(time.time() * 1000))
    world.send(kafka, events, sent[:700])
    world.send(kafka, f"{prefix}.config", [world.config_record("mode/spend", {"mode": "live"})])
    # a3 to a5 are on a list for the rest of the stream, a6 for a moment of it.
    soon = iso(int(time.time() * 1000) + 1_000)
    with producer(kafka) as client:
        for account, value in (("a3", b"{}"), ("a4", b"{}"), ("a5", b"{}"), ("a6", b'{"until": "%s"}' % soon.encode())):
            client.send(f"{prefix}.lists", key=f"vip/{account}".encode(), value=value)
    world.send(kafka, events, sent[700:1_400])
    with producer(kafka) as client:
        client.send(f"{prefix}.lists", key=b"vip/a4", value=None)
    time.sleep(1)
    world.send(kafka, f"{prefix}.config", [b"{broken", world.config_record("mode/*", {"ceiling": "shadow"})])
    world.send(kafka, events, sent[1_400:])
    wanted = world.ends(kafka, events)

    whole = world.plan(kafka, tmp_path, prefix, f"{prefix}.whole", "whole", members=f"kafka://{kafka}/{prefix}.lists")
    world.run_to_end(whole, kafka, events)
    expected = world.outputs(kafka, f"{prefix}.whole")
    assert world.kinds(expected["status"]).count("lists_changed") >= 2
    assert all(expected.values()), {topic: len(found) for topic, found in expected.items()}
    assert len({document["epoch"] for _, document in expected["verdicts"] + expected["verdicts.shadow"]}) == 3
    reasons = {document["reason"] for _, document in expected["deadletter"]}
    assert {"broken_json", "wrong_type", "future_time", "too_large", "repeated_id"} >= reasons >= {"broken_json"}

    rng, kills, rounds = random.Random(2026), 0, 0
    while kills < KILLS:  # a run that comes to its end on the way gives way to another one
        rounds += 1
        output = f"{prefix}.killed{rounds}"
        world.make_topics(kafka, output)
        killed = world.plan(kafka, tmp_path, prefix, output, f"killed{rounds}")
        while kills < KILLS:
            step = STEPS[kills % len(STEPS)]
            once = step in ("opened", "settled")
            if _run(killed, wanted, step, 1 if once else rng.choice((1, 1, 2, 3))) == 0:
                break
            kills += 1
        assert _run(killed, wanted, "never", 0) == 0
        found = world.outputs(kafka, output)
        for topic, documents in expected.items():
            assert found[topic] == documents, topic
