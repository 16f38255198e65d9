"""Topics on a real broker: made right, found different, never changed behind one's back; the timeline's id."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from integration.checks import check_kafka
from integration.jars import Jars
from integration.kafka.broker import Broker, start_broker
from integration.kafka.client import KafkaError, admin_client, producer
from integration.kafka.timeline import read_timeline
from integration.kafka.topics import CONFIG, EVENTS, LISTS, check_topics, create_topics, job_topics

pytestmark = pytest.mark.cluster


def make(broker: Broker, name: str, partitions: int = 1, **settings: str) -> None:
    configs = {key.replace("_", "."): value for key, value in settings.items()}
    with admin_client(broker.address) as admin:
        admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})
        admin.wait_for_topics([name])


def test_all_topics_are_made_as_a_job_needs_them(broker: Broker, prefix: str) -> None:
    done = create_topics(broker.address, prefix, partitions=3)
    assert len(done.made) == 10 and not done.found and not done.differences
    assert check_topics(broker.address, job_topics(prefix)) == []
    with admin_client(broker.address) as admin:
        described = admin.describe_topics([f"{prefix}.events", f"{prefix}.config"])
    assert {topic["name"]: len(topic["partitions"]) for topic in described} == {
        f"{prefix}.events": 3,
        f"{prefix}.config": 1,
    }


def test_making_them_again_changes_nothing_and_keeps_the_timeline(broker: Broker, prefix: str) -> None:
    first = create_topics(broker.address, prefix)
    again = create_topics(broker.address, prefix)
    assert again.made == () and sorted(again.found.values()) == [1, *[4] * 9]
    assert again.timeline == first.timeline == read_timeline(broker.address, f"{prefix}.config")


def test_a_wrong_setting_is_named_with_its_repair_and_the_repair_works(broker: Broker, prefix: str) -> None:
    name = f"{prefix}.events"
    make(broker, name, message_timestamp_type="CreateTime")
    (found,) = create_topics(broker.address, prefix).differences
    assert found.what == (
        "message.timestamp.type is CreateTime, it must be LogAppendTime: one clock: epochs, cooldowns and expiry go by "
        "the time at which the broker took the record."
    )
    command, _, remark = found.repair.partition(" (")
    wanted = "message.timestamp.type=LogAppendTime"
    assert command == (f"python -m kafka.admin -b {broker.address} configs alter -r topic -n {name} -c {wanted}")
    assert remark == "records already in the topic keep the time that their producer gave them)"
    subprocess.run([sys.executable, *command.split()[1:]], check=True, capture_output=True)
    assert check_topics(broker.address, {name: EVENTS}) == []


def test_a_config_topic_that_would_forget_is_named_setting_by_setting(broker: Broker, prefix: str) -> None:
    make(broker, f"{prefix}.config", partitions=2, cleanup_policy="compact", retention_ms="1000")
    found = check_topics(broker.address, {f"{prefix}.config": CONFIG, f"{prefix}.lists": LISTS})
    whats = [each.what.split(":")[0] for each in found]
    assert whats == [
        "cleanup.policy is compact, it must be delete",
        "retention.ms is 1000, it must be -1",
        "it has 2 partitions, it must have 1",
        "it does not exist.",
    ]
    assert found[-1].repair == f"watchgate topics create --kafka {broker.address} --prefix {prefix}"


def test_a_config_topic_with_something_else_first_is_refused(broker: Broker, prefix: str) -> None:
    name = f"{prefix}.config"
    make(broker, name)
    assert read_timeline(broker.address, name) is None
    with producer(broker.address) as client:
        client.send(name, value=b'{"key": "mode/*"}')
    with pytest.raises(KafkaError) as caught:
        create_topics(broker.address, prefix)
    assert str(caught.value).startswith(f"the first record of {name} is not a timeline's id")


def test_a_config_topic_that_lost_records_is_refused(broker: Broker, prefix: str) -> None:
    from kafka import TopicPartition

    create_topics(broker.address, prefix)
    with admin_client(broker.address) as admin:
        admin.delete_records({TopicPartition(f"{prefix}.config", 0): 1})
    with pytest.raises(KafkaError, match="has lost its first 1 records"):
        read_timeline(broker.address, f"{prefix}.config")


def test_a_prefix_that_is_no_topic_name(broker: Broker) -> None:
    with pytest.raises(KafkaError, match="is not a topic's name: letters, digits"):
        create_topics(broker.address, "sh op")


def test_more_copies_than_brokers(broker: Broker, prefix: str) -> None:
    with pytest.raises(KafkaError, match="too few brokers for --replication 3"):
        create_topics(broker.address, prefix, replication=3)


def test_doctor_finds_nothing_then_everything(broker: Broker, prefix: str) -> None:
    before = {check.what: check for check in check_kafka(broker.address, prefix)}
    missing = next(check for what, check in before.items() if what.startswith("not there: "))
    assert missing.level == "fail" and missing.todo.endswith(f"--prefix {prefix}")
    timeline = create_topics(broker.address, prefix).timeline
    after = list(check_kafka(broker.address, prefix))
    assert [check.level for check in after if check.level == "fail"] == []
    assert f"{prefix}.config is timeline {timeline}" in [check.what for check in after]


def test_a_broker_that_was_killed_comes_back_with_its_data(jars: Jars, broker: Broker, prefix: str) -> None:
    timeline = create_topics(broker.address, prefix).timeline
    current = start_broker(broker.folder, jars)
    current.kill()
    with pytest.raises(KafkaError, match=f"Kafka at {broker.address} cannot be reached: .*ECONNREFUSED[.] Is"):
        read_timeline(broker.address, f"{prefix}.config")
    again = start_broker(broker.folder, jars)
    assert again.address == broker.address
    assert read_timeline(again.address, f"{prefix}.config") == timeline


def test_a_broker_that_is_still_ending_is_waited_for_and_its_ports_stay(jars: Jars, tmp_path: Path) -> None:
    first = start_broker(tmp_path, jars)
    first.process.send(signal.SIGKILL)  # and nobody waits
    again = start_broker(tmp_path, jars)
    try:
        assert again.alive and again.process != first.process
        assert (again.port, again.controller_port) == (first.port, first.controller_port)
    finally:
        again.stop()


def test_a_port_that_somebody_else_took_meanwhile_is_not_waited_for_for_ever(
    jars: Jars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.kafka.broker._FREED_S", 0.5)
    first = start_broker(tmp_path, jars)
    first.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.port))
        other.listen()
        again = start_broker(tmp_path, jars)
        again.stop()
    assert again.port != first.port
