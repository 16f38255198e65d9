"""Scores in judge: what rules make of them, what verdicts say, and what happens where a model has no answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from models.registry import StoredModel
from models.shelf import Shelf
from operators.act import Actor
from operators.plan import Program
from operators.scoring import Scores
from operators.timeline import BEGUN
from schemas.manifest import ModelInput
from schemas.problem import PolicyError
from schemas.verdict import Verdict
from tests.judge.worlds import HOUR, NOON, rule
from tests.models.builders import logistic, network, put, words
from tests.models.worlds import World, fired, trusting


def sigmoid(x: float) -> float:
    return 1 / (1 + float(np.exp(-x)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path / "registry")
    found.fraud()
    return found


def test_rules_read_scores_and_verdicts_say_which_version(world: World) -> None:
    found = world.judge(world.timeline(), [700.0, 100.0, 620.0], posts=[0, 0, 1])
    assert fired(found) == [
        ("e0", "risky", "live"), ("e0", "mixed", "live"), ("e2", "risky", "live"), ("e2", "mixed", "live"),
    ]  # fmt: skip
    for _, verdict in found.verdicts:
        Verdict.model_validate_json(orjson.dumps(verdict))
    first: Any = found.verdicts[0][1]
    score = first["scores"]["fraud"]
    assert (score["version"], score["thresholds"], score["because"]) == (1, {}, [])
    assert score["value"] == pytest.approx(sigmoid(3.0), abs=1e-6)
    assert first["rules"][0]["reason"] == f"fraud {score['value']:.6g} (>= 0.9)"
    assert set(first["features"]) == {"posts_1h"}


def test_the_warm_up_waits_for_windows_behind_a_score(tmp_path: Path) -> None:
    world = World(tmp_path / "r", rules={"risky": rule("fraud >= 0.9", warmup="wait")})
    world.fraud()
    line = world.timeline()
    world.judge(line, [0.0] * BEGUN)
    assert fired(world.judge(line, [900.0], at=[NOON + HOUR - 1])) == [("e0", "risky", "warming_up")]
    assert fired(world.judge(line, [900.0], at=[NOON + HOUR])) == [("e0", "risky", "live")]


def test_a_null_score_never_fires_and_models_look_at_the_rules_events_only(world: World) -> None:
    line = world.timeline(world.program(rules={"not_low": rule("NOT fraud < 0.1", on="payment")}))
    asked: list[int] = []
    scorer: Any = world.shelf.ready("fraud", 1)
    whole = scorer.score
    scorer.score = lambda inputs: asked.append(inputs.height) or whole(inputs)
    found = world.judge(line, [None, 900.0, 900.0], type=["payment", "payment", "post"])
    assert fired(found) == [("e1", "not_low", "live")]
    assert asked == [2]
    assert world.judge(line, [900.0], type=["post"]).verdicts == [] and asked == [2]


def test_emit_all_shows_every_score_that_some_rule_reads(world: World) -> None:
    found = world.judge(world.timeline(), [100.0, None], emit="all")
    values = [v["scores"]["fraud"]["value"] for _, v in found.verdicts]  # type: ignore[index]
    assert values == [pytest.approx(sigmoid(-3.0), abs=1e-6), None]


def test_a_model_that_is_not_there_yet_makes_its_rules_shadow(world: World) -> None:
    line = world.timeline()
    world.shelf = Shelf(world.registry, inspect=lambda models: sleep(20) or [None], patience_seconds=0.0)
    found = world.judge(line, [2_000.0, 10.0])
    assert fired(found) == [("e0", "dear", "live"), ("e0", "mixed", "model_unavailable")]
    assert [mode for mode, _ in Actor("shop").act(found.hits).enforcement] == ["live", "shadow"]
    shadow: Any = found.verdicts[1][1]
    assert shadow["scores"]["fraud"]["value"] is None
    (told,) = found.errors
    assert (told["kind"], told["subject"], told["detail"]["events"]) == ("model_unavailable", "model/fraud", 2)  # type: ignore[index]
    assert told["message"] == (
        "model fraud@1 has no answer yet: events have no score of it, and rules that read it are shadow"
    )
    again = world.judge(line, [2_000.0], first=2)
    assert (again.errors, dict(again.unscored), dict(found.unscored)) == ([], {"fraud": 1}, {"fraud": 2})


def test_judge_waits_for_a_model_that_another_process_has_and_this_one_not_yet(world: World) -> None:
    line = world.timeline()
    world.shelf = Shelf(world.registry, inspect=lambda models: sleep(0.2) or [None])
    found = world.judge(line, [900.0])
    assert fired(found) == [("e0", "risky", "live"), ("e0", "mixed", "live")] and not found.errors


def test_what_a_job_puts_around_threads_is_around_the_one_that_loads(world: World) -> None:
    seen: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        seen.append(threading.current_thread().name)
        yield
        seen.append("loaded")

    world.shelf = Shelf(world.registry, inspect=trusting, around=around)
    world.shelf.manifest("fraud", 1)
    assert world.shelf.settle("fraud", 1) is None
    assert seen == ["load models", "loaded"]


@pytest.mark.parametrize("broken", ["raises", "one row"])
def test_a_model_that_fails_takes_no_other_rule_and_no_other_row_with_it(world: World, broken: str) -> None:
    line = world.timeline()
    scorer: Any = world.shelf.ready("fraud", 1)
    whole = scorer.score

    def score(inputs: Any) -> Scores:
        if broken == "raises":
            raise RuntimeError("a value of an event")
        found = whole(inputs)
        found.values[1], found.failed, found.error = np.nan, np.arange(len(found.values)) == 1, "RuntimeError"
        return found

    scorer.score = score
    found = world.judge(line, [900.0, 2_000.0])
    expected = [("e1", "dear", "live"), ("e1", "mixed", "model_unavailable")]
    if broken == "one row":
        expected = [("e0", "risky", "live"), ("e0", "mixed", "live"), *expected]
    else:
        expected = [("e0", "mixed", "model_unavailable"), *expected]
    assert fired(found) == expected
    (told,) = found.errors
    assert (told["kind"], told["message"]) == (
        "model_failed",
        "model fraud@1 failed: those events have no score of it, and rules that read it are shadow there (RuntimeError)",
    )
    assert world.judge(line, [2_000.0, 2_000.0]).errors == []


def test_an_error_in_an_input_is_a_rule_error_not_an_imputed_score(tmp_path: Path) -> None:
    world = World(tmp_path / "r", parts={"derive": {"size": "length(text)"}}, rules={"any": rule("fraud >= 0.0")})
    put(world.root, logistic([0.0], 1.0), "fraud", world.inputs("size", size=0.0))
    from tests.judge.worlds import fails_on

    line = world.timeline(fails_on(world.program(), "size", "text", "bad"))
    found = world.judge(line, [1.0, 1.0], columns={"text": ["bad", "good"]})
    assert fired(found) == [("e0", "any", "rule_error"), ("e1", "any", "live")]


def test_ensembles(tmp_path: Path) -> None:
    models = {
        "fraud": {"version": 1}, "other": {"version": 1},
        "both": {"mean": ["fraud", "other"]}, "worst": {"max": ["fraud", "other"]},
        "blend": {"weighted": {"fraud": 3.0, "other": 1.0}},
        "top": {"max": ["both", "blend"]},
        "stack": {"version": 1, "inputs": ["fraud", "other", "amount"]},
    }  # fmt: skip
    rules = {n: rule(f"{n} > 0", on="payment") for n in ("both", "worst", "blend", "top", "stack")}
    world = World(tmp_path / "r", models=models, rules=rules)
    world.fraud()
    put(world.root, logistic([-0.01], 1.0), "other", world.inputs("amount"))
    stacked = [
        ModelInput(name="fraud", fingerprint="model:fraud@1"),
        ModelInput(name="other", fingerprint="model:other@1"),
        *world.inputs("amount"),
    ]
    put(world.root, logistic([1.0, -1.0, 0.0]), "stack", stacked)
    found = world.judge(world.timeline(), [300.0])
    a, b = round(sigmoid(-1.0), 6), round(sigmoid(-2.0), 6)
    scores: Any = found.verdicts[0][1]["scores"]
    assert {n: s["value"] for n, s in scores.items()} == {
        "fraud": a, "other": b, "both": pytest.approx((a + b) / 2, abs=1e-6), "worst": a,
        "blend": pytest.approx((3 * a + b) / 4, abs=1e-6), "top": scores["blend"]["value"],
        "stack": pytest.approx(sigmoid(a - b), abs=2e-6),
    }  # fmt: skip
    assert scores["blend"]["version"] is None
    assert scores["blend"]["because"] == [
        {"input": "fraud", "value": a, "effect": pytest.approx(0.75 * a), "span": None},
        {"input": "other", "value": b, "effect": pytest.approx(0.25 * b), "span": None},
    ]
    assert [one["input"] for one in scores["worst"]["because"]] == ["fraud"]
    none = world.judge(world.timeline(), [None], emit="all").verdicts[0][1]["scores"]
    assert all(score["value"] is None for score in none.values())  # type: ignore[attr-defined]


def test_a_model_that_reads_itself_is_a_loop_like_another(tmp_path: Path) -> None:
    models = {"fraud": {"version": 1}, "both": {"mean": ["fraud", "both"]}}
    world = World(tmp_path / "r", models=models, rules={"x": rule("both > 0.5")})
    world.fraud()
    with pytest.raises(PolicyError) as caught:
        world.program()
    (problem,) = [one for one in caught.value.problems if one.path == ("models", "both")]
    assert problem.message == "models and derived columns depend on each other: both -> both"
    assert problem.hint == "a model reads what is known before it"


def test_a_stack_over_a_version_refuses_another(tmp_path: Path) -> None:
    models = {"fraud": {"version": 2}, "stack": {"version": 1, "inputs": ["fraud"]}}
    world = World(tmp_path / "r", models=models, rules={"x": rule("stack > 0.5")})
    world.fraud()
    world.fraud(bias=-5.0)
    put(world.root, logistic([1.0]), "stack", [ModelInput(name="fraud", fingerprint="model:fraud@1")])
    with pytest.raises(PolicyError, match="model stack: input fraud is not what version 1 was trained on"):
        world.program()


def test_a_stack_over_what_is_derived_from_a_score_is_bound_to_the_version_behind_it(tmp_path: Path) -> None:
    plain = World(tmp_path / "r")
    plain.fraud()
    plain.fraud(bias=-5.0)

    def program(version: int, **more: Any) -> Program:
        models = {"fraud": {"version": version}, **more}
        rules = {"x": rule(f"{next(iter(more), 'twice')} > 0.5")}
        return World(tmp_path / "r", models=models, rules=rules, parts={"derive": {"twice": "2 * fraud"}}).program()

    assert program(1).prints["twice"] != program(2).prints["twice"]
    put(plain.root, logistic([1.0]), "stack", [ModelInput(name="twice", fingerprint=program(1).prints["twice"])])
    stack = {"version": 1, "inputs": ["twice"]}
    assert program(1, stack=stack).rules[0].models == ("stack", "fraud")
    with pytest.raises(PolicyError, match="model stack: input twice is not what version 1 was trained on"):
        program(2, stack=stack)


def test_explanations_stand_in_verdicts_of_hits_only_and_never_hold_a_text(tmp_path: Path) -> None:
    models = {"fraud": {"version": 1}, "spam": {"version": 1}}
    world = World(tmp_path / "r", models=models, rules={"x": rule("fraud >= 0.5 OR spam >= 0.5")})
    world.fraud(explanation={"kind": "linear", "coefficients": [0.01, 1.0], "means": [100.0, 0.0]})
    texts = [ModelInput(name="text", type="text", fingerprint=world.plain.prints["text"]), *world.inputs("amount")]
    put(
        world.root, words({"buy now": 0.9}), "spam", texts[:1], explanation={"kind": "baseline", "values": [None]}
    )  # fmt: skip
    found = world.judge(
        world.timeline(), [500.0, 0.0], posts=[2.0, 0.0], emit="all", columns={"text": ["buy now", "hello"]}
    )
    first, second = (v["scores"] for _, v in found.verdicts)
    assert first["fraud"]["because"] == [  # type: ignore[index]
        {"input": "amount", "value": 500.0, "effect": 4.0, "span": None},
        {"input": "posts_1h", "value": 2.0, "effect": 2.0, "span": None},
    ]
    assert first["spam"]["because"] == [] and second["fraud"]["because"] == []  # type: ignore[index]
    assert b"buy now" not in orjson.dumps([v for _, v in found.verdicts])


def test_a_challenger_is_scored_beside_and_acts_on_nobody(tmp_path: Path) -> None:
    world = World(tmp_path / "r", models={"fraud": {"version": 1, "challenger": 2}})
    world.fraud()
    world.fraud(bias=-2.0)
    found = world.judge(world.timeline(), [450.0, 700.0, 1_200.0])
    assert fired(found) == [
        ("e0", "risky", "challenger"), ("e0", "mixed", "challenger"),
        ("e1", "risky", "live"), ("e1", "mixed", "live"), ("e1", "risky", "challenger"), ("e1", "mixed", "challenger"),
        ("e2", "risky", "live"), ("e2", "dear", "live"), ("e2", "mixed", "live"),
        ("e2", "risky", "challenger"), ("e2", "mixed", "challenger"),
    ]  # fmt: skip
    assert {hit.event_id for hit in found.hits} == {"e1", "e2"} and all(hit.mode == "live" for hit in found.hits)
    assert found.counts["risky", "challenger"] == 3 and found.counts["risky", "live"] == 2
    shadow: Any = found.verdicts[0][1]
    assert list(shadow["scores"]) == ["fraud@2"] and shadow["scores"]["fraud@2"]["version"] == 2
    assert shadow["scores"]["fraud@2"]["value"] == pytest.approx(sigmoid(2.5), abs=1e-6)
    assert shadow["rules"][0]["reason"].startswith("fraud 0.924142")
    for _, verdict in found.verdicts:
        Verdict.model_validate_json(orjson.dumps(verdict))


def test_judging_does_not_depend_on_cuts(tmp_path: Path) -> None:
    world = World(tmp_path / "r", models={"fraud": {"version": 1, "challenger": 2}})
    put(world.root, network(2), "fraud", world.inputs("amount", "posts_1h"))
    put(world.root, network(2, seed=9), "fraud", world.inputs("amount", "posts_1h"))
    rng = np.random.default_rng(3)
    amounts, posts = np.round(rng.normal(size=900) * 600, 2).tolist(), rng.integers(0, 5, 900).astype(float).tolist()
    whole = world.judge(world.timeline(), amounts, posts, emit="all").verdicts
    for size, count in ((1, 40), (7, 900), (64, 900), (500, 900)):
        line, verdicts = world.timeline(), []
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            verdicts += world.judge(line, amounts[part], posts[part], first=start, emit="all").verdicts
        ids = {v["event_id"] for _, v in verdicts}
        assert len(ids) == count
        assert orjson.dumps(verdicts) == orjson.dumps([v for v in whole if v[1]["event_id"] in ids])


def test_scores_of_stored_models_are_the_same_everywhere(world: World) -> None:
    stored: StoredModel = world.registry.load("fraud", 1)
    scorer: Any = world.shelf.ready("fraud", 1) or world.shelf.settle("fraud", 1) or world.shelf.ready("fraud", 1)
    direct = scorer.score(pl.DataFrame({"a": [700.0], "b": [0.0]})).values[0]
    found = world.judge(world.timeline(), [700.0])
    assert found.verdicts[0][1]["scores"]["fraud"]["value"] == direct  # type: ignore[index]
    assert stored.manifest.version == 1
