"""`models import --calibrate`: somebody else's model gets thresholds and explanations from labelled events."""

from pathlib import Path

import pytest
from onnx import helper

from schemas.times import iso
from tests.e2e.conftest import START, Json, Shop, pay, write_lines
from tests.models.builders import logistic, onnx_bytes, tensor

HOUR = 3_600_000
EVENTS = [pay(f"p{i}", START + i * HOUR, f"a{i}", amount=float(i * 37 % 100)) for i in range(100)]
"""Amounts 0 to 99, in no order, over four days and a little more."""


def labels(positive_from: float = 70.0) -> list[Json]:
    """Dear is bad, but for one in ten; p0 to p4 are not labelled."""
    return [
        {
            "event_id": event["id"],
            "name": "fraud",
            "value": (event["amount"] >= positive_from) != (i % 10 == 9),
            "event_time": iso(event["at"]),
            "known_at": iso(event["at"] + HOUR),
        }
        for i, event in enumerate(EVENTS)
        if i >= 5
    ]


def options(shop: Shop, *more: object) -> list[object]:
    file = shop.folder / "net.onnx"
    file.write_bytes(logistic([0.1, 0.0], -7.0))
    return ["models", "import", file, "--name", "net", "--inputs", "amount,spend_1h", "--policy", shop.policy, "--registry", shop.folder / "r", *more]  # fmt: skip


def test_it_has_thresholds_and_tells_why(shop: Shop) -> None:
    events, known = shop.write(EVENTS), write_lines(shop.folder / "labels.jsonl", labels())
    done = shop.watchgate(*options(shop, "--calibrate", events, "--labels", known, "--target", "fraud"))
    assert done.status == 0, done.err
    told = labels()
    positives = sum(bool(one["value"]) for one in told)
    assert f"calibration set: 95 labelled events, {positives} positive; average precision 0." in done.out
    assert done.out.endswith("left out: 5 events without a label, 0 labels of events that are not in the input\n")
    assert shop.watchgate("models", "verify", "--registry", shop.folder / "r").out == "ok      net@1\n"
    shown = shop.watchgate("models", "show", "net@1", "--at", "recall=0.5", "--registry", shop.folder / "r")
    assert "on 95 events of 3.92 days" in shown.out

    shop.change(("rules:", "models:\n  net: {version: 1}\nrules:\n  risky: {on: pay, when: 'net >= threshold(net, recall=0.5)', action: hold, target: account, mode: live, warmup: ignore}"))  # fmt: skip
    shop.run(events, "out", "--registry", shop.folder / "r")
    found = {v["event_id"]: v["scores"]["net"] for v in shop.read("verdicts") if "net" in v["scores"]}
    hits = [one for one in told if one["event_id"] in found]
    assert sum(bool(one["value"]) for one in hits) == -(-positives // 2), "what recall=0.5 promises"
    dear = max(found.values(), key=lambda score: score["value"])
    assert [one["input"] for one in dear["because"]] == ["amount"] and dear["because"][0]["effect"] > 0.8


def test_a_score_that_is_no_probability_has_no_brier_score(shop: Shop) -> None:
    events, known = shop.write(EVENTS), write_lines(shop.folder / "labels.jsonl", labels())
    arguments = options(shop, "--calibrate", events, "--labels", known, "--target", "fraud")
    total = helper.make_node("ReduceSum", ["x", "axes"], ["score"], keepdims=1)
    (shop.folder / "net.onnx").write_bytes(
        onnx_bytes([total], [tensor("x", [None, 2])], [tensor("score", [None, 1])], {"axes": [1]})
    )
    done = shop.watchgate(*arguments)
    assert done.status == 0, done.err
    shown = shop.watchgate("models", "show", "net@1", "--registry", shop.folder / "r").out
    assert "average_precision 0." in shown and "auc 0." in shown and "brier" not in shown


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("alone", "--calibrate EVENTS, --labels LABELS, --target NAME and --policy POLICY go together: the policy computes the model's inputs for the events, and the labels say what they were"),
        ("one class", "all 95 labels are true, and thresholds are made of both: give events of the other class too"),
        ("no event", "none of the 95 labels is of one of the 100 events: event_id of a label must be the event's id, as the policy's id: gives it"),
        ("no score", "0 of 95 labelled events have a score, and those are not of both classes: see --on-null for inputs that are NULL"),
        ("target", "{labels} has no labels named spam: it has fraud"),
    ],
)  # fmt: skip
def test_what_gives_no_calibration_set(case: str, said: str, shop: Shop) -> None:
    events, found = EVENTS, labels()
    if case == "one class":
        found = [one | {"value": True} for one in found]
    if case == "no event":
        found = [one | {"event_id": f"x{one['event_id']}"} for one in found]
    if case == "no score":
        events = [{name: value for name, value in event.items() if name != "amount"} for event in events]
    known: Path = write_lines(shop.folder / "labels.jsonl", found)
    more: list[object] = ["--calibrate", shop.write(events)]
    if case != "alone":
        more += ["--labels", known, "--target", "spam" if case == "target" else "fraud"]
    done = shop.watchgate(*options(shop, *more))
    assert (done.status, done.out) == (2, "")
    assert done.err == f"error: {said.format(labels=known)}\n"
    assert not (shop.folder / "r").exists()
