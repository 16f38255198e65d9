"""What submit refuses before anything is uploaded, on a real broker and in this order: what is wrong with the job's own
things first, a job that runs already last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.flink.rest import TIMELINE
from integration.kafka.broker import Broker
from integration.kafka.topics import create_topics
from tests.cluster.running import ROOT
from tests.e2e.commands import run_command
from tests.fake_flink import Flink, serving

pytestmark = pytest.mark.cluster

COMMENTS = str(ROOT / "examples" / "comments" / "policy.yaml")
LOGINS = str(ROOT / "examples" / "logins" / "policy.yaml")
JOB = "a" * 32


@pytest.fixture
def flink() -> Iterator[Flink]:
    """A cluster whose only job is called shop."""
    with serving() as server:
        server.slots = 1
        yield server


def submit(flink: Flink, broker: Broker, prefix: str, *more: str, policy: str = COMMENTS) -> str:
    """What submit says, which must refuse."""
    there = ("--kafka", broker.address, "--prefix", prefix, "--jobmanager", flink.address)
    done = run_command("submit", policy, *there, *more)
    assert (done.status, done.out) == (2, "")
    return done.err


def second(name: str) -> str:
    return (
        f"error: job {name} runs already ({JOB}). Stop it with `watchgate stop {name} --savepoint DIR`, or give this one "
        "another --name and --prefix\n"
    )


def test_a_job_that_runs_already_is_said_last(flink: Flink, broker: Broker, prefix: str, tmp_path: Path) -> None:
    here = ("--name", "shop", "--from-savepoint", str(tmp_path), "--registry", str(tmp_path / "nope"))
    assert submit(flink, broker, prefix, *here) == (
        f"error: there is no model registry at {tmp_path}/nope. Train a model into it, or name another with --registry.\n"
    )
    assert submit(flink, broker, prefix, *here[:4]).startswith(
        f"error: there is no savepoint or checkpoint at {tmp_path}: "
    )
    (tmp_path / "_metadata").touch()
    assert submit(flink, broker, prefix, *here[:4]).startswith(
        f"error: topics are not as the job needs them:\n{prefix}.events: it does not exist.\n"
    )
    create_topics(broker.address, prefix)
    assert submit(flink, broker, prefix, *here[:4], "--parallelism", "2") == (
        f"error: a job of --parallelism 2 takes as many slots of the cluster at {flink.address}, and 1 of its 1 slots are "
        f"free: start more TaskManagers, stop another job, or give this one less\n{second('shop')}"
    )
    assert submit(flink, broker, prefix, *here[:4]) == second("shop")
    done = run_command("submit", COMMENTS, "--kafka", "127.0.0.1:1", "--jobmanager", flink.address, "--name", "shop")
    assert done.status == 2 and done.err.startswith("error: Kafka at 127.0.0.1:1 cannot be reached: ")


def test_a_job_of_another_name_on_the_same_topics_is_refused(flink: Flink, broker: Broker, prefix: str) -> None:
    flink.parameters[TIMELINE] = create_topics(broker.address, prefix).timeline
    assert submit(flink, broker, prefix, "--name", "second") == (
        f"error: job shop ({JOB}) runs on the topics of this --prefix already: every verdict would be there twice. Stop it with "
        "`watchgate stop shop --savepoint DIR`, or give this one another --prefix\n"
    )


def test_the_config_topic_of_another_policy_is_refused(flink: Flink, broker: Broker, prefix: str) -> None:
    create_topics(broker.address, prefix)
    config = f"kafka://{broker.address}/{prefix}.config"
    done = run_command("publish", LOGINS, "--config", config, "--by", "t", "--reason", "t", "--yes")
    assert done.status == 0, done.err
    refused = "it is policy comments, and this job runs policy logins: start another job for it"
    assert submit(flink, broker, prefix, "--name", "shop") == (
        f"error: nothing was started, a job on {prefix}.config would refuse this policy: {refused}, with another --prefix\n"
    )
    assert submit(flink, broker, prefix, "--name", "shop", policy=LOGINS) == second("shop")
    done = run_command("publish", COMMENTS, "--config", config, "--by", "t", "--reason", "t", "--yes")
    assert done.err == f"error: nothing was sent, a running job would refuse this policy: {refused}\n"


def test_a_job_does_not_read_its_own_output(flink: Flink, broker: Broker, prefix: str) -> None:
    assert submit(flink, broker, prefix, "--events", f"{prefix}.deadletter").startswith(
        f"error: {prefix}.deadletter is a deadletter topic, not an events topic; did you mean {prefix}.events? "
    )
