"""The three attack patterns: the page's figures are checked by test_docs; here, that they are no luck of a seed."""

import json

import pytest


@pytest.fixture(scope="module")
def patterns(load):
    return load("examples/patterns/patterns.py")


@pytest.mark.parametrize(
    ("pattern", "rule", "precision", "recall"),
    [("spraying", "sprayed", 0.95, 0.55), ("content_farm", "farmed", 0.95, 0.6), ("mule_terminal", "mule", 0.75, 0.3)],
)
def test_another_seed_finds_as_much(patterns, root, watchgate, tmp_path, pattern, rule, precision, recall):
    labelled = patterns.write(tmp_path, pattern, seed=5)
    labels = ["--labels", tmp_path / "labels.jsonl"] if labelled else []
    policy = root / f"examples/patterns/{pattern}.yaml"
    watchgate(
        "run", policy, "--input", tmp_path / "events.jsonl", "--output", tmp_path / "verdicts", "--quiet", *labels
    )
    hits, found_precision, found_recall = patterns.measure(tmp_path, rule)
    assert hits > 40 and found_precision >= precision and recall <= found_recall < 1
    assert not (tmp_path / "verdicts/deadletter.jsonl").read_text()


def test_the_same_seed_makes_the_same_bytes_and_no_event_tells_what_it_is(patterns, tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        patterns.write(tmp_path / name, "mule_terminal", seed)
    for file in ("events.jsonl", "truth.txt", "labels.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "same" / file).read_bytes()
        assert (tmp_path / "one" / file).read_bytes() != (tmp_path / "other" / file).read_bytes()
    events = map(json.loads, (tmp_path / "one/events.jsonl").read_text().splitlines())
    assert {frozenset(event) for event in events} == {frozenset({"id", "at", "card", "terminal", "amount"})}
