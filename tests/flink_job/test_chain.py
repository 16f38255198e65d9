"""The operators' parts answer as the embedded engine does, wherever batches are cut and whenever they start anew."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from jobs.engine import Engine
from jobs.entity_lists import EntityLists, read_lists
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.list_feed import read_batch
from jobs.flink_job.lists import read_members
from jobs.flink_job.programs import Programs
from jobs.flink_job.record_batcher import Given
from operators.members import Members
from operators.store import MemoryState
from schemas.times import iso
from tests.e2e.conftest import POLICY, START, crowd, post, spoiled
from tests.flink_job.chain import Chain, Record
from tests.records import decoded

Json = dict[str, Any]
CALIBRATED = """
  odd: {when: "p(rush) < 0.3", action: review, target: account}
  discovered: {on: post, when: rush > 0, fdr: {of: rush, at: 50%}, action: review, target: account}
"""
TOPICS = ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow", "deadletter")


def stream(count: int) -> list[Record]:
    """Records with append times."""
    records = [event if isinstance(event, bytes) else orjson.dumps(event) for event in spoiled(crowd(count))]
    return [(1_750_000_000_000 + 3 * number, value) for number, value in enumerate(records)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    return tmp_path


def chain(folder: Path, policy: str = POLICY) -> Chain:
    members = read_members(Programs(policy, "shop", None).base, folder)
    return Chain(JobFacts(policy, "shop", "line", "", "t", ("t.events",), pii_key=b"k", lists=members))


def by_id(documents: dict[str, list[Json]]) -> dict[str, dict[str, Json]]:
    return {topic: {str(d["ce_id"]): d for d in documents.get(topic, [])} for topic in TOPICS}


def embedded(
    records: list[Record],
    folder: Path,
    config: list[bytes],
    policy: str = POLICY,
    listings: Sequence[Given] = (),
) -> dict[str, dict[str, Json]]:
    return by_id(outcome(records, folder, config, policy, listings))


def outcome(
    records: list[Record], folder: Path, config: list[bytes], policy: str, listings: Sequence[Given] = ()
) -> dict[str, list[Json]]:
    programs = Programs(policy, "shop", None)
    program = programs.base
    state = MemoryState()
    engine = Engine(program, state, programs.policies.of_document, timeline_id="line", pii_key=b"k")
    lists = EntityLists(program, state, read_lists(program, folder))
    lists.load(engine)
    members = Members()
    for record in read_batch(program, listings).records:
        entry = record.entry
        members.offer(record.appended_ms, entry.list, entry.key, entry.until_ms, entry.on)
    engine.follow_members(members, lists.holds)
    engine.offer_config(config)
    found, values, broken = decoded(records, "t.events", program.policy)
    return engine.process(found, np.empty(0, np.int64), values.__getitem__, broken).documents


@pytest.mark.parametrize("size", [37, 400, 4_096])
def test_answers_are_those_of_the_embedded_engine(folder: Path, size: int) -> None:
    records: list[Any] = stream(900)
    records[500:500] = [(records[500][0], None)]
    made = chain(folder)
    for start in range(0, len(records), size):
        made.feed(records[start : start + size])
        if start % 3 == 0:
            made.restart()
    found, expected = by_id(made.out.documents), embedded(records, folder, [])
    for topic in TOPICS:
        assert expected[topic]
        assert found[topic] == expected[topic], topic


RUSHES = """
  rush: {surprise: 10s, by: account}
  novel: {surprise: 10s, by: account, since: stream}
rules:
  appeared: {when: novel > 16, action: review, target: account}
"""


def test_p_values_and_discoveries_are_those_of_the_embedded_engine(folder: Path) -> None:
    policy = POLICY.replace("\nrules:\n", RUSHES + CALIBRATED)
    rush = [orjson.dumps(post(f"r{n}", START + 60_000_000 + 20 * n, "a1")) for n in range(1_500)]
    records = stream(4_000)
    records += [(records[-1][0] + n, value) for n, value in enumerate(rush)]
    made = chain(folder, policy)
    for start in range(0, len(records), 700):
        made.feed(records[start : start + 700])
        made.restart()
    found, expected = by_id(made.out.documents), embedded(records, folder, [], policy)
    shadow = expected["verdicts.shadow"].values()
    fired = {rule["rule"] for verdict in shadow for rule in verdict["rules"]}
    assert {"odd", "discovered", "appeared"} <= fired
    for topic in TOPICS:
        assert found[topic] == expected[topic], topic


def listings(records: list[Record], seed: int) -> list[Given]:
    """Entities go on a list and off it while the records come, some of them for a time only; a list file names a3."""
    rng, found, offsets = random.Random(seed), [], Counter[int]()
    times = [at for at, _ in records]
    for at in sorted(rng.choice(times) + rng.randrange(-2, 3) for _ in range(150)):
        account = rng.choice(["a1", "a2", "a3", "a4", "a5", "a6"])
        until = iso(at + rng.randrange(0, 900)) if rng.random() < 0.5 else None
        value = orjson.dumps({"until": until}) if rng.random() < 0.6 else None
        partition = int(account[1:]) % 2
        found.append((f"vip/{account}".encode(), value, partition, offsets[partition], at))
        offsets[partition] += 1
    return found


def changes(documents: list[Json]) -> Counter[tuple[str, str, str]]:
    """What the statuses about lists say, added up: several subtasks write one each."""
    told: Counter[tuple[str, str, str]] = Counter()
    for document in documents:
        if document["kind"] == "lists_changed":
            for what, number in document["detail"].items():
                told[document["subject"], document["at"], what] += number
    return +told


@pytest.mark.parametrize("size", [41, 4_096])
def test_lists_change_at_the_same_event_as_in_the_embedded_engine(folder: Path, size: int) -> None:
    records = stream(1_500)
    topic = listings(records, seed=size)
    made = chain(folder)
    for number, start in enumerate(range(0, len(records), size)):
        batch = records[start : start + size]
        # What a batch needs was read before; some of it comes again by the source, after what a start has read.
        held = [one for one in topic if one[4] <= batch[-1][0]]
        made.topic = held if number % 3 else made.topic
        made.tell(held)
        made.feed(batch)
        if number % 3 == 1:
            made.restart()
    expected = outcome(records, folder, [], POLICY, topic)
    assert sum(changes(expected["status"]).values()) > 100
    without = by_id(outcome(records, folder, [], POLICY))
    found, wanted = by_id(made.out.documents), by_id(expected)
    assert wanted != without
    for name in TOPICS:
        assert found[name] == wanted[name], name
    assert changes(made.out.documents["status"]) == changes(expected["status"])
