"""Labels by topic: the features are those of the embedded engine, nothing is seen too early, and late ones are not lost."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from jobs.engine import Engine
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.label_feed import label_state
from jobs.flink_job.programs import Programs
from jobs.flink_job.record_batcher import Given
from jobs.label_feed import LabelFeed
from operators.store import MemoryState
from schemas.times import iso
from tests.flink_job.chain import Chain, Record
from tests.records import decoded

Json = dict[str, Any]
START = 1_772_431_200_000
MINUTE = 60_000
POLICY = """policy: shop
events:
  pay: {id: /id, time: {path: /at, unit: ms}, fields: {account: string, shop: string, cards: list<string>, amount: float}}
entities: {account: account, pair: {key: [account, shop]}, card: {each: cards}}
features:
  pays_2h: {count: pay, by: account, over: 2h}
  bad_2h:  {sum: label.fraud, by: account, over: 2h, panes: 4}
  risk_1h: {mean: label.fraud, by: account, over: 1h, delay: 30m}
  lost_2h: {sum: label.loss, by: pair, over: 2h}
  card_2h: {sum: label.fraud, by: card, over: 2h}
rules:
  all: {when: "bad_2h >= 0 OR risk_1h >= 0 OR lost_2h <> 0 OR card_2h >= 0 OR pays_2h > 0", action: note, target: account, warmup: ignore}
"""


def stream(seed: int, count: int = 500) -> tuple[list[Record], list[Json]]:
    """Payments over some days, and labels of half of them with repeats, corrections, other entities and takings back, in
    the order in which they become known."""
    draw = random.Random(seed)
    records, labels, clock = [], [], START
    for number in range(count):
        clock += draw.choice((0, 1_000, MINUTE, 20 * MINUTE))
        at = clock - draw.choice((0, 0, 0, 10 * MINUTE, 200 * MINUTE))
        account, shop, cards = f"a{draw.randrange(5)}", f"s{draw.randrange(3)}", draw.sample(["c1", "c2", "c3"], 2)
        event = {"id": f"e{number}", "at": at, "account": account, "shop": shop, "cards": cards, "amount": 1.0}
        records.append((clock, orjson.dumps(event)))
        known = clock
        for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
            known += draw.randrange(1, 90 * MINUTE)
            name = draw.choice(("fraud", "fraud", "loss"))
            value: object = draw.choice((True, False, None)) if name == "fraud" else draw.choice((2.5, -1, None))
            keys = {"account": account, "pair": [account, shop], "card": cards}
            if draw.random() < 0.1:
                keys |= {"account": f"a{draw.randrange(5)}"}
            if draw.random() < 0.1:
                del keys["pair"]
            label = {"event_id": f"e{number}", "name": name, "value": value, "event_time": iso(at), "keys": keys}
            labels += [label | {"known_at": iso(known)}] * draw.choice((1, 1, 2))
    return records, sorted(labels, key=lambda label: str(label["known_at"]))


def given(labels: list[Json]) -> list[Given]:
    """Labels as records of a topic of two partitions, by event."""
    rows: list[Given] = []
    for number, label in enumerate(labels):
        ident = str(label["event_id"]).encode()
        rows.append((ident, orjson.dumps(label), int(label["event_id"][1:]) % 2, number, 1_900_000_000_000))
    return rows


def known(label: Json) -> int:
    from schemas.times import parse_iso

    return parse_iso(str(label["known_at"]))


def features(documents: dict[str, list[Json]]) -> dict[str, Json]:
    """What each event saw."""
    found = [*documents.get("verdicts", []), *documents.get("verdicts.shadow", [])]
    return {verdict["event_id"]: verdict["features"] for verdict in found}


def embedded(records: list[Record], labels: list[Json], folder: Path, size: int = 10_000) -> Engine:
    """The engine over the records, with the labels from a file; its features are in `seen`."""
    file = folder / "labels.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, labels)))
    programs = Programs(POLICY, "shop", None)
    engine = Engine(programs.base, MemoryState(), programs.policies.of_document, timeline_id="line", emit="all")
    engine.labels = LabelFeed(str(file), programs.base, None, None)
    found, values, broken = decoded(records, "t.events", programs.base.policy)
    documents = engine.process(found, np.empty(0, np.int64), values.__getitem__, broken).documents
    engine.seen = features(documents)  # type: ignore[attr-defined]
    return engine


def chain() -> Chain:
    return Chain(JobFacts(POLICY, "shop", "line", "", "t", ("t.events",), emit="all", pii_key=b"k"))


@pytest.mark.parametrize(("seed", "size"), [(1, 17), (2, 60), (3, 1_000), (4, 60)])
def test_features_are_those_of_the_embedded_engine(tmp_path: Path, seed: int, size: int) -> None:
    records, labels = stream(seed)
    draw, made, told = random.Random(seed), chain(), 0
    for start in range(0, len(records), size):
        batch = records[start : start + size]
        # A label is there before the first event that sees it, often long before.
        upto = next((n for n, label in enumerate(labels) if known(label) > batch[-1][0]), len(labels))
        upto = max(told, min(len(labels), upto + draw.randrange(60)))
        made.label(given(labels)[told:upto])
        told = upto
        if draw.random() < 0.5:
            made.restart()
        made.feed(batch)
    engine = embedded(records, labels, tmp_path)
    wanted: dict[str, Json] = engine.seen  # type: ignore[attr-defined]
    assert sum(bool(seen["bad_2h"]["value"]) for seen in wanted.values()) > 20, wanted
    assert features(made.out.documents) == wanted
    # Those that are not known yet at the end are not counted by the engine.
    assert made.labels["labels_repeated"] >= engine.counts["labels_repeated"] > 20
    assert made.labels["labels_corrected"] >= engine.counts["labels_corrected"] > 20


def pay(ident: str, minute: int) -> Record:
    at = START + minute * MINUTE
    event = {"id": ident, "at": at, "account": "a1", "shop": "s1", "cards": ["c1"], "amount": 1}
    return at, orjson.dumps(event)


def label(event: str, minute: int, known_at: int, value: object) -> Json:
    return {
        "event_id": event, "name": "fraud", "value": value, "event_time": iso(START + minute * MINUTE),
        "known_at": iso(START + known_at * MINUTE), "keys": {"account": "a1"},
    }  # fmt: skip


def test_a_label_that_comes_late_counts_from_then_on_and_its_correction_takes_back_what_was_counted() -> None:
    made = chain()
    made.feed([pay("e1", 100), pay("e2", 110)])
    # Known before the account was, by its clock; counted when there were windows.
    made.label(given([label("e0", 90, 95, True)]))
    made.feed([pay("e3", 111)])
    made.restart()
    made.label(given([label("e0", 90, 95, True), label("e0", 90, 96, False)]))
    made.feed([pay("e4", 112)])
    made.label(given([label("e0", 90, 97, True), label("e0", 90, 98, None), label("e1", 100, 113, True)]))
    made.restart()
    made.feed([pay("e5", 112), pay("e6", 113)])
    seen = {event: values["bad_2h"]["value"] for event, values in features(made.out.documents).items()}
    assert seen == {"e1": 0, "e2": 0, "e3": 1, "e4": 0, "e5": 0, "e6": 1}
    assert all(set(rows) <= {"clock"} for rows in made.waiting.by_key.values())
    assert sorted(row for rows in made.told.by_key.values() for row in rows) == ["fraud\0e1\0a1"]


def test_records_that_are_no_labels_become_dead_letters() -> None:
    made = chain()
    taken = START + 200 * MINUTE
    good = orjson.dumps(label("e1", 100, 205, True))
    bad = [
        (b"{", "broken_json"),
        (None, "broken_json"),
        (orjson.dumps(label("e1", 100, 99, True)), "bad_time"),
        (orjson.dumps(label("e1", 100, 206, True)), "future_time"),
        (orjson.dumps(label("e1", 100, 150, "yes")), "wrong_type"),
    ]
    made.label([(None, value, 3, n, taken) for n, value in enumerate([*(value for value, _ in bad), good])])
    found = made.out.documents["deadletter"]
    assert [document["reason"] for document in found] == [reason for _, reason in bad]
    assert {document["stage"] for document in found} == {"labels"}
    assert [document["source"] for document in found] == [
        {"name": "t.labels", "partition": 3, "offset": n} for n in range(5)
    ]
    assert found[3]["detail"] == "/known_at lies more than 5 minutes in the future"
    assert made.labels["labels"] == 1


def test_labels_that_no_feature_can_count_are_counted_as_in_the_embedded_engine(tmp_path: Path) -> None:
    good = label("e1", 100, 101, True)
    keys: list[Json] = [{}, {"pair": ["a1", "s1"]}, {"card": []}, {"card": ["c1"]}, {"account": ""}]
    labels = [good, *(good | {"event_id": f"e{n}", "keys": one} for n, one in enumerate(keys, 2))]
    labels += [good | {"name": "spam"}, good | {"name": "loss"}, good]
    made = chain()
    made.label(given(labels))
    engine = embedded([pay("e1", 100), pay("e9", 110)], labels, tmp_path)
    for counts in (made.labels, engine.counts):
        found = {name: counts[name] for name in ("labels", "labels_repeated", "labels_unread", "labels_keyless")}
        assert found == {"labels": 9, "labels_repeated": 1, "labels_unread": 1, "labels_keyless": 5}


def test_a_kind_that_reads_no_labels_is_done_with_them_and_counts_those_that_come_later() -> None:
    """A policy record adds the first feature over labels while the job runs."""
    made = chain()
    without = "\n".join(line for line in POLICY.splitlines() if "label." not in line)
    without = without.replace('"bad_2h >= 0 OR risk_1h >= 0 OR lost_2h <> 0 OR card_2h >= 0 OR ', '"')
    document = Programs(without, "shop", None).base.policy.model_dump(mode="json", exclude_defaults=True)
    record = {"by": "t", "reason": "t", "key": "policy"}
    made.timeline.offer(orjson.dumps(record | {"value": document, "effective_at": iso(START)}), None)
    made.feed([pay("e1", 100)])
    made.label(given([label("e1", 100, 101, True), label("e0", 100, 104, True)]))
    made.feed([pay("e2", 102)])
    document = Programs(POLICY, "shop", None).base.policy.model_dump(mode="json", exclude_defaults=True)
    made.timeline.offer(orjson.dumps(record | {"value": document, "effective_at": iso(START + 103 * MINUTE)}), None)
    made.feed([pay("e3", 103), pay("e4", 104)])
    made.label(given([label("e1", 100, 104, False)]))  # what was not counted is not taken back
    made.feed([pay("e5", 105)])
    seen = {
        event: values["bad_2h"]["value"] for event, values in features(made.out.documents).items() if "bad_2h" in values
    }
    assert seen == {"e3": 0, "e4": 1, "e5": 1}


def test_the_life_of_label_state_is_settled_without_a_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyFlink's own defaults would start one in each TaskManager, which takes seconds and 90 MB."""

    def started() -> None:
        raise AssertionError("a JVM was asked for")

    monkeypatch.setattr("pyflink.common.time.get_gateway", started)
    program = Programs(POLICY, "shop", None).base
    config = label_state("labels", program)._ttl_config
    cleanup = config.get_cleanup_strategies()
    assert config.get_ttl().to_milliseconds() == 2 * program.label_memory_ms
    assert cleanup.get_incremental_cleanup_strategy().get_cleanup_size() == 5
    assert cleanup.get_rocksdb_compact_filter_cleanup_strategy().get_query_time_after_num_entries() == 1_000
