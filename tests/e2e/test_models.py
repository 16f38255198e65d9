"""Models on the command line: into the registry, checked, published, scored with, and every way in which that goes wrong."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from onnx import helper

from tests.e2e.conftest import START, Shop, pay
from tests.models.builders import bound, logistic, network, onnx_bytes, put, tensor, words
from tests.models.test_operating_points import CURVE

MODELS = "models:\n  fraud: {version: 1}\nrules:\n  risky: {on: pay, when: fraud >= 0.5, action: hold, target: account, mode: live, warmup: ignore}"
EVENTS = [pay(f"p{i}", START + i * 1_000, f"a{i}", amount=100.0 * i) for i in range(10)]


@pytest.fixture
def registry(shop: Shop) -> Path:
    """A shop with `fraud`: version 1 from 400 on, version 2 from 800 on."""
    root = shop.folder / "registry"
    from jobs.cli.programs import load_program

    plain = load_program(shop.policy)
    for bias in (-4.0, -8.0):
        put(root, logistic([0.01, 0.0], bias), "fraud", bound(plain, "amount", "spend_1h"), curve=CURVE.model_dump())
    shop.change(("rules:", MODELS))
    return root


def error(shop: Shop, *arguments: object, status: int = 2) -> str:
    done = shop.watchgate(*arguments)
    assert done.status == status, (done.out, done.err)
    return done.err.strip()


def scored(shop: Shop, output: str = "out") -> list[tuple[str, int]]:
    found = [(v["event_id"], v["scores"].get("fraud")) for v in shop.read("verdicts", output)]
    return [(event, score["version"]) for event, score in found if score]


def test_a_run_scores_and_a_swap_goes_on_after_a_restart(shop: Shop, registry: Path) -> None:
    log = shop.folder / "modes.jsonl"
    published = shop.watchgate(
        "models", "publish", "fraud@2", "--config", log, "--registry", registry, "--mode", "live",
        "--reason", "it is better", "--by", "ann", "--effective-at", "2025-03-03T00:00:06Z",
    )  # fmt: skip
    assert published.out == f"fraud@2 is in force from 2025-03-03T00:00:06.000Z; recorded in {log}\n"
    events = shop.write(EVENTS)
    shop.run(events, "out", "--registry", registry, "--config", log)
    assert scored(shop) == [("p4", 1), ("p5", 1), ("p8", 2), ("p9", 2)]
    applied = [s for s in shop.read("status") if s["subject"] == "model/fraud"]
    assert [s["kind"] for s in applied] == ["config_applied"] and applied[0]["detail"]["by"] == "ann"
    shop.write([*EVENTS, *(pay(f"q{i}", START + i * 1_000, f"a{i}", amount=100.0 * i) for i in range(10, 13))])
    shop.run(events, "out", "--registry", registry, "--config", log)
    assert scored(shop)[-3:] == [("q10", 2), ("q11", 2), ("q12", 2)]
    whole = shop.run(events, "once", "--registry", registry, "--config", log)
    assert "13 events read: 13 judged" in whole.out
    assert shop.files("once")["verdicts"] == shop.files()["verdicts"]


def test_explain_names_the_inputs_of_a_score(shop: Shop, registry: Path) -> None:
    from jobs.cli.programs import load_program

    told = {"kind": "linear", "coefficients": [0.01, 0.0], "means": [50.0, 0.0]}
    put(
        registry,
        logistic([0.01, 0.0], -4.0),
        "fraud",
        bound(load_program(shop.policy), "amount", "spend_1h"),
        explanation=told,
    )
    shop.change(("version: 1", "version: 3"))
    done = shop.watchgate(
        "rules", "explain", shop.policy, "risky", "--input", shop.write(EVENTS), "--event", "p7", "--registry", registry
    )
    assert done.status == 0, done.err
    text = re.sub(r"[ \n]+", " ", done.out)
    assert "risky fired for pay p7 because fraud >= 0.5 (fraud is 0.952574)" in text
    assert "fraud 0.952574, version 3 +6.5 amount = 700" in text
    assert "it would not fire if fraud were below 0.5" in text


def test_list_show_and_verify(shop: Shop, registry: Path) -> None:
    listed = shop.watchgate("models", "list", "--registry", registry)
    assert re.findall(r"fraud@\d", listed.out) == ["fraud@1", "fraud@2"] and "amount, spend_1h" in listed.out
    shown = shop.watchgate(
        "models", "show", "fraud", "--registry", registry, "--at", "precision=0.95", "--at", "precision=0.99"
    )
    lines = [re.sub(r" +", " ", line).strip() for line in shown.out.splitlines()]
    assert lines[0] == "fraud@2 imported"
    assert "precision=0.95 0.800000 0.950 (0.764-0.991) 0.475 (0.329-0.625) 2" in lines
    assert "precision=0.99 not reached" in lines
    assert lines[-1] == "on 1,000 events of 10 days, 40 positive; ranges are 95 % (Wilson)"
    checked = shop.watchgate("models", "verify", "--registry", registry)
    assert checked.out == "ok      fraud@1\nok      fraud@2\n"
    (registry / "fraud" / "2" / "model.onnx").write_bytes(b"no model")
    again = shop.watchgate("models", "verify", "--registry", registry)
    assert again.status == 1 and again.err == "1 of 2 refused\n"
    assert again.out.startswith(
        f"ok      fraud@1\nrefused fraud@2: {registry}/fraud/2/model.onnx is not the model that its manifest"
    )
    (registry / "empty").mkdir()
    assert (
        shop.watchgate("models", "list", "--registry", registry / "empty").out
        == f"{registry}/empty has no models yet\n"
    )
    plain = put(registry, logistic([1.0]), "plain", ["amount"])
    shown = shop.watchgate("models", "show", f"plain@{plain.version}", "--registry", registry)
    assert (
        "it has no calibration set, so it has no operating points: rules compare its score with a number" in shown.out
    )
    assert "not bound" in shown.out and "no score" in shown.out


def test_a_damaged_manifest_hides_no_other_version(shop: Shop, registry: Path) -> None:
    (registry / "fraud" / "1" / "manifest.json").write_bytes(b"{}")
    listed = shop.watchgate("models", "list", "--registry", registry)
    assert listed.status == 2 and re.findall(r"fraud@\d", listed.out) == ["fraud@2"]
    assert listed.err.startswith(f"error: {registry}/fraud/1/manifest.json is no manifest of format 1: ")


def test_importing(shop: Shop, registry: Path) -> None:
    file = shop.folder / "net.onnx"
    file.write_bytes(network(2))
    done = shop.watchgate(
        "models",
        "import",
        file,
        "--name",
        "net",
        "--inputs",
        "amount, spend_1h",
        "--registry",
        registry,
        "--policy",
        shop.policy,
        "--on-null",
        "0",
    )
    assert done.status == 0 and done.out.startswith(f"net@1 is in {registry}, digest ")
    assert [one["on_null"] for one in orjson.loads((registry / "net/1/manifest.json").read_bytes())["inputs"]] == [
        0.0,
        0.0,
    ]
    loose = shop.watchgate("models", "import", file, "--name", "net", "--inputs", "x,y", "--registry", registry)
    assert loose.out.endswith(
        "its inputs are bound to names, not to definitions: give --policy to have jobs refuse others\n"
    )
    assert shop.watchgate("models", "verify", "net", "--registry", registry).out == "ok      net@2\n"


def test_a_stacked_model_is_bound_to_the_versions_below_it(shop: Shop, registry: Path) -> None:
    models = "models:\n  fraud: {version: 1}\n  twice: {weighted: {fraud: 2, plain: 1}}\n  plain: {version: 1}\n"
    put(registry, logistic([1.0]), "plain", ["amount"])
    shop.change(("models:\n  fraud: {version: 1}\n", models))
    file = shop.folder / "stack.onnx"
    file.write_bytes(logistic([1.0, 1.0, 0.0]))
    done = shop.watchgate(
        "models", "import", file, "--name", "stack", "--inputs", "fraud,twice,amount", "--policy", shop.policy, "--registry", registry
    )  # fmt: skip
    assert done.status == 0, done.err
    shop.change(
        ("plain: {version: 1}\n", "plain: {version: 1}\n  stack: {version: 1}\n"), ("when: fraud", "when: stack")
    )
    check = ("rules", "check", shop.policy, "--registry", registry)
    assert shop.watchgate(*check).status == 0, shop.watchgate(*check).err
    shop.run(shop.write(EVENTS), "out", "--registry", registry)
    assert any("stack" in verdict["scores"] for verdict in shop.read("verdicts"))
    shop.change(("fraud: {version: 1}", "fraud: {version: 2}"))
    told = error(shop, *check)
    for name in ("fraud", "twice"):
        assert f"model stack: input {name} is not what version 1 was trained on: its definition is another" in told


MIXES = "a row's score depends on the other rows of its batch: operator {} brings rows together"
IMPORTS: dict[str, tuple[Any, list[str], str]] = {
    "no file": (None, ["--inputs", "amount"], "{file} cannot be read: No such file or directory"),
    "no model": (b"hello" * 9, ["--inputs", "amount"], "the file is no ONNX model: it does not parse"),
    "inputs": (network(3), ["--inputs", "amount"], "input x takes 3 columns, its manifest names 1"),
    "no inputs": (network(3), ["--inputs", " ,"], "--inputs names no column. Write them with commas: --inputs amount,night"),
    "column": (network(1), ["--inputs", "amont", "--policy", "{policy}"], "{policy} has no column amont; did you mean `amount`?"),
    "null": (network(1), ["--inputs", "amount", "--on-null", "zero"], "--on-null takes null_score, missing or a number, not 'zero'"),
    "output": (network(1), ["--inputs", "amount", "--output", "score"], "the model has no output score: it has probabilities"),
    "output column": (network(1), ["--inputs", "amount", "--output-column", "3"], "output probabilities has no column 3: it has 2 columns, 0 to 1. Name one with --output-column"),
    "the only column": (logistic([1.0]), ["--inputs", "amount", "--output-column", "1"], "output score has no column 1: it has one column, 0. Name one with --output-column"),
    "softmax over rows": (
        onnx_bytes([helper.make_node("Softmax", ["x"], ["score"], axis=0)], [tensor("x", [None, 1])], [tensor("score", [None, 1])]),
        ["--inputs", "amount"],
        MIXES.format("Softmax (which gives score)"),
    ),
    "mean of a batch": (
        onnx_bytes(
            [helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["score"])],
            [tensor("x", [None, 1])],
            [tensor("score", [None, 1])],
        ),
        ["--inputs", "amount"],
        MIXES.format("ReduceMean (which gives m)"),
    ),
    "texts": (words({"a": 0.5}), ["--inputs", "amount", "--policy", "{policy}"], "input text is tensor(string), and a matrix of columns is tensor(float) or tensor(double)"),
    "numbers": (network(1), ["--inputs", "text", "--policy", "{policy}"], "text is a string, and the model takes numbers (x): leave it out of --inputs, or derive a number from it"),
    "rows": (
        onnx_bytes([], [tensor("x", [4, 1])], [tensor("x", [4, 1])]),
        ["--inputs", "amount"],
        "the file is no ONNX model: it has no graph",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPORTS)
def test_imports_that_go_wrong(shop: Shop, case: str) -> None:
    data, options, said = IMPORTS[case]
    file = shop.folder / "net.onnx"
    if data is not None:
        file.write_bytes(data)
    given = [option.format(policy=shop.policy) for option in options]
    told = error(shop, "models", "import", file, "--name", "net", "--registry", shop.folder / "r", *given)
    assert told == "error: " + said.format(file=file, policy=shop.policy)
    assert not (shop.folder / "r").exists()


def test_a_run_without_its_models_does_not_begin(shop: Shop, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = shop.write(EVENTS)
    run = ("run", shop.policy, "--input", events, "--output", shop.folder / "out")
    monkeypatch.setenv("WATCHGATE_REGISTRY", str(registry))
    assert shop.watchgate("run", shop.policy, "--input", events, "--output", shop.folder / "with").status == 0
    monkeypatch.delenv("WATCHGATE_REGISTRY")
    assert error(shop, *run) == (
        "error: policy shop has models (fraud@1), and no registry is given: give --registry DIR"
    )
    missing = error(shop, *run, "--registry", shop.folder / "none")
    assert f"model fraud: there is no model registry at {shop.folder / 'none'}. Train a model into it" in missing
    file = registry / "fraud" / "1" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"!")
    told = error(shop, *run, "--registry", registry)
    assert told.startswith(f"error: model fraud@1 is refused: {file} is not the model that its manifest describes")
    assert not (shop.folder / "out").exists()


def test_rules_check_with_and_without_a_registry(shop: Shop, registry: Path) -> None:
    without = shop.watchgate("rules", "check", shop.policy)
    assert without.status == 0 and "its models (fraud) are not checked: give --registry DIR" in without.err
    assert shop.watchgate("rules", "check", shop.policy, "--registry", registry).err == ""
    put(registry, words({"a": 0.5}), "fraud", bound_text(shop))
    shop.change(("{version: 1}", "{version: 3, inputs: [amount]}"))
    told = error(shop, "rules", "check", shop.policy, "--registry", registry)
    assert "model fraud: input amount is a number, and version 3 takes texts there" in told
    assert "name the columns in the order of the model's inputs" in told


def bound_text(shop: Shop) -> list[Any]:
    from schemas.manifest import ModelInput

    return [ModelInput(name="text", type="text")]


PUBLISHES: dict[str, tuple[list[str], str]] = {
    "reference": (["fraud"], "'fraud' names no version of a model: write NAME@VERSION, for example fraud@3"),
    "version": (["fraud@7"], "the registry {registry} has no version 7 of fraud. It has 1, 2."),
    "reason": (
        ["fraud@2", "--reason", " "],
        "--reason is empty. Say why, for whoever reads the log after an incident.",
    ),
    "broken": (["fraud@1"], "fraud@1 is refused and was not published: {registry}/fraud/1/model.onnx is not the model"),
    "time": (
        ["fraud@2", "--effective-at", "noon"],
        "--effective-at noon: not a time: write ISO 8601, for example 2026-01-02T03:04:05Z",
    ),
}


@pytest.mark.parametrize("case", PUBLISHES)
def test_publishing_that_goes_wrong_writes_nothing(shop: Shop, registry: Path, case: str) -> None:
    arguments, said = PUBLISHES[case]
    (registry / "fraud" / "1" / "model.onnx").write_bytes(b"x")
    log = shop.folder / "modes.jsonl"
    told = error(
        shop,
        "models",
        "publish",
        arguments[0],
        "--config",
        log,
        "--registry",
        registry,
        "--reason",
        "r",
        *arguments[1:],
    )
    assert told.startswith("error: " + said.format(registry=registry))
    assert not log.exists()


def test_a_policy_with_models_is_published_and_its_rules_set_live_with_the_registry(shop: Shop, registry: Path) -> None:
    """Which columns a version reads is part of what its rules mean, and stands in the registry."""
    log = shop.folder / "config.jsonl"
    say = ("--config", log, "--by", "ann", "--reason", "r")
    models = ("--registry", registry)
    assert error(shop, "publish", shop.policy, *say, "--yes") == (
        "error: policy shop has models (fraud@1), and no registry is given: give --registry DIR"
    )
    assert not log.exists()
    shop.change(("mode: live, warmup: ignore}", "mode: shadow, warmup: ignore}"))
    assert "is published" in shop.watchgate("publish", shop.policy, *say, *models, "--yes").out
    assert error(shop, "mode", "set", "risky", "live", *say, "--yes") == (
        f"error: policy shop, the last one published to {log}, has models (fraud), which say what version of risky may "
        "act: give --registry DIR, the one that the job has"
    )
    for mode, more in (
        ("off", ()),
        ("live", models),
    ):  # what lets nothing act needs no registry, for whoever is in haste
        assert f"risky is set to {mode}" in shop.watchgate("mode", "set", "risky", mode, *say, *more, "--yes").out
    digests = [orjson.loads(line)["value"].get("digest") for line in log.read_bytes().splitlines()[2:]]
    assert digests[0] is None and digests[1] is not None
    shop.run(shop.write(EVENTS), "out", *models, "--config", log)
    acted = {v["event_id"] for v in shop.read("verdicts") if any(r["rule"] == "risky" for r in v["rules"])}
    assert acted == {f"p{i}" for i in range(4, 10)}
    shown = shop.watchgate("mode", "list", shop.policy, "--config", log, *models)
    assert re.search(r"risky +live +ann", shown.out) and "changed" not in shown.err


def test_publishing_a_policy_whose_model_does_not_fit_sends_nothing(shop: Shop, registry: Path) -> None:
    log = shop.folder / "config.jsonl"
    shop.change(("fraud: {version: 1}", "fraud: {version: 7}"))
    told = error(shop, "publish", shop.policy, "--config", log, "--reason", "r", "--registry", registry, "--yes")
    assert "has no version 7 of fraud" in told and not log.exists()


def test_showing_that_goes_wrong(shop: Shop, registry: Path) -> None:
    assert error(shop, "models", "show", "fraud", "--registry", registry, "--at", "accuracy=1") == (
        "error: --at takes precision=, recall= or alerts_per_day= and a number above 0, not 'accuracy=1'"
    )
    assert error(shop, "models", "show", "froud", "--registry", registry) == (
        f"error: the registry {registry} has no model froud (did you mean `fraud`?). It has fraud."
    )


def test_the_table_at_the_end_counts_events_without_a_score() -> None:
    from jobs.embedded import Summary
    from jobs.report import counts_line

    said = counts_line(Summary(7, False, {"judged": 7, "unscored": 3}, {}, {}))
    assert said.endswith("0 too late for a window, 3 without the score of a model that was not there or failed")
