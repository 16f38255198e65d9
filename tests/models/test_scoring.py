"""Scores come from their own row only, NULL follows the manifest, and a failing row takes no other with it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from operators.scoring import ModelError
from schemas.manifest import Manifest, ModelInput
from tests.models.builders import draft_of, forest, logistic, network, onnx_bytes, put, tensor, words

WIDTH = 7
NAMES = [f"c{i}" for i in range(WIDTH)]


def manifest_of(data: bytes, inputs: Any, **parts: Any) -> Manifest:
    return Manifest.model_validate(
        draft_of(data, "m", inputs, **parts).model_dump() | {"version": 1, "sha256": "0" * 64}
    )


def scorer(data: bytes, inputs: Any, **parts: Any) -> OnnxScorer:
    return OnnxScorer(StoredModel(manifest_of(data, inputs, **parts), data))


def columns(*series: pl.Series) -> pl.DataFrame:
    return pl.DataFrame([one.alias(str(i)) for i, one in enumerate(series)])


MODELS = {
    "logistic": scorer(logistic(np.linspace(-1, 1, WIDTH).tolist(), 0.2), NAMES),
    "network": scorer(network(WIDTH), NAMES, calibration={"method": "platt", "slope": 3.0, "offset": -1.0}),
    "forest": scorer(
        forest(WIDTH), NAMES, calibration={"method": "isotonic", "x": [0.1, 0.4, 0.6, 0.9], "y": [0.0, 0.3, 0.35, 1.0]}
    ),
}
ROWS = 5_000
COLUMNS = pl.DataFrame(
    [pl.Series(n, np.random.default_rng(i).normal(size=ROWS), dtype=pl.Float64) for i, n in enumerate(NAMES)]
)
WHOLE = {name: model.score(COLUMNS).values for name, model in MODELS.items()}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(1, ROWS - 1), max_size=12, unique=True))
def test_scores_do_not_depend_on_cuts(name: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), ROWS]
    parts = [MODELS[name].score(COLUMNS[a:b]).values for a, b in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == WHOLE[name].tobytes()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.randoms(use_true_random=False), st.integers(1, 1_500))
def test_scores_do_not_depend_on_the_rows_beside(name: str, rng: Any, count: int) -> None:
    order = np.array([rng.randrange(ROWS) for _ in range(count)])
    found = MODELS[name].score(COLUMNS[order]).values
    assert found.tobytes() == WHOLE[name][order].tobytes()


def test_scores_are_what_the_formula_says() -> None:
    x = COLUMNS.to_numpy().astype(np.float32)
    expected = 1 / (1 + np.exp(-(x @ np.linspace(-1, 1, WIDTH).astype(np.float32) + np.float32(0.2))))
    assert np.abs(WHOLE["logistic"] - expected).max() < 1e-6
    assert (np.round(WHOLE["network"], 6) == WHOLE["network"]).all()
    assert WHOLE["forest"].min() >= 0.0 and WHOLE["forest"].max() <= 1.0


def test_nulls_follow_the_manifest() -> None:
    rules: list[Any] = ["null_score", 2.0, "missing"]
    model = scorer(forest(3, seed=4), [ModelInput(name=n, on_null=rule) for n, rule in zip("abc", rules, strict=True)])

    def of(*row: float | None) -> float:
        return float(model.score(columns(*(pl.Series([value], dtype=pl.Float64) for value in row))).values[0])

    assert np.isnan(of(None, 1.0, 1.0)) and np.isnan(of(None, None, None))
    assert of(0.5, None, 1.0) == of(0.5, 2.0, 1.0)
    assert not np.isnan(of(0.5, 1.0, None))
    nan, inf = float("nan"), float("inf")
    assert np.isnan(of(nan, inf, -inf)) and of(0.5, nan, 1.0) == of(0.5, 2.0, 1.0)
    linear = scorer(logistic([1.0, 1.0]), [ModelInput(name=n, on_null="missing") for n in "ab"])
    assert np.isnan(linear.score(columns(pl.Series([1.0, None]), pl.Series([1.0, 1.0]))).values).tolist() == [
        False,
        True,
    ]


def test_whole_numbers_and_booleans_are_numbers_and_what_is_too_large_has_no_score() -> None:
    model = scorer(logistic([1.0, 1.0, -1.0]), ["a", "b", "c"])
    whole = columns(pl.Series([2, None]), pl.Series([True, True]), pl.Series([1.0, 1.0]))
    same = columns(pl.Series([2.0]), pl.Series([1.0]), pl.Series([1.0]))
    assert model.score(whole).values[0] == model.score(same).values[0]
    integers = columns(pl.Series([2, 2, None]), pl.Series([True, None, True]), pl.Series([1, 1, 1], dtype=pl.Int8))
    found = model.score(integers).values
    assert found[0] == model.score(same).values[0] and np.isnan(found[1:]).all()
    huge = columns(pl.Series([1e300]), pl.Series([0.0]), pl.Series([1e300]))
    assert np.isnan(model.score(huge).values[0])


def test_texts_come_as_strings() -> None:
    model = scorer(words({"buy now": 0.9}), [ModelInput(name="text", type="text")])
    found = model.score(columns(pl.Series(["buy now", "hello", None], dtype=pl.String))).values
    assert found[:2].tolist() == [0.9, 0.1] and np.isnan(found[2])


def test_a_row_that_the_model_fails_on_is_found_among_the_others() -> None:
    # Gather fails for an index outside of the table.
    data = onnx_bytes(
        [helper.make_node("Gather", ["table", "i"], ["score"])],
        [tensor("i", [None], TensorProto.INT64)],
        [tensor("score", [None])],
        {"table": np.linspace(0, 1, 5_000, dtype=np.float32)},
    )
    with pytest.raises(ModelError, match="the model fails on ordinary rows"):
        draft_of(onnx_bytes(
            [helper.make_node("Gather", ["table", "i"], ["score"])],
            [tensor("i", [None], TensorProto.INT64)],
            [tensor("score", [None])],
            {"table": np.linspace(0, 1, 3, dtype=np.float32)},
        ), "m", ["a"])  # fmt: skip
    model = scorer(data, ["i"])
    index = np.arange(3_000.0)
    index[[5, 1_700, 2_999]] = 9_999
    scores = model.score(columns(pl.Series(index)))
    assert scores.failed is not None and np.flatnonzero(scores.failed).tolist() == [5, 1_700, 2_999]
    assert scores.error and np.isnan(scores.values[[5, 1_700, 2_999]]).all()
    right = np.setdiff1d(np.arange(3_000), [5, 1_700, 2_999])
    assert scores.values[right] == pytest.approx(np.linspace(0, 1, 5_000)[right], abs=1e-6)


def test_effects_of_a_linear_model_add_up() -> None:
    told = {"kind": "linear", "coefficients": [1.0, -2.0], "means": [1.0, 0.5]}
    model = scorer(logistic([1.0, -2.0]), [ModelInput(name="a"), ModelInput(name="b", on_null=0.5)], explanation=told)
    effects = model.effects(columns(pl.Series([3.0, 1.0]), pl.Series([0.5, None])))
    assert effects is not None and effects.tolist() == [[2.0, 0.0], [0.0, 0.0]]


def test_effects_against_a_baseline_are_differences_of_scores() -> None:
    told = {"kind": "baseline", "values": [0.0, None]}
    model = scorer(forest(2, seed=3), [ModelInput(name="a"), ModelInput(name="b", on_null=1.0)], explanation=told)
    a, b = pl.Series([2.0, -1.0, 0.0]), pl.Series([0.3, -0.3, 1.0])
    effects = model.effects(columns(a, b))
    assert effects is not None
    score = model.score(columns(a, b)).values
    assert effects[:, 0] == pytest.approx(score - model.score(columns(pl.Series([0.0] * 3), b)).values, abs=2e-6)
    assert effects[:, 1] == pytest.approx(score - model.score(columns(a, pl.Series([1.0] * 3))).values, abs=2e-6)
    assert effects[2].tolist() == [0.0, 0.0]
    assert scorer(logistic([1.0]), ["a"]).effects(columns(pl.Series([1.0]))) is None


def unfit(data: bytes, inputs: list[Any], **parts: Any) -> str:
    """What is said of a model whose manifest is another's."""
    sound = manifest_of(logistic([1.0] * len(inputs)), [f"c{i}" for i in range(len(inputs))])
    update = {"inputs": [ModelInput(name=i) if isinstance(i, str) else i for i in inputs], **parts}
    manifest = Manifest.model_validate(sound.model_dump() | update)
    with pytest.raises(ModelError) as caught:
        OnnxScorer(StoredModel(manifest, data))
    return str(caught.value)


TEXT = ModelInput(name="text", type="text")
TWO = [tensor("x", [None, 2])], [tensor("score", [None, 2])]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda: unfit(network(2), ["a", "b"]),
            "the model has no output score: it has probabilities",
        ),
        (lambda: unfit(logistic([1.0] * 3), ["a", "b"]), "input x takes 3 columns, its manifest names 2"),
        (
            lambda: unfit(logistic([1.0] * 2), ["a", "b"], layout="columns"),
            "the model takes 1 tensors (x), its manifest says 2",
        ),
        (
            lambda: unfit(words({"a": 1.0}), ["a"]),
            "input text is tensor(string), and a matrix of columns is tensor(float) or tensor(double)",
        ),
        (
            lambda: unfit(words({"a": 1.0}), ["a"], layout="columns"),
            "tensor text takes texts, and its manifest says that a is a number",
        ),
        (
            lambda: unfit(
                onnx_bytes(
                    [helper.make_node("Cast", ["i"], ["score"], to=TensorProto.FLOAT)],
                    [tensor("i", [None], TensorProto.INT64)],
                    [tensor("score", [None])],
                ),
                [ModelInput(name="a", on_null="missing")],
                layout="columns",
            ),
            "tensor i takes whole numbers, which cannot be missing: give a another on_null",
        ),
        (
            lambda: unfit(
                onnx_bytes([helper.make_node("Relu", ["x"], ["score"])], [tensor("x", [8, 1])], [tensor("score", [8, 1])]),
                ["a"],
            ),
            "output score has shape [8, 1], and scores are [rows] or [rows, classes]: export with a dynamic batch axis",
        ),
        (
            lambda: unfit(
                onnx_bytes(
                    [helper.make_node("Cast", ["x"], ["score"], to=TensorProto.INT64)],
                    [tensor("x", [None, 1])],
                    [tensor("score", [None, 1], TensorProto.INT64)],
                ),
                ["a"],
            ),
            "output score is tensor(int64), and a score is a tensor of numbers: export the model with probabilities as a tensor (skl2onnx: zipmap=False)",
        ),
        (lambda: unfit(b"nonsense", ["a"]), "onnxruntime does not take the model: "),
        (
            lambda: unfit(logistic([1.0]), [TEXT], layout="text", text={"kind": "runes"}, golden={"inputs": [["a"]], "outputs": [0.5]}),
            "text encoding runes is not known here (known: ",
        ),
    ],
)  # fmt: skip
def test_a_model_that_is_not_the_one_of_its_manifest(build: Callable[[], str], said: str) -> None:
    assert build().startswith(said)


def test_imports_and_golden_rows(tmp_path: Path) -> None:
    manifest = put(tmp_path, network(3), "net", ["a", "b", "c"])
    assert (manifest.layout, manifest.output.tensor, manifest.output.column) == ("matrix", "probabilities", 1)
    assert manifest.golden.outputs[-1] is None and None not in manifest.golden.outputs[:-1]
    both = onnx_bytes(
        [helper.make_node("Relu", ["x"], ["one"]), helper.make_node("Sigmoid", ["x"], ["two"])],
        [tensor("x", [None, 1])],
        [tensor("one", [None, 1]), tensor("two", [None, 1])],
    )
    with pytest.raises(ModelError) as caught:
        draft_of(both, "m", ["a"])
    assert str(caught.value) == "which of the model's outputs (one, two) is the score? Name it with --output"
    nan = onnx_bytes(
        [helper.make_node("Sqrt", ["x"], ["score"])], [tensor("x", [None, 1])], [tensor("score", [None, 1])]
    )
    with pytest.raises(ModelError, match=r"the model has no score \(NaN\) for ordinary rows"):
        draft_of(nan, "m", ["a"])
