"""The operators' parts answer as the embedded engine does, wherever batches are cut and whenever they start anew."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from jobs.engine import Engine
from jobs.entity_lists import EntityLists, read_lists
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.lists import read_members
from jobs.flink_job.programs import Programs
from operators.decode import Decoder, decode_records
from operators.store import MemoryState
from tests.e2e.conftest import POLICY, crowd, spoiled
from tests.flink_job.chain import Chain, Record

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
    records: list[Record], folder: Path, config: list[bytes], policy: str = POLICY
) -> dict[str, dict[str, Json]]:
    programs = Programs(policy, "shop", None)
    program = programs.base
    state = MemoryState()
    engine = Engine(program, state, programs.policies.of_document, timeline_id="line", pii_key=b"k")
    EntityLists(program, state, read_lists(program, folder)).load(engine)
    engine.offer_config(config)
    values = [value or b"" for _, value in records]
    times = np.array([at for at, _ in records], dtype=np.int64)
    decoded = decode_records(values, np.arange(len(values)), ("t.events", 0), Decoder(program.policy), times)
    return by_id(engine.process(decoded, np.empty(0, np.int64), values.__getitem__).documents)


@pytest.mark.parametrize("size", [37, 400, 4_096])
def test_answers_are_those_of_the_embedded_engine(folder: Path, size: int) -> None:
    records = stream(900)
    made = chain(folder)
    for start in range(0, len(records), size):
        made.feed(records[start : start + size])
        if start % 3 == 0:
            made.restart()
    found, expected = by_id(made.out.documents), embedded(records, folder, [])
    for topic in TOPICS:
        assert expected[topic]
        assert found[topic] == expected[topic], topic


def test_p_values_and_discoveries_are_those_of_the_embedded_engine(folder: Path) -> None:
    policy = POLICY.replace("\nrules:\n", "\n  rush: {surprise: 10s, by: account}\nrules:\n" + CALIBRATED)
    records, made = stream(4_000), chain(folder, policy)
    for start in range(0, len(records), 700):
        made.feed(records[start : start + 700])
        made.restart()
    found, expected = by_id(made.out.documents), embedded(records, folder, [], policy)
    shadow = expected["verdicts.shadow"].values()
    fired = {rule["rule"] for verdict in shadow for rule in verdict["rules"]}
    assert {"odd", "discovered"} <= fired
    for topic in TOPICS:
        assert found[topic] == expected[topic], topic
