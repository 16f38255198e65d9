"""From events and labels to a model in the registry, and back: the stream gives each event what training saw."""

import math
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from jobs.cli.programs import compile_document, load_program
from jobs.label_history import read_history
from jobs.simulation import Simulation
from jobs.training_set import training_set
from models.calibrating import applied
from models.golden import golden_fault
from models.learners import LEARNERS
from models.onnx_scorer import OnnxScorer
from models.registry import Registry
from models.samples import split
from models.training import matrix
from operators.program import without_rules

Json = dict[str, Any]
Run = Callable[..., Any]

POLICY = """
policy: market
events:
  pay: {id: /id, time: {path: /at, unit: ms}, fields: {account: string, card: {type: string, pii: hash}, amount: {type: decimal, scale: 2}, night: boolean, note: string, tags: list<string>}}
derive: {large: amount > 300, share: amount / spend_1h}
entities: {account: account, card: card}
features:
  spend_1h: {sum: amount, by: account, over: 1h}
  pays_10m: {count: pay, by: card, over: 10m}
  idle: {idle: card}
"""
INPUTS = ["amount", "night", "large", "share", "spend_1h", "pays_10m", "idle"]
START, HOUR = 1_740_960_000_000, 3_600_000
SAID = ("win a free phone", "cheap watches here", "thanks for lunch", "rent for march", "see you on sunday")


def iso(ms: int) -> str:
    return f"{np.datetime64(ms, 'ms')}Z"


def story(count: int = 1_500, seed: int = 5) -> tuple[list[Json], list[Json]]:
    """Payments, two of them in some 60 after another, and what became known a day later: fraud is a large amount of a busy card."""
    rng = random.Random(seed)
    events, labels, at = [], [], START
    for number in range(count):
        at += rng.choice((2_000, 30_000, 120_000))
        bad = rng.random() < 0.25
        amount = round(rng.lognormvariate(5.5 if bad else 4.0, 0.8), 2)
        events.append(
            {
                "id": f"p{number}", "at": at, "account": f"a{rng.randrange(60)}", "card": f"c{rng.randrange(5 if bad else 90)}",
                "amount": None if number % 40 == 3 else amount, "night": rng.random() < (0.7 if bad else 0.2),
                "note": f"{SAID[rng.randrange(2) if bad else 2 + rng.randrange(3)]} {number % 7}", "tags": ["x"],
            }
        )  # fmt: skip
        labels.append(
            {
                "event_id": f"p{number}",
                "name": "fraud",
                "value": bad,
                "event_time": iso(at),
                "known_at": iso(at + 24 * HOUR),
            }
        )
    return events, labels


def lines(path: Path, records: list[Json]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


@pytest.fixture
def world(tmp_path: Path) -> Path:
    events, labels = story()
    (tmp_path / "policy.yaml").write_text(POLICY)
    lines(tmp_path / "events.jsonl", events)
    lines(tmp_path / "labels.jsonl", labels)
    return tmp_path


def train(watchgate: Run, world: Path, kind: str = "logistic", *more: object, **other: object) -> Any:
    options = {"input": world / "events.jsonl", "labels": world / "labels.jsonl", "target": "fraud"} | other
    named = [part for name, value in options.items() for part in (f"--{name}", value)]
    if kind == "text" and "--features" not in more:
        more = (*more, "--features", "note")
    return watchgate("train", world / "policy.yaml", *named, "--kind", kind, "--registry", world / "models", *more)


@pytest.mark.parametrize("kind", [*LEARNERS, "text"])
def test_the_stream_scores_what_was_trained(kind: str, world: Path, watchgate: Run) -> None:
    """Value for value: inputs and scores in verdicts are those of the training table and of the library."""
    done = train(watchgate, world, kind)
    assert done.status == 0, done.err
    inputs = ["note"] if kind == "text" else INPUTS
    assert done.out.startswith(f"fraud@1: {kind} over {', '.join(inputs)}\ntrained on 1,275 labelled events, ")
    assert "\non the 225 that came after them: average precision " in done.out
    stored = Registry(world / "models").load("fraud", 1)
    scorer = OnnxScorer(stored)
    assert golden_fault(scorer) is None
    assert stored.manifest.metrics["average_precision"] > 0.6
    assert (world / "models/fraud/1.html").read_text().count("<svg") == (4 if kind == "text" else 5)

    rules = "rules: {risky: {when: fraud >= 0.5 AND spend_1h >= 0 AND pays_10m >= 0, action: hold, target: card}}\n"
    (world / "live.yaml").write_text(POLICY + "models: {fraud: {version: 1}}\n" + rules)
    ran = watchgate(
        "run", world / "live.yaml", "--input", world / "events.jsonl", "--output", world / "out", "--registry",
        world / "models", "--emit", "all", "--batch-size", "777",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    verdicts = [orjson.loads(line) for line in (world / "out/verdicts.shadow.jsonl").open("rb")]
    verdicts += [orjson.loads(line) for line in (world / "out/verdicts.jsonl").open("rb")]
    said = {v["event_id"]: v for v in verdicts}
    assert len(said) == 1_500

    program = without_rules(load_program(world / "policy.yaml"))
    history = read_history(str(world / "labels.jsonl"), "fraud", None)
    simulation = Simulation(program, compile_document, str(world / "events.jsonl"), world, keep_observed=True)
    samples = training_set(simulation, program, inputs, history, None).samples
    streamed = np.array([_nan(said[f"p{i}"]["scores"]["fraud"]["value"]) for i in range(1_500)])
    np.testing.assert_array_equal(streamed, scorer.score(samples.inputs).values)
    if kind == "text":
        hit = next(v for v in said.values() if v["scores"]["fraud"]["because"])
        first = hit["scores"]["fraud"]["because"][0]
        assert (first["input"], first["value"]) == ("note", None)
        note = next(e for e in map(orjson.loads, (world / "events.jsonl").open("rb")) if e["id"] == hit["event_id"])[
            "note"
        ]
        told = watchgate(
            "rules", "explain", world / "live.yaml", "risky", "--input", world / "events.jsonl", "--event",
            hit["event_id"], "--registry", world / "models",
        )  # fmt: skip
        start, end = first["span"]
        assert f"{first['effect']:+.6g}  note = {note[start:end]!r}, characters {start} to {end}\n" in told.out
        return
    table = {column.name: column.to_list() for column in samples.inputs}
    for name in ("spend_1h", "pays_10m"):
        assert [said[f"p{i}"]["features"][name]["value"] for i in range(1_500)] == table[name]

    parts = split(samples)
    raw = matrix(parts.train.inputs)
    fills = None if LEARNERS[kind].missing else np.nanmedian(raw, axis=0)
    fill = (lambda x: x) if fills is None else (lambda x: np.where(np.isnan(x), fills, x))
    library = LEARNERS[kind].fit(fill(raw), parts.train.labels).outputs(fill(matrix(samples.inputs)))
    how = stored.manifest.calibration
    assert (how.method, how.of) == ("platt", "log_odds")
    # Near 0 a 32-bit export's probability is off by some 3e-8, of which log-odds with a slope below 1 make more.
    assert np.abs(streamed - applied(how, library)).max() <= 2e-5


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def test_the_table_is_that_of_watchgate_features(world: Path, watchgate: Run) -> None:
    done = watchgate(
        "features", world / "policy.yaml", "--input", world / "events.jsonl", "--output", world / "f.parquet"
    )
    assert done.status == 0, done.err
    written = pl.read_parquet(world / "f.parquet")
    program = without_rules(load_program(world / "policy.yaml"))
    names = list(program.features)
    history = read_history(str(world / "labels.jsonl"), "fraud", None)
    simulation = Simulation(
        program, compile_document, str(world / "events.jsonl"), world, batch_size=101, keep_observed=True
    )
    samples = training_set(simulation, program, names, history, None).samples
    for column in samples.inputs:
        assert column.to_list() == written[column.name].to_list()


def test_features_of_labels_are_those_of_a_run(world: Path, watchgate: Run) -> None:
    """The labels that are learnt feed the features, too, each from its own known_at on."""
    events, labels = story()
    delayed = POLICY + "  risk_1h: {mean: label.fraud, by: card, over: 1h, delay: 1h}\n"
    (world / "policy.yaml").write_text(delayed)
    keyed = [
        label | {"known_at": iso(e["at"] + HOUR // 2), "keys": {"card": e["card"]}}
        for label, e in zip(labels, events, strict=True)
    ]
    lines(world / "labels.jsonl", keyed)
    done = train(watchgate, world, "xgboost")
    assert done.status == 0, done.err
    assert done.out.startswith(f"fraud@1: xgboost over {', '.join(INPUTS)}, risk_1h\n")
    source, named = str(world / "events.jsonl"), str(world / "labels.jsonl")
    written = watchgate(
        "features", world / "policy.yaml", "--input", source, "--labels", named, "--output", world / "f.parquet"
    )
    assert written.status == 0, written.err
    program = without_rules(load_program(world / "policy.yaml"))
    simulation = Simulation(program, compile_document, source, world, labels=named, batch_size=333, keep_observed=True)
    history = read_history(named, "fraud", None)
    risk = training_set(simulation, program, ["risk_1h"], history, None).samples.inputs.to_series()
    assert risk.to_list() == pl.read_parquet(world / "f.parquet")["risk_1h"].to_list()
    assert 0.1 < risk.drop_nulls().mean() < 0.9 and risk.null_count() < 1_000  # type: ignore[operator]


def test_only_what_was_known_by_then(world: Path, watchgate: Run) -> None:
    """Labels known later and events after the moment are as if they were not there, whatever they say."""
    events, labels = story()
    until = events[-1]["at"] - 2 * HOUR
    sooner = [label | {"known_at": iso(e["at"] + HOUR)} for label, e in zip(labels, events, strict=True)]
    lines(world / "labels.jsonl", sooner)
    first = train(watchgate, world, "text", "--until", iso(until))
    later = sum(e["at"] + HOUR > until for e in events)
    assert f"{later:,} labels known too late" in first.out
    changed = [
        label if e["at"] + HOUR <= until else label | {"value": not label["value"]}
        for label, e in zip(sooner, events, strict=True)
    ]
    corrected = [sooner[5] | {"value": not sooner[5]["value"], "known_at": iso(until + 1)}]
    lines(world / "labels.jsonl", changed + corrected)
    second = train(watchgate, world, "text", "--until", iso(until))
    assert second.status == 0, second.err
    registry = Registry(world / "models")
    assert registry.load("fraud", 1).data == registry.load("fraud", 2).data
    assert registry.manifest("fraud", 1).curve == registry.manifest("fraud", 2).curve


def test_the_newest_label_counts_and_null_takes_back(world: Path) -> None:
    known = iso(START + HOUR)
    base = {"event_id": "p1", "name": "fraud", "event_time": iso(START), "known_at": known}
    records = [
        base | {"value": True}, base | {"event_id": "p2", "value": 1}, base | {"event_id": "p3", "value": 0.2},
        base | {"value": False, "known_at": iso(START + 2 * HOUR)}, base | {"event_id": "p2", "value": None, "known_at": iso(START + 3 * HOUR)},
        base | {"event_id": "p4", "name": "other", "value": True}, base | {"event_id": "p5", "value": "maybe"}, {"event_id": "p6"},
    ]  # fmt: skip
    path = lines(world / "some.jsonl", records)
    found = read_history(str(path), "fraud", None)
    assert dict(found.labels.rows()) == {"p1": False, "p3": False}
    assert (found.unread, found.later) == (2, 0)
    assert dict(read_history(str(path), "fraud", START + HOUR).labels.rows()) == {"p1": True, "p2": True, "p3": False}
    table = pl.DataFrame(
        {"event_id": ["p1", "p2"], "name": ["fraud"] * 2, "value": [True, False], "known_at": [known] * 2}
    )
    table.write_parquet(world / "some.parquet")
    table.write_csv(world / "some.csv")
    for name in ("some.parquet", "some.csv"):
        assert dict(read_history(str(world / name), "fraud", None).labels.rows()) == {"p1": True, "p2": False}


# what cannot be trained


def refused(done: Any) -> str:
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    return str(done.err).strip().removeprefix("error: ")


@pytest.mark.parametrize(
    ("kind", "features", "words"),
    [
        ("forest", "amount,spend_2h", "policy market has no column spend_2h (did you mean `spend_1h`?)"),
        ("forest", "note", "input note is a string, and a forest model reads numbers: name another, or derive one from it"),
        ("text", "amount", "input amount is a number, and a text model reads a text: name another, or derive one from it"),
        ("text", "note,account", "a text model reads one column, and --features names 2"),
        ("logistic", "amount,amount", "input amount is named twice"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_read(kind: str, features: str, words: str, world: Path, watchgate: Run) -> None:
    assert refused(train(watchgate, world, kind, "--features", features)) == words


def test_labels_that_teach_nothing(world: Path, watchgate: Run) -> None:
    _, labels = story()
    assert refused(train(watchgate, world, target="spam")) == (
        f"{world}/labels.jsonl has no labels named spam: it has fraud"
    )
    assert refused(train(watchgate, world, "logistic", "--until", "yesterday")) == (
        "--until yesterday: not a time: write ISO 8601, for example 2026-01-02T03:04:05Z"
    )
    assert refused(train(watchgate, world, "logistic", "--until", iso(START))) == (
        f"no label fraud was known by {iso(START)}: the first one became known at {labels[0]['known_at']}. Give a later --until"
    )
    lines(world / "labels.jsonl", [label | {"event_id": f"x{label['event_id']}"} for label in labels])
    assert refused(train(watchgate, world)) == (
        "none of the 1,500 labels is of one of the 1,500 events: event_id of a label must be the event's id, as the policy's id: gives it"
    )
    lines(world / "labels.jsonl", [label | {"value": True} for label in labels])
    assert refused(train(watchgate, world)).startswith("all 1,500 labels are true, and a model learns from both")
    lines(world / "labels.jsonl", [*labels, labels[7] | {"value": 120, "known_at": iso(START + 9_000 * HOUR)}])
    assert refused(train(watchgate, world)) == (
        "label fraud of event p7 is 120: a model learns true or false, or a number from 0 to 1, true from 0.5 on. Write labels "
        "of that kind"
    )
    lines(world / "labels.jsonl", labels)
    assert refused(train(watchgate, world, "logistic", "--name", "amount")) == (
        "amount is a column of policy market, and a rule could not tell it from the model's score: give the model another "
        "--name"
    )
    lines(world / "labels.jsonl", [{"id": "p1", "fraud": 1}])
    assert refused(train(watchgate, world)).startswith(
        f"{world}/labels.jsonl has no labels: the first record is refused, "
    )
    (world / "labels.jsonl").write_bytes(b"")
    assert refused(train(watchgate, world)) == (
        f"{world}/labels.jsonl has no labels. A label is {{event_id, name, value, event_time, known_at}}, one a line"
    )
    assert "there is no file" in refused(train(watchgate, world, labels=world / "none.jsonl"))
    assert not (world / "models").exists(), "nothing was added"


def test_some_unknown_ids_are_counted(world: Path, watchgate: Run) -> None:
    _, labels = story()
    strange = [label | {"event_id": f"x{i}"} if i % 10 == 0 else label for i, label in enumerate(labels)]
    lines(world / "labels.jsonl", strange)
    done = train(watchgate, world)
    assert "; left out: 150 events without a label, 150 labels of events that are not in the input\n" in done.out


def test_without_the_extra(world: Path, watchgate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert refused(train(watchgate, world)) == (
        "this kind of model is trained with scikit-learn, which is not installed: pip install '.[train]' in Watchgate's folder. Only --kind text needs nothing more."
    )
    monkeypatch.setattr("jobs.training_report.find_spec", lambda name: None)
    done = train(watchgate, world, "text")
    assert done.out.endswith("no report: its pictures need pip install '.[train]' in Watchgate's folder\n")
    assert not (world / "models/fraud/1.html").exists()


def test_a_report_is_escaped_and_whole(world: Path, watchgate: Run) -> None:
    done = train(watchgate, world, "logistic", "--description", "<script>alert(1)</script>", "--name", "night_fraud")
    assert done.out.endswith(f"report: {world}/models/night_fraud/1.html\n")
    page = (world / "models/night_fraud/1.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page
    # Nothing is fetched: names of namespaces, and places in the page itself.
    assert set(re.findall(r"https?://[^\"<> ]*", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert all(place[0] == "#" for place in re.findall(r"(?:href|src)=\"([^\"]*)", page))
    assert "prefers-color-scheme: dark" in page and "stroke: currentColor" in page and "#010203" not in page
    assert "width=device-width" in page
    for title in ("Precision and recall", "ROC: area", "Calibration", "Scores", "Weight of inputs"):
        assert title in page
