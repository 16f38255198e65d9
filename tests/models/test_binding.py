"""Columns go into the tensors that are called like them, and never silently into others."""

from pathlib import Path

import polars as pl
import pytest
from onnx import helper

from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from operators.scoring import ModelError
from schemas.manifest import Manifest
from tests.models.builders import draft_of, onnx_bytes, put, tensor


def less_then_more(*names: str) -> bytes:
    """first - second + third"""
    a, b, c = names
    return onnx_bytes(
        [helper.make_node("Sub", [a, b], ["q"]), helper.make_node("Add", ["q", c], ["score"])],
        [tensor(name, [None, 1]) for name in names],
        [tensor("score", [None, 1])],
    )


ORDERED = less_then_more("spend_1d", "amount", "night")


def test_tensors_that_are_called_like_the_columns_get_them_by_name(tmp_path: Path) -> None:
    draft = draft_of(ORDERED, "m", ["amount", "night", "spend_1d"])
    assert [one.name for one in draft.inputs] == ["spend_1d", "amount", "night"]
    assert draft == draft_of(ORDERED, "m", ["spend_1d", "amount", "night"])
    manifest = put(tmp_path, ORDERED, "m", ["night", "spend_1d", "amount"])
    row = pl.DataFrame({"spend_1d": [100.0], "amount": [20.0], "night": [1.0]})
    scorer = OnnxScorer(StoredModel(Manifest.model_validate(manifest.model_dump()), ORDERED))
    assert scorer.score(row.select([one.name for one in manifest.inputs])).values.tolist() == [81.0]


def test_tensors_with_other_names_get_the_columns_by_place() -> None:
    data = less_then_more("x", "y", "z")
    assert [one.name for one in draft_of(data, "m", ["amount", "night", "spend_1d"]).inputs] == [
        "amount",
        "night",
        "spend_1d",
    ]
    some = less_then_more("x", "night", "z")
    assert [one.name for one in draft_of(some, "m", ["amount", "night", "other"]).inputs] == [
        "amount",
        "night",
        "other",
    ]


def test_a_tensor_that_is_called_like_another_column_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        draft_of(less_then_more("spend", "amount", "night"), "m", ["amount", "night", "spend_1d"])
    assert str(caught.value) == (
        "the model's tensors are spend, amount, night, and tensor amount would get column night: write the columns in the order of the tensors, amount as number 2; if another column belongs there, call it or the tensor otherwise"
    )


def test_as_many_columns_as_tensors() -> None:
    with pytest.raises(ModelError) as caught:
        draft_of(ORDERED, "m", ["amount", "night"])
    assert str(caught.value) == (
        "the model takes a column for each of its tensors (spend_1d, amount, night), and --inputs names 2 (amount, night)"
    )
