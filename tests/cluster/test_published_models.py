"""`models publish` on a real broker: the embedded job that follows the log changes over, event by event, and back."""

import time
from pathlib import Path

import orjson
import pytest

from integration.kafka.broker import Broker
from jobs.policies import Policies
from tests.cluster import embedded_world as world
from tests.cluster.test_commands_on_config import running, until
from tests.e2e.commands import Done, run_command
from tests.models.builders import logistic, put

pytestmark = pytest.mark.cluster

POLICY = """
policy: shop
events:
  pay: {id: /id, time: {path: /at, unit: ms}, fields: {account: string, amount: float}}
entities: {account: account}
models:
  risk: {version: 1}
rules:
  risky: {when: risk >= 0.5, action: review, target: account, mode: live}
"""


def test_versions_change_while_the_job_runs(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, config = broker.address, f"kafka://{broker.address}/{prefix}.config"
    world.make_topics(kafka, prefix)
    (tmp_path / "policy.yaml").write_text(POLICY)
    registry = tmp_path / "models"
    for bias in (-4.0, -2.0, 0.0):  # of 300: 0.27, 0.73, 0.95
        put(registry, logistic([0.01], bias), "risk", ["amount"])
    (registry / "risk" / "3" / "model.onnx").write_bytes(logistic([0.01], 1.0))

    def publish(version: int, *more: str) -> Done:
        say = ("--config", config, "--by", "ann", "--reason", "test", "--registry", str(registry))
        return run_command("models", "publish", f"risk@{version}", *say, *more)

    def send(first: int, count: int = 5) -> None:
        """Payments of 300, and waits until they are judged."""
        values = [
            {"id": f"e{n}", "at": int(time.time() * 1000), "account": f"u{n}", "amount": 300.0}
            for n in range(first, first + count)
        ]
        world.send(kafka, f"{prefix}.events", map(orjson.dumps, values))
        until(lambda: len(world.committed(kafka, f"{prefix}.verdicts")) >= first + count)

    policies = Policies.over(registry)
    program = policies.load(tmp_path / "policy.yaml")
    policies.require(program)
    more = {"program": program, "compile_policy": policies.of_document, "choose": policies.choose, "emit": "all"}
    with running(
        world.plan(kafka, tmp_path, prefix, prefix, "state", checkpoint_ms=100, scorers=policies.scorers, **more)
    ):
        send(0)
        done = publish(2, "--wait")
        assert done.status == 0, done.err
        assert f"risk@2 is the challenger from where a job reads the record; recorded in {config}" in done.out
        send(5)
        done = publish(2, "--mode", "live", "--in", "1s", "--wait")
        assert done.status == 0, done.err
        assert "risk@2 is in force from 20" in done.out
        for number in range(10, 30):
            send(number, 1)
        done = publish(3, "--mode", "live")
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith("error: risk@3 is refused and was not published: ")
        # Somebody writes the record by hand.
        record = world.config_record("model/risk", {"version": 3, "mode": "live"})
        world.send(kafka, f"{prefix}.config", [record])
        send(30)
        until(lambda: "model_refused" in world.kinds(world.outputs(kafka, prefix)["status"]))
        done = publish(1, "--mode", "live", "--wait")
        assert done.status == 0, done.err
        send(35)

    found = world.outputs(kafka, prefix)
    verdicts = {d["event_id"]: d for _, d in found["verdicts"]}
    assert (
        sorted(verdicts, key=lambda name: int(name[1:])) == [f"e{n}" for n in range(40)]
        and len(found["verdicts"]) == 40
    )
    moments = [
        d["detail"]["in_force_at"]
        for _, d in found["status"]
        if d["subject"] == "model/risk" and d["kind"] == "config_applied"
    ]
    moment = moments[1]  # behind the challenger's
    for number in range(40):
        verdict = verdicts[f"e{number}"]
        swapped = 10 <= number < 35 and (number >= 30 or verdict["ingest_time"] >= moment)
        value, version = (0.731059, 2) if swapped else (0.268941, 1)
        score = verdict["scores"]["risk"]
        assert (score["value"], score["version"], len(verdict["rules"])) == (value, version, int(swapped)), number
    beside = [d for _, d in found["verdicts.shadow"]]
    assert {r["shadow_reason"] for d in beside for r in d["rules"]} == {"challenger"}
    assert {d["event_id"] for d in beside} >= {f"e{n}" for n in range(5, 10)}
    assert all(d["scores"]["risk@2"]["version"] == 2 for d in beside)
