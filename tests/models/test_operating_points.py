"""threshold(model, point): a number of the calibration set, another one for another version, and overridden by a record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.curves import curve_of
from operators.operating_points import UnreachableError, operating_point
from schemas.manifest import Curve
from schemas.problem import PolicyError
from tests.judge.worlds import NOON, record, rule
from tests.models.test_swapping import swap
from tests.models.worlds import World, fired

CURVE = Curve(
    events=1_000, positives=40, days=10.0,
    scores=[0.9, 0.8, 0.6, 0.4, 0.2], flagged=[10, 20, 40, 100, 1_000], caught=[9, 19, 30, 36, 40],
)  # fmt: skip
WEAK = Curve(events=100, positives=10, days=1.0, scores=[0.7, 0.3], flagged=[10, 100], caught=[5, 10])


@pytest.mark.parametrize(
    ("point", "wanted", "threshold"),
    [
        ("precision", 0.95, 0.8), ("precision", 0.9, 0.8), ("precision", 0.7, 0.6), ("precision", 0.04, 0.2),
        ("recall", 0.2, 0.9), ("recall", 0.5, 0.6), ("recall", 1.0, 0.2), ("recall", 0.9, 0.4),
        ("alerts_per_day", 4.0, 0.6), ("alerts_per_day", 3.9, 0.8), ("alerts_per_day", 1e9, 0.2),
    ],
)  # fmt: skip
def test_points_of_a_curve(point: Any, wanted: float, threshold: float) -> None:
    assert operating_point(CURVE, point, wanted).threshold == threshold


@pytest.mark.parametrize(
    ("point", "wanted", "said"),
    [
        ("precision", 0.96, "precision=0.96 is not reached on its calibration set: the best is 0.95, from 0.8 on (20 events)"),
        ("alerts_per_day", 0.5, "alerts_per_day=0.5 is not reached on its calibration set: the fewest are 1, from 0.9 on"),
    ],
)  # fmt: skip
def test_points_that_are_not_reached(point: Any, wanted: float, said: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        operating_point(CURVE, point, wanted)
    assert str(caught.value) == said
    nobody = Curve(events=5, positives=0, days=1, scores=[0.5], flagged=[5], caught=[0])
    with pytest.raises(UnreachableError, match="its calibration set has no positive event"):
        operating_point(nobody, "recall", 0.5)
    some = Curve(events=5, positives=3, days=1, scores=[0.5], flagged=[3], caught=[2])
    with pytest.raises(UnreachableError, match="recall=0.9 is not reached on its calibration set: the most is 0.667"):
        operating_point(some, "recall", 0.9)


def test_a_threshold_does_on_its_calibration_set_what_it_promises() -> None:
    rng = np.random.default_rng(8)
    scores = np.round(rng.random(30_000), 6)
    labels = rng.random(30_000) < scores**6
    curve = curve_of(scores, labels, 3.0)
    for wanted in (0.5, 0.8, 0.9):
        flagged = scores >= operating_point(curve, "precision", wanted).threshold
        assert labels[flagged].mean() >= wanted
        flagged = scores >= operating_point(curve, "recall", wanted).threshold
        assert labels[flagged].sum() >= wanted * labels.sum()
    assert (scores >= operating_point(curve, "alerts_per_day", 50).threshold).sum() <= 150


RULES = {"risky": rule("fraud >= threshold(fraud, precision=0.95)", on="payment")}


def world_of(tmp_path: Path, **parts: Any) -> World:
    world = World(tmp_path / "registry", **{"rules": RULES, **parts})
    world.fraud(curve=CURVE.model_dump())
    world.fraud(curve=CURVE.model_dump() | {"scores": [0.99, 0.97, 0.6, 0.4, 0.2]})
    return world


def thresholds(result: Any) -> list[dict[str, float]]:
    return [v["scores"]["fraud"]["thresholds"] for _, v in result.verdicts]


def test_a_rule_at_an_operating_point_and_the_verdict_that_says_which_number_it_was(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    line = world.timeline()
    found = world.judge(line, [500.0, 540.0], emit="all")  # scores 0.731 and 0.802
    assert fired(found) == [("e1", "risky", "live")]
    assert thresholds(found) == [{"precision=0.95": 0.8}] * 2
    assert found.verdicts[1][1]["rules"][0]["reason"] == "fraud 0.802184 (>= 0.8)"  # type: ignore[index]
    line.offer(swap(2), NOON)
    swapped = world.judge(line, [540.0, 800.0], at=[NOON + 1] * 2, emit="all")
    assert fired(swapped) == [("e1", "risky", "live")] and thresholds(swapped) == [{"precision=0.95": 0.97}] * 2
    digests = {r.digest for program in (world.program(), line.at(NOON + 1).program) for r in program.rules}
    assert len(digests) == 1


def test_a_threshold_record_holds_for_the_version_it_was_set_for(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    line = world.timeline()
    (told,) = line.offer(record("threshold/fraud", {"value": 0.7}), NOON)
    assert told["message"] == ("threshold of fraud@1: precision=0.95 is 0.7 (was 0.8) from 2026-01-01T12:00:00.000Z on")
    assert thresholds(world.judge(line, [500.0], emit="all")) == [{"precision=0.95": 0.7}]
    again = world.timeline()
    again.restore(line.snapshot())
    assert fired(world.judge(again, [500.0])) == [("e0", "risky", "live")]
    line.offer(swap(2), NOON)
    assert thresholds(world.judge(line, [500.0], at=[NOON + 1], emit="all")) == [{"precision=0.95": 0.97}]
    line.offer(swap(1), NOON + 1)
    assert thresholds(world.judge(line, [500.0], at=[NOON + 2], emit="all")) == [{"precision=0.95": 0.7}]


def test_which_of_several_points_a_record_is_for(tmp_path: Path) -> None:
    rules = {
        "hold": rule("fraud >= threshold(fraud, precision=0.95)"),
        "review": rule("fraud >= threshold(fraud, recall=0.9)"),
    }
    world = world_of(tmp_path, rules=rules)
    line = world.timeline()
    told = {
        record("threshold/fraud", {"value": 0.7}): "fraud has 2 operating points in the policy (precision=0.95, recall=0.9): name one as point",
        record("threshold/fraud", {"value": 0.7, "point": "recall=0.8"}): "the policy has no operating point recall=0.8 of fraud; it has precision=0.95, recall=0.9",
        record("threshold/froud", {"value": 0.7}): "the policy has no model froud: did you mean fraud?",
    }  # fmt: skip
    for offered, why in told.items():
        assert str(line.offer(offered, NOON)[0]["message"]).endswith(f"was rejected: {why}")
    line.offer(record("threshold/fraud", {"value": 0.7, "point": "recall=0.9"}), NOON)
    assert thresholds(world.judge(line, [0.0], emit="all")) == [{"precision=0.95": 0.8, "recall=0.9": 0.7}]
    plain = world.timeline(world.program(rules={"x": rule("fraud > 0.5")}))
    (told_one,) = plain.offer(record("threshold/fraud", {"value": 0.7}), NOON)
    assert str(told_one["message"]).endswith(
        "no rule of the policy asks for a threshold of fraud: write threshold(fraud, precision=0.95)"
    )


@pytest.mark.parametrize(
    ("when", "said", "hint"),
    [
        ("fraud >= threshold(fraud)", "threshold takes 2 arguments, not 1", "write threshold(model, precision=0.95), or recall=, or alerts_per_day="),
        ("fraud >= threshold('fraud', recall=0.5)", "threshold asks about a model, named without quotes", "write threshold("),
        ("fraud >= threshold(froud, recall=0.5)", "there is no model `froud`", "did you mean `fraud`?"),
        ("fraud >= threshold(amount, recall=0.5)", "there is no model `amount`", "models of this policy: both, fraud, plain"),
        ("fraud >= threshold(fraud, 0.95)", "this is no operating point", "write threshold("),
        ("fraud >= threshold(fraud, precison=0.95)", "there is no operating point `precison`", "did you mean `precision`?"),
        ("fraud >= threshold(fraud, precision=95)", "precision is a number above 0 and up to 1", "write threshold("),
        ("fraud >= threshold(fraud, alerts_per_day=0)", "alerts_per_day is a number above 0", "write threshold("),
        ("fraud >= threshold(fraud, recall='x')", "recall is a number above 0 and up to 1", "write threshold("),
        ("fraud >= threshold(fraud, precision=0.99)", "fraud@1: precision=0.99 is not reached on its calibration set: the best is 0.95", "ask for less, or train a better model"),
        ("both >= threshold(both, recall=0.5)", "both is an ensemble, and has no calibration set", "write a number, or train a model over its members"),
        ("plain >= threshold(plain, recall=0.5)", "plain@1 has no calibration set", "write a number, set it with a threshold record, or import it with --calibrate"),
        ("treshold(fraud, recall=0.5) < fraud", "unknown function `treshold`", "did you mean `threshold`?"),
    ],
)  # fmt: skip
def test_points_that_there_are_not_are_told_at_their_place(tmp_path: Path, when: str, said: str, hint: str) -> None:
    models = {"fraud": {"version": 1}, "plain": {"version": 1}, "both": {"mean": ["fraud", "plain"]}}
    world = world_of(tmp_path, models=models)
    from tests.models.builders import logistic, put

    put(world.root, logistic([1.0]), "plain", world.inputs("amount"))
    with pytest.raises(PolicyError) as caught:
        world.program(rules={"x": rule(when)})
    (problem,) = caught.value.problems
    assert problem.message.startswith(said) and (problem.hint or "").startswith(hint)
