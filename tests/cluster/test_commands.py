"""The commands on a real broker: a file is produced, what came is tailed, doctor is content, errors are sentences."""

import re
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from integration.jars import Jars
from integration.kafka.broker import Broker
from integration.kafka.client import admin_client, producer, reader
from operators.documents import status
from tests.cluster.embedded_world import ends

pytestmark = pytest.mark.cluster

_ROOT = Path(__file__).parents[2]
_MAIN = "from jobs.cli import main; main()"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    command = [sys.executable, "-c", _MAIN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, timeout=200)
    return done.returncode, done.stdout, done.stderr


def test_topics_are_made_and_doctor_agrees(broker: Broker, prefix: str) -> None:
    code, out, _ = run("topics", "create", "--kafka", broker.address, "--prefix", prefix, "--partitions", "2")
    assert code == 0
    assert f"made   {prefix}.verdicts.shadow" in out and "\ntimeline " in out
    code, out, _ = run("doctor", "--kafka", broker.address, "--prefix", prefix)
    assert f"{prefix}.config is timeline" in out
    assert code == 0, out
    code, out, errors = run("doctor", "--kafka", broker.address, "--prefix", f"{prefix}x")
    assert (code, errors) == (1, "1 check fails\n")
    assert f"-> watchgate topics create --kafka {broker.address} --prefix {prefix}x" in out


def test_a_topic_that_is_made_again_is_like_the_others_of_its_prefix(broker: Broker, prefix: str) -> None:
    create = ("topics", "create", "--kafka", broker.address, "--prefix", prefix)
    run(*create, "--partitions", "2")
    with admin_client(broker.address) as admin:
        admin.delete_topics([f"{prefix}.verdicts", f"{prefix}.status"])
        while {f"{prefix}.verdicts", f"{prefix}.status"} & set(admin.list_topics()):
            time.sleep(0.1)
    code, out, errors = run(*create)
    assert (code, errors) == (0, "")
    assert f"made   {prefix}.verdicts\nmade   {prefix}.status\nfound  {prefix}.config  1 partition\n" in out
    code, out, errors = run(*create, "--partitions", "3")
    assert (code, errors) == (0, ""), "it was asked for what it makes, and it makes nothing"
    lines = out.splitlines()
    assert f"found  {prefix}.config  1 partition" in lines
    assert f"found  {prefix}.verdicts  2 partitions, not 3: it stays as it is" in lines
    assert sum(line.endswith("  2 partitions, not 3: it stays as it is") for line in lines) == 9


def test_lines_are_produced_as_they_are_and_in_order(broker: Broker, prefix: str, tmp_path: Path) -> None:
    from kafka import TopicPartition

    run("topics", "create", "--kafka", broker.address, "--prefix", prefix, "--partitions", "1")
    lines = [b'{"a":  1}', b"not json", b'{"big": "' + b"x" * 2_000_000 + b'"}', '{"ä": "é"}'.encode()]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))
    topic = f"{prefix}.events"
    source = str(tmp_path / "events.jsonl")
    code, out, errors = run("produce", source, "--kafka", broker.address, "--topic", topic, "--rate", "100")
    assert code == 1 and out.startswith(f"3 records to {topic} in ")
    assert f"1 record was not written, the first is record 2 of {source}: MessageSizeTooLargeError." in errors
    with reader(broker.address) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found = consumer.poll(timeout_ms=5_000)[partition]
    assert [record.value for record in found] == [lines[0], lines[1], lines[3]]
    assert {record.timestamp_type for record in found} == {1}, "the broker's clock, not the producer's"


def test_a_topic_is_tailed_until_the_reader_goes(broker: Broker, prefix: str) -> None:
    run("topics", "create", "--kafka", broker.address, "--prefix", prefix)
    facts = [status("config_applied", f"rule{n}", "It is in force.", at_ms=0) for n in range(3)]
    with producer(broker.address) as client:
        for fact in facts:
            client.send(f"{prefix}.status", value=orjson.dumps(fact))
    command = [sys.executable, "-c", _MAIN, "tail", "status", "--kafka", broker.address, "--prefix", prefix]
    with subprocess.Popen([*command, "--rule", "rule1"], stdout=subprocess.PIPE, cwd=_ROOT, text=True) as tail:
        assert tail.stdout is not None
        line = tail.stdout.readline()
        tail.terminate()
    assert line == "1970-01-01T00:00:00.000Z config_applied rule1: It is in force.\n"
    with subprocess.Popen([*command, "--rule", "rule11"], stderr=subprocess.PIPE, cwd=_ROOT, text=True) as tail:
        assert tail.stderr is not None
        line = tail.stderr.readline()
        tail.terminate()
    assert line == "none of the last records is about rule11 (did you mean `rule1`?); waiting for one\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("tail", "verdict"), "error: there is no topic verdict to tail; did you mean `verdicts`? There are: "),
        (("tail", "deadletter", "--rule", "r"), "error: a dead letter is about no rule: leave --rule out"),
        (("tail", "verdicts", "--prefix", "none"), "error: there is no topic none.verdicts at "),
        (("produce", "none.jsonl", "--topic", "t"), "error: there is no file none.jsonl"),
        (("produce", "Makefile", "--topic", "t"), "error: cannot tell what Makefile is"),
        (("topics", "create", "--client-properties", "none"), "error: client properties none cannot be read: "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(broker: Broker, arguments: tuple[str, ...], error: str) -> None:
    code, _, errors = run(*arguments, "--kafka", broker.address)
    assert code == 2 and errors.startswith(error), errors


def test_a_topic_that_is_not_there(broker: Broker) -> None:
    source = str(_ROOT / "examples" / "comments" / "comments.jsonl")
    code, _, errors = run("produce", source, "--topic", "none", "--kafka", broker.address)
    assert code == 2
    assert errors == f"error: there is no topic none at {broker.address}. Make it with `watchgate topics create`.\n"


def test_records_of_a_file_go_to_no_topic_that_watchgate_made_for_something_else(broker: Broker, prefix: str) -> None:
    source = str(_ROOT / "examples" / "comments" / "comments.jsonl")
    run("topics", "create", "--kafka", broker.address, "--prefix", prefix, "--partitions", "1")
    code, _, errors = run("produce", source, "--topic", f"{prefix}.config", "--kafka", broker.address)
    assert (code, errors) == (
        2,
        f"error: {prefix}.config is a config topic, not an events topic; did you mean {prefix}.events? Watchgate made it for "
        "a job, and records of a file in it would be junk there for good; nothing was written.\n",
    )
    assert ends(broker.address, f"{prefix}.config") == {0: 1}, "the timeline's id"


def test_a_cluster_of_ones_own_is_started_and_ended(jars: Jars, tmp_path: Path) -> None:
    there = ("--dir", str(tmp_path / "own"))
    code, out, errors = run("local", "up", "--taskmanagers", "1", *there)
    try:
        assert code == 0, errors
        kafka, flink = re.findall(r"^(?:Kafka|Flink)  (127\.0\.0\.1:\d+)  ", out, re.M)
        assert f"TaskManagers: 1\n       (logs: {tmp_path}/own/flink/log)\n\nnext:\n" in out
        assert out.endswith(f"  watchgate tail verdicts --kafka {kafka}\n  watchgate local down --dir {tmp_path}/own\n")
        assert run("local", "status", *there) == (0, out, "")
        assert run("jobs", "--jobmanager", flink) == (0, "no jobs\n", "")
    finally:
        code, out, _ = run("local", "down", *there)
    assert (code, out) == (0, f"stopped; data stays in {tmp_path}/own\n")
    code, out, errors = run("local", "status", *there)
    assert (code, errors) == (1, f"start it with: watchgate local up --dir {tmp_path}/own\n")
    assert out == "Kafka  is not running\nFlink  is not running\n"
