"""What a stack trace of Flink comes down to, and what is done where a cluster answers otherwise than the local one."""

from collections.abc import Iterator
from typing import Any

import pytest

from integration.flink import rest
from integration.flink.rest import FlinkApi, innermost
from jobs.cli.shared import CommandError
from jobs.cli.stop import command as stop
from tests.fake_flink import Flink, serving

PYTHON = """org.apache.flink.runtime.taskmanager.AsynchronousException: Caught exception
\tat org.apache.flink.streaming.runtime.tasks.StreamTask.run(StreamTask.java:1)
Caused by: java.lang.RuntimeException: Failed to process element
\t... 3 more
Caused by: pemja.core.PythonException: <class 'operators.timeline.TimelineError'>: the state belongs to timeline a
\tat <string>.process_element(<string>:7)
\tat pemja.core.PythonInterpreter._invoke(Native Method)
"""
JAVA = """org.apache.flink.runtime.JobException: Recovery is suppressed
\tat org.apache.flink.X.y(X.java:1)
Caused by: org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
ABSENT = """org.apache.flink.util.FlinkRuntimeException: Failed to list subscribed topic partitions due to
\tat org.apache.flink.connector.kafka.source.X.y(X.java:1)
Caused by: java.lang.RuntimeException: Failed to get metadata for topics [shop.events, shop.more].
\tat org.apache.flink.connector.kafka.util.AdminUtils.getTopicMetadata(AdminUtils.java:79)
Caused by: java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server
"""


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (
            ABSENT,
            "not all of these topics are there: shop.events, shop.more. `watchgate doctor --kafka HOST:PORT` says how to "
            "make them",
        ),
        (PYTHON, "the state belongs to timeline a"),
        (JAVA, "Timed out waiting for a node assignment"),
        ("java.lang.NullPointerException\n\tat a.b(C.java:1)\n", "java.lang.NullPointerException"),
    ],
)
def test_the_innermost_error_is_what_is_said(trace: str, said: str) -> None:
    assert innermost(trace) == said


@pytest.fixture
def flink() -> Iterator[Flink]:
    with serving() as server:
        yield server


ON = "; go on with: watchgate submit POLICY ... --from-savepoint file:/c/chk-7\n"


def test_a_cancelled_job_can_go_on(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    stop("shop", cancel=True, jobmanager=flink.address)
    assert flink.did == [f"/jobs/{'a' * 32}?mode=cancel"]
    assert capsys.readouterr().out == f"cancelled shop{ON}"
    stop("shop", cancel=True, jobmanager=flink.address)
    assert len(flink.did) == 1, "it had ended"
    assert capsys.readouterr().out == f"shop had ended (CANCELED){ON}"


def test_a_cluster_that_ends_with_its_job_is_no_failure(
    flink: Flink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_SILENT_S", 0.1)
    flink.gone_after_cancel = True
    stop("shop", cancel=True, jobmanager=flink.address)
    assert capsys.readouterr().out == f"cancelled shop{ON}"


def test_a_job_that_takes_no_savepoint_says_where_to_look_and_how_to_end_it(flink: Flink) -> None:
    trace = "java.util.concurrent.CompletionException: X\nCaused by: a.CheckpointException: Checkpoint Coordinator is suspending.\n"
    flink.savepoint = {"failure-cause": {"stack-trace": trace}}
    with pytest.raises(CommandError) as refused:
        stop("shop", savepoint="/s", jobmanager=flink.address)
    assert str(refused.value) == (
        f"error: job {'a' * 32} could not be stopped with a savepoint, and goes on: Checkpoint Coordinator is suspending. If it "
        "fails, it takes none: `watchgate jobs` says why it failed last, `watchgate doctor --kafka HOST:PORT` whether its "
        f"topics are there. `watchgate stop {'a' * 32} --cancel` ends it at its last checkpoint"
    )


@pytest.mark.parametrize("kept", [{"enabled": False}, {"enabled": True, "delete_on_cancellation": True}])
def test_a_job_whose_checkpoints_would_go_with_it_is_not_cancelled(flink: Flink, kept: dict[str, bool]) -> None:
    flink.externalization = kept
    with pytest.raises(CommandError) as refused:
        stop("shop", cancel=True, jobmanager=flink.address)
    assert str(refused.value) == (
        "error: shop goes on: Flink would delete its checkpoints with it, for the cluster or the job sets "
        "execution.checkpointing.externalized-checkpoint-retention. Stop it with --savepoint DIR; if it fails and can take "
        "none, copy file:/c/chk-7 first and end it by Flink's own `flink cancel`"
    )
    assert flink.did == []


@pytest.mark.parametrize(
    "lost",
    [{"discarded": True}, {"external_path": "<checkpoint-not-externally-addressable>"}],
    ids=["gone", "in memory"],
)
def test_a_checkpoint_that_is_nowhere_is_not_offered(
    flink: Flink, capsys: pytest.CaptureFixture[str], lost: dict[str, Any]
) -> None:
    flink.checkpoint |= lost
    stop("shop", cancel=True, jobmanager=flink.address)
    assert capsys.readouterr().out == "cancelled shop; there is no checkpoint of it: it starts as new\n"


@pytest.mark.parametrize(
    "settings", [{"kubernetes.cluster-id": "c"}, {"jobmanager.scheduler": "Adaptive"}, {"scheduler-mode": "reactive"}]
)
def test_a_cluster_that_finds_slots_by_itself_is_not_asked_for_them(flink: Flink, settings: dict[str, str]) -> None:
    api = FlinkApi(flink.address)
    assert api.lacking_slots(1, seconds=0) == "0 of its 1 slots are free"
    flink.settings = settings
    assert api.lacking_slots(1, seconds=0) is None
