"""The embedded runtime on Kafka when things go wrong: nothing is lost, nothing loops, and it is said what happened."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from integration.jars import Jars
from integration.kafka.address import KafkaPlace
from integration.kafka.broker import Broker, start_broker
from integration.kafka.client import KafkaError, UnreachableError, admin_client
from integration.kafka.config_topic import ConfigTopic
from integration.processes import free_ports
from jobs.checkpoints import CheckpointError
from jobs.embedded import EmbeddedJob
from jobs.engine import EngineError
from jobs.outages import run_through_outages
from tests.cluster import embedded_world as world

pytestmark = pytest.mark.cluster


def now_ms() -> int:
    return int(time.time() * 1000)


def error_of(make: Callable[[], object], kind: type[Exception] = KafkaError) -> str:
    with pytest.raises(kind) as caught:
        make()
    return str(caught.value)


def test_files_hold_what_topics_hold(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """Kafka in and files out; and a file in and Kafka out, which does not differ but in the clock and the source."""
    kafka = broker.address
    world.make_topics(kafka, prefix)
    world.write_policy(tmp_path)
    sent = world.records(3, 400, now_ms())
    world.send(kafka, f"{prefix}.events", sent)
    world.run_to_end(world.plan(kafka, tmp_path, prefix, prefix, "topics"), kafka, f"{prefix}.events")
    files = world.plan(kafka, tmp_path, prefix, prefix, "files", output=str(tmp_path / "out"))
    world.run_to_end(files, kafka, f"{prefix}.events")
    for topic, found in world.outputs(kafka, prefix).items():
        lines = [orjson.loads(line) for line in (tmp_path / "out" / f"{topic}.jsonl").read_bytes().splitlines()]
        assert lines == [document for _, document in found], topic
        assert lines, topic

    (tmp_path / "events.jsonl").write_bytes(b"\n".join(sent) + b"\n")
    world.make_topics(kafka, f"{prefix}.f")
    plan = world.plan(
        kafka, tmp_path, prefix, f"{prefix}.f", "file", source=str(tmp_path / "events.jsonl"), config=None
    )
    for _ in range(2):  # the second run has nothing new to read
        job = EmbeddedJob(plan)
        job.run()
        job.close()
    both = world.outputs(kafka, prefix), world.outputs(kafka, f"{prefix}.f")
    fired = [
        sorted((d["event_id"], r["rule"]) for t in ("verdicts", "verdicts.shadow") for _, d in o[t] for r in d["rules"])
        for o in both
    ]
    assert fired[0] == fired[1] and fired[0]


def test_several_partitions_every_event_once_and_every_count_right(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    world.make_topics(kafka, prefix, partitions=3)
    world.write_policy(tmp_path)
    at = now_ms() - 60_000
    posts = [b'{"id":"e%d","kind":"post","at":%d,"account":"u%d"}' % (n, at + n, n % 7) for n in range(600)]
    for n in range(3):
        world.send(kafka, events, posts[n::3], partition=n)
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state", emit="all", batch_size=50)
    wanted = world.ends(kafka, events)
    for share in (0.4, 1.0):  # stopped on the way, with partitions at different places
        job = EmbeddedJob(plan)
        job.run(world.until_read(job, {n: int(end * share) for n, end in wanted.items()}))
        job.close()
    found = world.outputs(kafka, prefix)
    verdicts = [d for topic in ("verdicts", "verdicts.shadow") for _, d in found[topic]]
    assert sorted({d["event_id"] for d in verdicts}) == sorted(f"e{n}" for n in range(600))
    counts = [d["features"]["posts_1m"]["value"] for d in verdicts if "posts_1m" in d["features"]]
    assert max(counts) == 86  # 600 posts of 7 accounts


def test_a_broker_that_restarts_while_the_job_runs(jars: Jars, broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    world.make_topics(kafka, prefix)
    world.make_topics(kafka, f"{prefix}.whole")
    world.write_policy(tmp_path)
    sent = world.records(5, 1_200, now_ms())
    world.send(kafka, events, sent[:600])
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state", checkpoint_ms=20)
    jobs: list[EmbeddedJob] = []

    def opened() -> EmbeddedJob:
        jobs.append(EmbeddedJob(plan))
        return jobs[-1]

    read, failed = threading.Event(), []

    def body() -> None:
        try:
            run_through_outages(opened(), opened, read.is_set)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    deadline = time.monotonic() + 120
    while not jobs or jobs[0].committed_events < 200:  # in the middle of it
        assert time.monotonic() < deadline and not failed, failed
        time.sleep(0.01)
    start_broker(broker.folder, jars).kill()
    time.sleep(1)
    again = start_broker(broker.folder, jars)
    assert again.address == kafka
    world.send(kafka, events, sent[600:])
    wanted = world.ends(kafka, events)[0]
    while not (jobs[-1].topic and jobs[-1].topic.offsets.get(0, 0) >= wanted and jobs[-1].committed_events):
        assert time.monotonic() < deadline and not failed, failed
        time.sleep(0.1)
    read.set()
    thread.join(60)
    assert not failed and not thread.is_alive(), failed

    world.run_to_end(world.plan(kafka, tmp_path, prefix, f"{prefix}.whole", "whole"), kafka, events)
    expected, found = world.outputs(kafka, f"{prefix}.whole"), world.outputs(kafka, prefix)
    for topic, documents in expected.items():
        assert found[topic] == documents, topic


def test_poison_is_a_dead_letter_and_costs_no_other_event_anything(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    world.make_topic(kafka, events, max_message_bytes="16000000", message_timestamp_type="LogAppendTime")
    world.make_topics(kafka, prefix)
    world.write_policy(tmp_path)
    good = [b'{"id":"e%d","kind":"post","at":%d,"account":"u1"}' % (n, now_ms()) for n in range(6)]
    ten_megabytes = b'{"id":"big","kind":"post","at":1,"text":"' + b"x" * 10_000_000 + b'"}'
    values = [
        good[0],
        ten_megabytes,
        good[1],
        None,
        good[2],
        b"\x00\xff\xfe binary",
        good[3],
        b"",
        good[4],
        b"[" * 50_000,
        good[5],
    ]
    world.send(kafka, events, values, max_request_size=16_000_000)
    summary = world.run_to_end(world.plan(kafka, tmp_path, prefix, prefix, "state", emit="all"), kafka, events)
    assert (summary.counts["judged"], summary.counts["dead"]) == (6, 5)
    found = world.outputs(kafka, prefix)
    dead = {d["source"]["offset"]: (d["reason"], d["length"]) for _, d in found["deadletter"]}
    assert dead == {
        1: ("too_large", 10_000_043),
        3: ("tombstone", 0),
        5: ("broken_json", 10),
        7: ("broken_json", 0),
        9: ("broken_json", 50_000),
    }
    (tombstone,) = [d for _, d in found["deadletter"] if d["reason"] == "tombstone"]
    assert tombstone["detail"] == "the record has no value (a tombstone)"
    assert tombstone["hint"] == "fix the producer: an event cannot be taken back by its key"
    judged = [d["event_id"] for t in ("verdicts", "verdicts.shadow") for _, d in found[t]]
    assert sorted(set(judged)) == [f"e{n}" for n in range(6)]


def test_a_verdict_that_no_broker_takes_does_not_stop_the_job(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka = broker.address
    world.make_topic(kafka, f"{prefix}.verdicts.shadow", max_message_bytes="4000")
    world.make_topics(kafka, prefix)
    text = world.write_policy(tmp_path).read_text() + "include: [text]\nmax_record_bytes: 60000\n"
    (tmp_path / "policy.yaml").write_text(text)
    at, account = now_ms(), b"u" * 5_000
    world.send(kafka, f"{prefix}.events", [
        b'{"id":"a","kind":"post","at":%d,"account":"u1","text":"%s","amount":900}' % (at, b"x" * 9_000),
        b'{"id":"b","kind":"post","at":%d,"account":"%s","amount":900}' % (at, account),
    ])  # fmt: skip
    world.run_to_end(world.plan(kafka, tmp_path, prefix, prefix, "state"), kafka, f"{prefix}.events")
    found = world.outputs(kafka, prefix)
    assert [(d["event_id"], d["include"]) for _, d in found["verdicts.shadow"]] == [("a", {})]
    said = {d["kind"]: d["message"] for _, d in found["status"] if d["kind"].startswith("record_")}
    assert said["record_cut"].endswith(
        "and the topic takes 4,000: it was written without its include. Raise the topic's max.message.bytes, or include "
        "fewer fields"
    )
    assert "it was not written" in said["record_refused"]


def test_a_topic_with_producer_times_is_refused_and_taken_when_told_so(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    world.make_topic(kafka, events, message_timestamp_type="CreateTime")
    from integration.kafka.topics import create_topics

    create_topics(kafka, prefix, partitions=1)
    world.write_policy(tmp_path)
    world.send(kafka, events, [b'{"id":"e1","kind":"post","at":%d,"account":"u1"}' % now_ms()])
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state")
    text = error_of(lambda: EmbeddedJob(plan))
    assert f"{events}: message.timestamp.type is CreateTime, it must be LogAppendTime" in text and "repair: " in text
    taken = world.plan(kafka, tmp_path, prefix, prefix, "state", allow_create_time=True, emit="all")
    assert world.run_to_end(taken, kafka, events).counts["judged"] == 1
    # A topic that was changed still holds records with the times of producers.
    with admin_client(kafka) as admin:
        from kafka.admin import ConfigResource, ConfigResourceType

        resource = ConfigResource(ConfigResourceType.TOPIC, events, configs={"message.timestamp.type": "LogAppendTime"})
        admin.alter_configs([resource])
    later = world.plan(kafka, tmp_path, prefix, prefix, "other")
    text = error_of(lambda: world.run_to_end(later, kafka, events))
    assert text.startswith(f"record 0 of {events}, partition 0, has the time of its producer")


def test_states_that_do_not_fit(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    for name in (prefix, f"{prefix}.other"):
        world.make_topics(kafka, name)
    world.write_policy(tmp_path)
    world.send(kafka, events, world.records(7, 50, now_ms()))
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state")
    world.run_to_end(plan, kafka, events)

    foreign = world.plan(kafka, tmp_path, prefix, prefix, "state", config=f"kafka://{kafka}/{prefix}.other.config")
    text = error_of(lambda: EmbeddedJob(foreign), EngineError)
    assert "the state was made with config timeline" in text and "this config has timeline" in text

    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    world.send(kafka, events, world.records(8, 50, now_ms()))
    world.run_to_end(plan, kafka, events)
    text = error_of(lambda: EmbeddedJob(world.plan(kafka, tmp_path, prefix, prefix, "copy")), CheckpointError)
    assert "the state folder is an old copy. Give the state folder that the last run used, or an empty one." in text

    members = world.plan(kafka, tmp_path, prefix, prefix, "state", members=f"kafka://{kafka}/{prefix}.lists")
    world.run_to_end(members, kafka, events)
    assert "the state follows a lists topic, and none is given" in error_of(lambda: EmbeddedJob(plan), EngineError)

    with admin_client(kafka) as admin:
        admin.delete_topics([events])
        while events in admin.list_topics():
            time.sleep(0.1)
    text = error_of(lambda: EmbeddedJob(members))
    assert f"{events}: it does not exist." in text and "watchgate topics create" in text
    world.make_topics(kafka, prefix)
    assert "was deleted and made again since this state read it" in error_of(lambda: EmbeddedJob(members))


def test_a_topic_that_is_deleted_while_the_job_runs_ends_it_with_a_word(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    monkeypatch.setattr("integration.kafka.events._LOOK_S", 0.2)
    monkeypatch.setattr("integration.kafka.events._GONE_S", 1.0)
    monkeypatch.setattr("jobs.outages._FIRST_S", 0.1)
    world.make_topics(kafka, prefix)
    world.write_policy(tmp_path)
    world.send(kafka, events, world.records(7, 50, now_ms()))
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state")
    deleted: list[str] = []

    def opened() -> EmbeddedJob:
        return EmbeddedJob(plan)

    first = opened()

    def stop() -> bool:
        if first.committed_events >= 50 and not deleted:
            deleted.append(events)
            with admin_client(kafka) as admin:
                admin.delete_topics(deleted)
        return False

    text = error_of(lambda: run_through_outages(first, opened, stop))
    assert f"{events}: it does not exist." in text


def test_records_that_retention_took_are_reported(broker: Broker, prefix: str, tmp_path: Path) -> None:
    from kafka import TopicPartition

    kafka, events = broker.address, f"{prefix}.events"
    world.make_topics(kafka, prefix)
    world.write_policy(tmp_path)
    world.send(kafka, events, world.records(7, 20, now_ms()))
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state")
    world.run_to_end(plan, kafka, events)
    read = world.ends(kafka, events)[0]
    world.send(kafka, events, world.records(8, 30, now_ms()))
    with admin_client(kafka) as admin:
        admin.delete_records({TopicPartition(events, 0): read + 5})
    world.run_to_end(plan, kafka, events)
    (said,) = [d["message"] for _, d in world.outputs(kafka, prefix)["status"] if d["kind"] == "records_missing"]
    assert said.startswith(
        f"5 records of {events}, partition 0, from offset {read} on, were deleted before they were read"
    )


def test_without_a_config_nothing_acts_and_a_state_that_had_one_is_not_run(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, events = broker.address, f"{prefix}.events"
    world.make_topics(kafka, prefix)
    world.write_policy(tmp_path)
    at = now_ms()
    world.send(kafka, events, [b'{"id":"e%d","kind":"post","at":%d,"account":"u1"}' % (n, at) for n in range(6)])
    monkeypatch.setattr("jobs.config_feed._RETRY_S", 0.2)
    away = f"kafka://127.0.0.1:{free_ports(1)[0]}/{prefix}.config"
    monkeypatch.setattr("integration.kafka.client._BOOTSTRAP_MS", 500)
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state", config=away, config_wait_s=1.0)
    wanted = world.ends(kafka, events)
    job = EmbeddedJob(plan)
    try:
        job.run(world.until_read(job, wanted))
        assert job.config is not None and job.config.found is None
        # The topic is there again: modes are in force from then on.
        found = ConfigTopic(KafkaPlace(kafka, f"{prefix}.config"))
        job.config.found = found
        world.send(kafka, events, [b'{"id":"f%d","kind":"post","at":%d,"account":"u1"}' % (n, at) for n in range(6)])
        job.run(world.until_read(job, world.ends(kafka, events)))
    finally:
        job.close()
    outputs = world.outputs(kafka, prefix)
    assert world.kinds(outputs["status"])[:1] == ["config_unavailable"]
    assert "config_available" in world.kinds(outputs["status"])
    reasons = {r["shadow_reason"] for _, d in outputs["verdicts.shadow"] for r in d["rules"] if d["event_id"][0] == "e"}
    assert reasons == {"config_unavailable"}
    assert {d["event_id"][0] for _, d in outputs["verdicts"]} == {"f"}
    assert "cannot be reached" in error_of(lambda: EmbeddedJob(plan), UnreachableError)
