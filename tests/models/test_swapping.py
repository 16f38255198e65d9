"""A version changes while events flow: at an epoch, checked before it scores, never a mixture, and back again at once."""

import threading
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.shelf import Shelf
from operators.model_gate import settle_models
from operators.timeline import Timeline, TimelineError
from tests.judge.worlds import HOUR, NOON, compile_document, record, rule
from tests.models.builders import logistic, network, put
from tests.models.worlds import World, fired, trusting

LATER = "2026-01-01T13:00:00Z"
RISKY = {"risky": rule("fraud >= 0.5", on="payment")}


def swap(version: int, mode: str = "live", effective_at: str | None = None, name: str = "fraud") -> bytes:
    return record(f"model/{name}", {"version": version, "mode": mode}, effective_at)


def world_of(tmp_path: Path, *biases: float, **parts: Any) -> World:
    world = World(tmp_path / "registry", **{"rules": RISKY, **parts})
    for bias in biases:
        world.fraud(bias=bias)
    return world


def versions(result: Any) -> list[int]:
    return [v["scores"]["fraud"]["version"] for _, v in result.verdicts]


def test_a_version_is_in_force_from_its_epoch_on_and_no_event_is_scored_by_a_mixture(tmp_path: Path) -> None:
    world = world_of(tmp_path, -4.0, -8.0)
    amounts, times = [600.0] * 6, [NOON, NOON + 1, NOON + HOUR - 1, NOON + HOUR, NOON + HOUR, NOON + 2 * HOUR]
    line = world.timeline()
    (told,) = line.offer(swap(2, effective_at=LATER), NOON)
    assert (told["kind"], told["subject"], told["epoch"]) == ("config_applied", "model/fraud", "t:1")
    assert (
        told["message"] == "model fraud is to be version 2, once it is loaded (was 1), from 2026-01-01T13:00:00.000Z on"
    )
    assert told["detail"]["version"] == 2 and told["detail"]["challenger"] is None  # type: ignore[index]
    whole = world.judge(line, amounts, at=times, emit="all")
    assert versions(whole) == [1, 1, 1, 2, 2, 2]
    assert [v["epoch"] for _, v in whole.verdicts] == ["t:0"] * 3 + ["t:1"] * 3
    assert [event for event, *_ in fired(whole)] == ["e0", "e1", "e2"]
    cut, verdicts = world.timeline(), []
    cut.offer(swap(2, effective_at=LATER), NOON)
    for i in range(6):
        verdicts += world.judge(cut, amounts[i : i + 1], at=times[i : i + 1], first=i, emit="all").verdicts
    assert verdicts == whole.verdicts


@pytest.mark.parametrize("size", [1_000, 97])
def test_twenty_swaps_under_load_leave_no_event_unscored(tmp_path: Path, size: int) -> None:
    world = world_of(tmp_path, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0)
    line = world.timeline()
    times = [NOON + i for i in range(1_000)]
    changes = {40 * k + 20: 1 + k % 6 for k in range(1, 21)}
    for at, version in changes.items():
        line.offer(swap(version, effective_at=f"2026-01-01T12:00:00.{at:03d}Z"), NOON - 1)
    found = []
    for start in range(0, 1_000, size):
        part = times[start : start + size]
        judged = world.judge(line, [600.0] * len(part), at=part, first=start, emit="all")
        assert not world.notes and not judged.errors and not judged.unscored
        found += judged.verdicts
    expected, version = [], 1
    for i in range(1_000):
        version = changes.get(i, version)
        expected.append(version)
    scores: list[Any] = [v["scores"]["fraud"] for _, v in found]
    assert [score["version"] for score in scores] == expected
    of_version = {score["version"]: score["value"] for score in scores}
    assert len(set(of_version.values())) == 6
    assert all(score["value"] == of_version[score["version"]] for score in scores)


def test_a_rollback_needs_no_loading(tmp_path: Path) -> None:
    loaded: list[int] = []

    def counting(models: Sequence[StoredModel]) -> list[str | None]:
        loaded.append(models[0].manifest.version)
        return trusting(models)

    world = world_of(tmp_path, -4.0, -8.0, inspect=counting)
    line = world.timeline()
    for number, version in enumerate((2, 1, 2, 1)):
        line.offer(swap(version), NOON)
        found = world.judge(line, [600.0], at=[NOON + number], first=number, emit="all")
        assert versions(found) == [version] and not world.notes
    assert loaded == [1, 2]


def test_a_challenger_by_record_and_its_end(tmp_path: Path) -> None:
    world = world_of(tmp_path, -8.0, -4.0)
    line = world.timeline()
    (told,) = line.offer(swap(2, "shadow"), NOON)
    assert (
        told["message"]
        == "version 2 of model fraud is to be its challenger, once it is loaded, beside version 1 from 2026-01-01T12:00:00.000Z on"
    )
    assert fired(world.judge(line, [600.0])) == [("e0", "risky", "challenger")]
    (told,) = line.offer(swap(1, "shadow"), NOON)
    assert str(told["message"]).startswith("model fraud is version 1, and has no challenger from")
    assert fired(world.judge(line, [600.0], at=[NOON + 1])) == []
    (told,) = line.offer(swap(1), NOON)
    assert str(told["message"]).startswith("model fraud is version 1 as before from")
    line.offer(swap(2, "shadow"), NOON + 2)
    line.offer(swap(2, "live"), NOON + 3)
    assert fired(world.judge(line, [600.0], at=[NOON + 4])) == [("e0", "risky", "live")]


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        (swap(9), "model fraud: the registry {root} has no version 9 of fraud. It has 1, 2, 3, 4."),
        (swap(1, name="froud"), "the policy has no model froud: did you mean fraud?"),
        (swap(1, name="zzz"), "the policy has no model zzz; it has both, fraud, spam"),
        (swap(1, name="both"), "both is an ensemble of fraud, spam: it has no version of its own"),
        (
            swap(2),
            "model fraud: input posts_1h is not what version 2 was trained on: its definition is another",
        ),
        (swap(3), "model fraud: version 3 reads 1 inputs (amount), the policy gives it 2"),
        (
            swap(4),
            "model fraud: fraud@4 has no model.onnx in {root}/fraud/4: it was copied in part",
        ),
        (swap(3, "shadow"), "as the challenger: model fraud: version 3 reads 1 inputs (amount), the policy gives it 2"),
    ],
)
def test_a_version_that_does_not_fit_is_rejected_and_the_one_before_stays(
    tmp_path: Path, offered: bytes, why: str
) -> None:
    models = {
        "fraud": {"version": 1, "inputs": ["amount", "posts_1h"]}, "spam": {"version": 1},
        "both": {"mean": ["fraud", "spam"]},
    }  # fmt: skip
    world = world_of(tmp_path, -4.0, models=models)
    put(world.root, logistic([1.0]), "spam", world.inputs("amount"))
    other = world.inputs("amount", "posts_1h")
    other[1] = other[1].model_copy(update={"fingerprint": "0" * 16})
    put(world.root, logistic([1.0, 1.0]), "fraud", other)
    put(world.root, logistic([1.0]), "fraud", world.inputs("amount"))
    put(world.root, logistic([1.0, 1.0]), "fraud", world.inputs("amount", "posts_1h"))
    (world.root / "fraud" / "4" / "model.onnx").unlink()
    line = world.timeline()
    told = [*line.offer(offered, NOON), *settle_models(line, world.shelf, NOON)]
    rejected = [one for one in told if one["kind"] in ("config_rejected", "model_refused")]
    assert len(rejected) == 1 and why.format(root=world.root).removeprefix("model fraud: fraud@4 ") in str(
        rejected[0]["message"]
    )
    assert versions(world.judge(line, [600.0], emit="all")) == [1]


def test_without_a_registry_a_model_record_is_rejected() -> None:
    base = compile_document({**worlds_document(), "models": {"fraud": {"version": 1, "inputs": ["amount"]}}})
    line = Timeline(base, compile_document, "t", True)
    (told,) = line.offer(swap(2), NOON)
    assert told["message"] == "model/fraud was rejected: this job has no model registry: start it with --registry DIR"


def worlds_document() -> dict[str, Any]:
    from tests.judge.worlds import document

    return document()


def test_a_model_that_fails_its_checks_is_set_aside_before_it_scores(tmp_path: Path) -> None:
    def strict(models: Sequence[StoredModel]) -> list[str | None]:
        return ["golden row 1 scores 0.1, 0.9 is expected" if one.manifest.version == 2 else None for one in models]

    world = world_of(tmp_path, -4.0, -8.0, -2.0, inspect=strict)
    line = world.timeline()
    (told,) = line.offer(swap(2, effective_at=LATER), NOON)
    assert told["kind"] == "config_applied" and "is to be version 2, once it is loaded" in str(told["message"])
    found = world.judge(line, [600.0, 600.0], at=[NOON, NOON + HOUR], emit="all")
    (note,) = world.notes
    assert (note["kind"], note["subject"], note["at"]) == ("model_refused", "model/fraud", "2026-01-01T13:00:00.000Z")
    assert note["message"] == (
        "model/fraud was refused, and what was in force stays: fraud@2: golden row 1 scores 0.1, 0.9 is expected"
    )
    assert versions(found) == [1, 1] and [v["epoch"] for _, v in found.verdicts] == ["t:0", "t:1"]
    again = world.timeline()
    again.restore(line.snapshot())
    assert versions(world.judge(again, [600.0], at=[NOON + HOUR], emit="all")) == [1] and not world.notes
    again.offer(swap(3), NOON + HOUR)
    assert versions(world.judge(again, [600.0], at=[NOON + HOUR + 1], emit="all")) == [3]


def test_events_wait_for_a_version_and_then_its_rules_are_shadow(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(models: Sequence[StoredModel]) -> list[str | None]:
        if models[0].manifest.version == 2:
            gate.wait(20)
        return trusting(models)

    world = world_of(tmp_path, -4.0, -4.0, inspect=slow, patience=0.2)
    world.rules = {"risky": rule("fraud >= 0.5 OR amount >= 500")}
    line = world.timeline()
    line.offer(swap(2), NOON)
    found = world.judge(line, [600.0])
    assert fired(found) == [("e0", "risky", "model_unavailable")]
    assert [one["kind"] for one in found.errors] == ["model_unavailable"]
    assert world.judge(line, [600.0], first=1).errors == []
    gate.set()
    world.shelf._loadings["fraud", 2].done.wait(10)
    late = world.judge(line, [600.0], at=[NOON + 1], first=2)
    assert fired(late) == [("e2", "risky", "live")] and versions(late) == [2]


def test_a_version_that_comes_in_time_is_waited_for(tmp_path: Path) -> None:
    def slow(models: Sequence[StoredModel]) -> list[str | None]:
        threading.Event().wait(0.3 if models[0].manifest.version == 2 else 0)
        return trusting(models)

    world = world_of(tmp_path, -4.0, -4.0, inspect=slow)
    line = world.timeline()
    line.offer(swap(2), NOON)
    assert versions(world.judge(line, [600.0])) == [2]


def test_patience_begins_with_the_first_event_that_waits(tmp_path: Path) -> None:
    """A job that starts on a busy machine is slow to get there, and its models are as slow."""
    world = world_of(tmp_path, -4.0)
    gate, clock = threading.Event(), [0.0]

    def slow(models: Sequence[StoredModel]) -> list[str | None]:
        gate.wait(20)
        return trusting(models)

    shelf = Shelf(world.registry, inspect=slow, patience_seconds=30.0, clock=lambda: clock[0])
    shelf.manifest("fraud", 1)
    clock[0] = 100.0
    threading.Timer(0.2, gate.set).start()
    assert shelf.settle("fraud", 1) is None
    assert shelf.ready("fraud", 1) is not None


def test_versions_that_are_asked_for_meanwhile_are_checked_together_and_one_that_is_bad_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path, -4.0, -4.0, -4.0, -4.0, -4.0)
    gate = threading.Event()
    together: list[list[int]] = []

    def slow(models: Sequence[StoredModel]) -> list[str | None]:
        together.append([one.manifest.version for one in models])
        gate.wait(20)
        return ["it is broken" if one.manifest.version == 3 else None for one in models]

    def scorer(stored: StoredModel) -> OnnxScorer:
        if stored.manifest.version == 4:
            raise RuntimeError("no memory left")
        return OnnxScorer(stored)

    monkeypatch.setattr("models.shelf.OnnxScorer", scorer)
    shelf = Shelf(world.registry, inspect=slow)
    shelf.manifest("fraud", 1)
    while not together:
        sleep(0.01)
    for version in (2, 3, 4, 5):
        shelf.manifest("fraud", version)
    (world.root / "fraud" / "2" / "model.onnx").unlink()
    gate.set()
    refused = {version: shelf.settle("fraud", version) for version in (2, 3, 4, 5)}
    assert together == [[1], [3, 4, 5]]
    missing = refused.pop(2)
    assert missing is not None and "model.onnx" in missing
    assert refused == {3: "it is broken", 4: "loading it failed: RuntimeError: no memory left", 5: None}
    assert [shelf.ready("fraud", version) is not None for version in (2, 3, 4, 5)] == [False, False, False, True]


def test_a_version_that_fails_after_events_were_judged_keeps_its_rules_in_shadow(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(models: Sequence[StoredModel]) -> list[str | None]:
        if models[0].manifest.version != 2:
            return [None]
        gate.wait(20)
        return ["it is broken"]

    world = world_of(tmp_path, -4.0, -4.0, inspect=slow, patience=0.1)
    world.rules = {"risky": rule("fraud >= 0.5 OR amount >= 500")}
    line = world.timeline()
    line.offer(swap(2), NOON)
    world.judge(line, [600.0])
    gate.set()
    world.shelf._loadings["fraud", 2].done.wait(10)
    again = world.timeline()
    again.restore(line.snapshot())
    found = world.judge(again, [600.0], at=[NOON + 1])
    (note,) = world.notes
    assert (
        note["message"]
        == "model/fraud: fraud@2: it is broken; rules over it are shadow until another version is in force"
    )
    assert fired(found) == [("e0", "risky", "model_unavailable")]


def test_a_snapshot_goes_on_with_the_same_version_and_thresholds(tmp_path: Path) -> None:
    world = world_of(tmp_path, -4.0, -8.0)
    line = world.timeline()
    line.offer(swap(2), NOON)
    before = world.judge(line, [900.0], at=[NOON + 1], emit="all")
    again = world.timeline()
    assert all(one["kind"] != "config_rejected" for one in again.restore(line.snapshot()))
    after = world.judge(again, [900.0], at=[NOON + 1], emit="all")
    assert after.verdicts == before.verdicts and versions(after) == [2]
    (world.root / "fraud" / "2" / "manifest.json").unlink()
    world.shelf = type(world.shelf)(world.registry, inspect=trusting)
    with pytest.raises(TimelineError, match=r"fraud@2 has no manifest.json"):
        world.timeline().restore(line.snapshot())


def test_a_policy_record_keeps_the_version_that_a_record_chose(tmp_path: Path) -> None:
    world = world_of(tmp_path, -4.0, -8.0)
    line = world.timeline()
    line.offer(swap(2), NOON)
    new = world.document(rules={"risky": rule("fraud >= 0.4", on="payment")})
    (told,) = line.offer(record("policy", new), NOON)
    assert told["kind"] == "policy_applied"
    assert versions(world.judge(line, [900.0], emit="all")) == [2]
    broken = world.document(features={"posts_1h": {"count": "post", "by": "account", "over": "2h"}})
    (told,) = line.offer(record("policy", broken), NOON)
    assert told["kind"] == "config_rejected"
    assert "model fraud: input posts_1h is not what version 1 was trained on" in str(told["message"])


def test_records_that_do_not_fit_together_in_the_order_they_are_in_force(tmp_path: Path) -> None:
    world = world_of(tmp_path, -4.0)
    put(world.root, network(1), "fraud", world.inputs("amount"))
    put(world.root, network(1), "fraud", [world.inputs("amount")[0].model_copy(update={"fingerprint": "1" * 16})])
    line = world.timeline(world.program(models={"fraud": {"version": 1}}))
    assert line.offer(swap(2, effective_at="2026-01-01T14:00:00Z"), NOON)[0]["kind"] == "config_applied"
    told = line.offer(
        record("policy", world.document(models={"fraud": {"version": 1, "inputs": ["amount", "posts_1h"]}}), LATER),
        NOON,
    )
    assert [one["kind"] for one in told] == ["policy_applied", "config_rejected"]
    assert str(told[1]["message"]).startswith(
        "model/fraud was rejected: set aside: it does not fit what is in force before it: "
    )
    assert versions(world.judge(line, [600.0], at=[NOON + 3 * HOUR], emit="all")) == [1]
