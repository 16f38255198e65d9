"""watchgate submit, jobs and stop on a real cluster: a job starts, stops with a savepoint, goes on; refusals say why."""

import re
import urllib.request
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster
from integration.flink.rest import FlinkApi
from integration.kafka.broker import Broker
from integration.kafka.client import admin_client
from integration.kafka.topics import create_topics
from tests.cluster.running import ROOT, submission
from tests.e2e.conftest import start
from tests.examples.test_docs import FENCE, commands, plain, run

pytestmark = pytest.mark.cluster

COMMENTS = ROOT / "examples" / "comments" / "policy.yaml"


def watchgate(*arguments: object) -> tuple[int | None, str, str]:
    """Status, output and errors of a command."""
    process = start(*arguments)
    out, err = process.communicate(timeout=240)
    return process.returncode, out.decode(), err.decode()


def test_a_job_is_submitted_stopped_with_a_savepoint_and_goes_on(
    flink: Cluster, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    there = ("--jobmanager", flink.address)
    submit = ("submit", COMMENTS, "--kafka", broker.address, "--prefix", prefix, "--name", prefix, *there)
    create_topics(broker.address, prefix)
    status, out, err = watchgate(*submit)
    assert status == 0, err
    found = re.fullmatch(rf"{prefix} runs as job (\w{{32}}) at http://{flink.address}\n", out)
    assert found
    assert FlinkApi(flink.address).completed_checkpoints(found[1]) >= 1
    with urllib.request.urlopen(f"http://{flink.address}/jobs/{found[1]}/plan") as answer:
        plan = answer.read().decode()
    assert all(re.search(rf'"description":"[^"]*\b{stage}\b', plan) for stage in ("stamp", "scatter", "observe"))

    status, _, err = watchgate(*submit)
    assert (status, err) == (
        2,
        f"error: job {prefix} runs already ({found[1]}). Stop it with `watchgate stop {prefix} --savepoint DIR`, or "
        "give this one another --name and --prefix\n",
    )
    status, _, err = watchgate(*submit[:-4], "--name", f"{prefix}b", *there)
    assert (status, err) == (
        2,
        f"error: job {prefix} ({found[1]}) runs on the topics of this --prefix already: every verdict would be there twice. "
        f"Stop it with `watchgate stop {prefix} --savepoint DIR`, or give this one another --prefix\n",
    )
    status, out, _ = watchgate("jobs", *there)
    assert re.search(rf"^{found[1]}  RUNNING     \S+  (\d+)/\1 tasks  {prefix}$", out, re.M)

    status, out, err = watchgate("stop", prefix, "--savepoint", tmp_path / "saved", *there)
    assert status == 0, err
    savepoint = out.split("--from-savepoint ")[1].strip()
    assert savepoint.startswith(f"file:{tmp_path}/saved/savepoint-")
    status, _, err = watchgate("stop", prefix, "--savepoint", tmp_path, *there)
    assert (status, err.split(" Running are")[0]) == (2, f"error: no job {prefix} runs at {flink.address}.")

    status, out, err = watchgate(*submit, "--from-savepoint", savepoint)
    assert status == 0, err
    status, out, err = watchgate("stop", prefix, "--cancel", *there)
    assert status == 0, err
    begin, _, checkpoint = out.strip().rpartition(" ")
    assert begin == f"cancelled {prefix}; go on with: watchgate submit POLICY ... --from-savepoint"
    assert re.fullmatch(r"file:\S+/chk-\d+", checkpoint)

    # The same state beside a config topic that was made anew.
    timelines = [create_topics(broker.address, name).timeline for name in (prefix, f"{prefix}n")]
    foreign = ["--prefix", f"{prefix}n", "--from-savepoint", checkpoint]
    status, out, err = watchgate(*submit, *foreign)
    assert (status, err) == (
        2,
        f"error: {prefix} did not start, and was cancelled: the state belongs to timeline {timelines[0]}, the config "
        f"source to timeline {timelines[1]}: name the config source that this state was made with, or start with an "
        "empty state\n",
    )
    assert all(job.ended for job in FlinkApi(flink.address).jobs() if job.name == prefix)


def test_what_is_wrong_before_the_start_is_said_without_a_trace(
    flink: Cluster, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    there = ("--jobmanager", flink.address)
    status, out, err = watchgate("submit", COMMENTS, "--kafka", broker.address, "--prefix", prefix, *there)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: topics are not as the job needs them:\n{prefix}.events: it does not exist.\n")
    assert f"repair: watchgate topics create --kafka {broker.address} --prefix {prefix}" in err
    assert "\tat " not in err

    bad = tmp_path / "bad.yaml"
    bad.write_text(COMMENTS.read_text().replace("over: 10m", "ower: 10m"))
    status, _, err = watchgate("submit", bad, "--kafka", broker.address, *there)
    assert status == 2 and "did you mean `over`?" in err

    create_topics(broker.address, prefix)
    absent = ("--from-savepoint", f"file:{tmp_path}/absent")
    status, _, err = watchgate("submit", COMMENTS, "--kafka", broker.address, "--prefix", prefix, *there, *absent)
    assert (status, err) == (
        2,
        f"error: there is no savepoint or checkpoint at file:{tmp_path}/absent: a folder of one has a file _metadata. A "
        "checkpoint gives way to the next one while the job runs; `watchgate stop NAME --savepoint DIR` makes a "
        "savepoint\n",
    )

    nowhere = ("--prefix", prefix, "--jobmanager", "127.0.0.1:1")
    status, _, err = watchgate("submit", COMMENTS, "--kafka", broker.address, *nowhere)
    assert status == 2 and err.startswith("error: the cluster at 127.0.0.1:1 does not answer /jobs/overview: ")


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (
            "execution.checkpointing.unaligned.enabled=true",
            "error: execution.checkpointing.unaligned.enabled is true: a checkpoint would be taken between the parts of "
            "a batch, and they would be lost. Set it to false.",
        ),
        (
            "execution.checkpointing.mode=AT_LEAST_ONCE",
            "error: execution.checkpointing.mode is AT_LEAST_ONCE: parts of a batch would be counted twice after a "
            "failure. Set it to EXACTLY_ONCE; for low latency use --delivery at-least-once, which concerns the sink "
            "only.",
        ),
    ],
)
def test_checkpoints_that_could_cut_a_batch_are_refused(
    flink: Cluster, broker: Broker, prefix: str, setting: str, why: str
) -> None:
    done = submission(flink, broker, prefix, COMMENTS, settings=[f"-D{setting}"])
    assert done.returncode != 0
    assert why in done.stdout + done.stderr


def test_topics_with_the_producers_times_are_refused(flink: Cluster, broker: Broker, prefix: str) -> None:
    with admin_client(broker.address) as admin:
        configs = {"message.timestamp.type": "CreateTime"}
        admin.create_topics({f"{prefix}.events": {"num_partitions": 1, "replication_factor": 1, "configs": configs}})
    create_topics(broker.address, prefix)
    done = submission(flink, broker, prefix, COMMENTS)
    assert done.returncode != 0
    assert f"error: topics are not as the job needs them:\n{prefix}.events: message.timestamp.type is CreateTime" in (
        done.stdout + done.stderr
    )


def test_a_job_that_gets_no_slots_says_how_many_it_lacks(flink: Cluster, broker: Broker, prefix: str) -> None:
    create_topics(broker.address, prefix)
    more = ("--prefix", prefix, "--jobmanager", flink.address, "--parallelism", 3)
    status, _, err = watchgate("submit", COMMENTS, "--kafka", broker.address, *more)
    assert (status, err) == (
        2,
        f"error: a job of --parallelism 3 takes as many slots of the cluster at {flink.address}, and 2 of its 2 slots are "
        "free: start more TaskManagers, stop another job, or give this one less\n",
    )
    # A cluster may lose one in between.
    done = submission(flink, broker, prefix, COMMENTS, "--parallelism", "3")
    job = done.stdout.split("JobID ")[1][:32]
    why = FlinkApi(flink.address).wait_started(job, seconds=2)
    FlinkApi(flink.address).cancel(job)
    assert why is not None
    assert re.fullmatch(
        r"0 of its \d+ tasks run after \d+ s, and \d slots are free. A job takes as many slots as its --parallelism: .*",
        why,
    )


def test_the_page_about_flink_is_true(flink: Cluster, broker: Broker, prefix: str, tmp_path: Path) -> None:
    """Its commands run, against the broker and the cluster of this session, and print what it shows."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    page = (ROOT / "docs" / "flink.md").read_text(encoding="utf-8")
    ran, ours = 0, re.compile(r"(?<=--prefix )comments\b|\bcomments(?=\.events\b)")
    for fence in FENCE.finditer(page):
        if fence["language"] != "console":
            continue
        for command, lines in commands(fence["body"]):
            here = command.replace("127.0.0.1:9092", broker.address).replace("127.0.0.1:8081", flink.address)
            printed = plain(run(ours.sub(prefix, here), tmp_path, ROOT))
            for line in lines:
                assert ours.sub(prefix, plain(line)) in printed, (command, printed)
            ran += 1
    assert ran == 6
