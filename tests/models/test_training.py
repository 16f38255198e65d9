"""Every kind is trained, exported without a difference, calibrated, and says of itself what is true."""

import sys
from hashlib import sha256

import numpy as np
import polars as pl
import pytest

from models.golden import golden_fault
from models.inspection import inspect
from models.learners import LEARNERS, TrainingError
from models.metrics import average_precision
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.samples import Samples, split
from models.training import PARITY, Order, Trained, matrix, train
from schemas.manifest import Manifest

ROWS = 4_000
HOUR = 3_600_000


def order(kind: str) -> Order:
    return Order("risk", kind, "tells risk", "2026-01-02T03:04:05.000Z")


def numbers(rows: int = ROWS, seed: int = 1) -> Samples:
    """Positive where the first input is large; wide ranges, whole numbers, cents, and a NULL here and there."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.lognormal(3, 2, rows),
            rng.integers(0, 40, rows),
            np.round(rng.random(rows) * 1e5, 2),
            rng.random(rows) < 0.3,
        ]
    )
    labels = rng.random(rows) < 1 / (1 + np.exp(6 - np.log(x[:, 0]) - 0.1 * x[:, 1]))
    x[rng.random(x.shape) < 0.05] = np.nan
    inputs = pl.DataFrame([pl.Series(f"c{j}", x[:, j], nan_to_null=True) for j in range(4)])
    return Samples(inputs, {f"c{j}": f"print{j}" for j in range(4)}, labels, np.arange(rows, dtype=np.int64) * HOUR)


def texts(rows: int = 600, seed: int = 1) -> Samples:
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.3
    said = [f"{'win a free phone' if bad else 'what a nice song'} {rng.integers(999)}" for bad in labels]
    column = pl.Series("text", [None if i % 50 == 7 else text for i, text in enumerate(said)], dtype=pl.String)
    return Samples(column.to_frame(), {"text": "printed"}, labels, np.arange(rows, dtype=np.int64) * HOUR)


@pytest.fixture(scope="module", params=[*LEARNERS, "text"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return train(texts() if request.param == "text" else numbers(), order(request.param))


def stored(trained: Trained) -> StoredModel:
    manifest = Manifest(**dict(trained.draft), version=1, sha256=sha256(trained.data).hexdigest())
    return StoredModel(manifest, trained.data)


def test_a_job_would_take_it(trained: Trained) -> None:
    assert inspect([stored(trained)]) == [None]
    assert golden_fault(OnnxScorer(stored(trained))) is None


def test_it_learned_and_its_scores_are_probabilities(trained: Trained) -> None:
    figures = trained.draft.metrics
    assert figures["average_precision"] > figures["positives"] + 0.25
    known = ~np.isnan(trained.scores)
    assert abs(trained.scores[known].mean() - trained.labels[known].mean()) < 0.07
    assert figures["average_precision"] == pytest.approx(
        average_precision(trained.scores[known], trained.labels[known]), abs=1e-6
    )
    assert trained.parity <= PARITY


def test_it_says_what_it_was_trained_on(trained: Trained) -> None:
    draft, text = trained.draft, trained.draft.kind == "text"
    samples = texts() if text else numbers()
    if text:
        samples = samples.where(samples.inputs.to_series().is_not_null().to_numpy())
    window, curve = draft.trained_on, draft.curve
    assert window is not None and curve is not None
    earlier = int(len(samples) * 0.85)
    assert (window.events, window.positives) == (earlier, samples.labels[:earlier].sum())
    assert (window.start, curve.events) == ("1970-01-01T00:00:00.000Z", len(samples) - earlier)
    assert curve.days == pytest.approx((len(samples) - earlier) / 24, rel=0.2)
    assert [one.fingerprint for one in draft.inputs] == (["printed"] if text else [f"print{j}" for j in range(4)])
    nulls = {"text": "null_score", "xgboost": "missing", "lightgbm": "missing"}
    assert all(one.on_null == nulls.get(draft.kind, one.on_null) for one in draft.inputs)
    assert (draft.explanation is None) == text
    assert trained.importance == [] if text else trained.importance[0][0] == "c0"


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_scores_are_those_of_the_library(kind: str) -> None:
    samples = numbers()
    parts, result = split(samples), train(samples, order(kind))
    fills = None if LEARNERS[kind].missing else np.nanmedian(matrix(parts.train.inputs), axis=0)
    fill = (lambda x: x) if fills is None else (lambda x: np.where(np.isnan(x), fills, x))
    learned = LEARNERS[kind].fit(fill(matrix(parts.train.inputs)), parts.train.labels)
    whole = np.concatenate([fill(matrix(samples.inputs))] * 2)
    plain = Manifest.model_validate(stored(result).manifest.model_dump() | {"calibration": {"method": "none"}})
    exported = OnnxScorer(StoredModel(plain, result.data)).score(pl.concat([samples.inputs] * 2)).values
    assert np.abs(exported - learned.outputs(whole)).max() <= PARITY


@pytest.mark.parametrize("kind", [*LEARNERS, "text"])
def test_training_again_gives_the_same_bytes(kind: str) -> None:
    samples = texts() if kind == "text" else numbers(1_000)
    first, second = train(samples, order(kind)), train(samples, order(kind))
    assert (first.data, first.draft) == (second.data, second.draft)


def test_golden_rows_are_nobodys(trained: Trained) -> None:
    golden = trained.draft.golden
    if trained.draft.kind == "text":
        assert not {row[0] for row in golden.inputs[:-1]} & set(texts().inputs.to_series().to_list())
        return
    events = {tuple(row) for row in matrix(numbers().inputs).tolist()}
    assert not events & {tuple(row) for row in golden.inputs}
    assert golden.inputs[-1] == [None] * 4


def test_a_linear_model_tells_its_coefficients() -> None:
    told = train(numbers(), order("logistic")).draft.explanation
    assert told is not None and told.kind == "linear"
    assert told.coefficients[0] > 0 and told.coefficients[1] > 0
    assert told.means[1] == pytest.approx(19.5, abs=0.6)


def test_what_inputs_add_is_in_the_logits_of_the_calibrated_score() -> None:
    samples = numbers()
    found = train(samples, order("logistic"))
    assert found.draft.calibration.of == "log_odds" and abs(found.draft.calibration.slope - 1) > 0.01
    scorer = OnnxScorer(stored(found))
    scores, effects = scorer.score(samples.inputs).values, scorer.effects(samples.inputs)
    assert effects is not None
    known = (scores > 0.01) & (scores < 0.99)
    less = np.log(scores[known] / (1 - scores[known])) - effects[known].sum(axis=1)
    assert known.sum() > 500 and np.ptp(less) < 1e-3, "but for what all rows have, the logit is the sum"


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_calibrated_scores_rise_with_the_library_s(kind: str) -> None:
    samples = numbers()
    found = train(samples, order(kind))
    plain = Manifest.model_validate(stored(found).manifest.model_dump() | {"calibration": {"method": "none"}})
    own = OnnxScorer(StoredModel(plain, found.data)).score(split(samples).test.inputs).values
    rank = np.argsort(own, kind="stable")
    apart = np.diff(own[rank]) > 0
    assert (np.diff(found.scores[rank])[apart] >= 0).all() and found.scores.max() > 0.9
    assert average_precision(own, found.labels) == pytest.approx(found.draft.metrics["average_precision"], abs=2e-3)


# what cannot be trained


def refused(samples: Samples, kind: str = "logistic") -> str:
    with pytest.raises(TrainingError) as caught:
        train(samples, order(kind))
    return str(caught.value)


def relabelled(labels: np.ndarray) -> Samples:
    samples = numbers(len(labels))
    return Samples(samples.inputs, samples.prints, labels, samples.times)


def test_one_class_only() -> None:
    assert refused(relabelled(np.ones(400, np.bool_))) == (
        "all 400 labels are true, and a model learns from both: label events of the other class too"
    )
    assert refused(relabelled(np.zeros(400, np.bool_))).startswith("all 400 labels are false, and a model learns")
    assert refused(relabelled(np.arange(400) < 100), "forest") == (
        "of 400 labelled events, the next 15 % (60) are all false: label more events, or train on a window that has both classes throughout"
    )
    assert refused(relabelled(np.arange(400) > 300)).startswith(
        "of 400 labelled events, the earliest 70 % (280) are all"
    )


def test_an_input_without_a_value() -> None:
    samples = numbers(400)
    empty = pl.Series("c9", [None] * 400, dtype=pl.Float64)
    assert refused(Samples(samples.inputs.with_columns(empty), {}, samples.labels, samples.times)) == (
        "input c9 is NULL for every event that is trained on: leave it out of --features"
    )


def test_an_export_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.PARITY", -1.0)
    assert refused(numbers(400), "xgboost").startswith("the exported xgboost model differs from the trained one by ")


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("logistic", "sklearn.linear_model", "scikit-learn"), ("xgboost", "xgboost", "xgboost"), ("lightgbm", "lightgbm", "lightgbm"),
     ("forest", "skl2onnx", "skl2onnx")],
)  # fmt: skip
def test_without_the_extra(kind: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert refused(numbers(400), kind) == (
        f"this kind of model is trained with {package}, which is not installed: pip install '.[train]' in Watchgate's folder. Only --kind text needs nothing more."
    )
