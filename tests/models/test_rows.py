"""Operators that bring rows together are found by the graph, whatever threshold hides what they do; honest ones are not."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from models.golden import golden_fault, rows_together
from models.importing import Wanted, check_draft, imported
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from operators.scoring import ModelError
from schemas.manifest import Golden, Manifest, ModelInput, ModelOutput
from tests.models.builders import forest, logistic, network, onnx_bytes, tensor

N = helper.make_node
F = np.float32
WIDTH = 3


def fault(data: bytes, output: str = "score", width: int = WIDTH) -> str | None:
    rows = np.random.default_rng(1).normal(size=(8, width)).round(3).tolist()
    manifest = Manifest(
        name="m", kind="imported", inputs=[ModelInput(name=f"c{i}") for i in range(width)], layout="matrix",
        output=ModelOutput(tensor=output), golden=Golden(inputs=rows, outputs=[None] * 8), version=1, sha256="0" * 64,
    )  # fmt: skip
    return rows_together(OnnxScorer(StoredModel(manifest, data)), data)


def graph(*nodes: Any, opset: int = 17, **tensors: Any) -> bytes:
    """sum of a row, and `mixed` of `nodes` where it is above a threshold that no row of a check reaches: `z + (mixed > 5e7)`."""
    hidden = [
        N("Greater", ["mixed", "far"], ["above"]),
        N("Cast", ["above"], ["rare"], to=1),
        N("MatMul", ["x", "ones"], ["z"]),
        N("Add", ["z", "rare"], ["score"]),
    ]
    given = {"ones": np.ones((WIDTH, 1), F), "far": F(5e7), **tensors}
    return onnx_bytes(
        [*nodes, *hidden],
        [tensor("x", [None, WIDTH])],
        [tensor("score", [None, 1])],
        given,
        [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)],
    )


def i64(*values: int) -> Any:
    return np.array(values, np.int64)


FIRST = N("Slice", ["x", "zero", "one", "last"], ["first"])  # [rows, 1]
COLUMN = {"zero": i64(0), "one": i64(1), "last": i64(1)}
TOGETHER = "a row's score depends on the other rows of its batch: operator {} brings rows together"
COUNTS = "a row's score depends on the number of rows in its batch, or on its place: operator {} takes {}"

MIXING: dict[str, tuple[bytes, str]] = {
    "the largest of all": (graph(N("ReduceMax", ["x"], ["mixed"], keepdims=0)), "ReduceMax (which gives mixed)"),
    "whether any row has a value": (
        graph(
            N("Equal", ["x", "value"], ["same"]),
            N("Cast", ["same"], ["as_number"], to=1),
            N("ReduceMax", ["as_number"], ["mixed"], keepdims=0),
            value=F(31_337),
        ),
        "ReduceMax (which gives mixed)",
    ),
    "the mean of a column": (graph(N("ReduceMean", ["x"], ["m"], axes=[0]), N("ReduceMax", ["m"], ["mixed"], axes=[1])), "ReduceMean (which gives m)"),
    "which row is the largest": (graph(N("ArgMax", ["x"], ["place"], axis=0), N("Cast", ["place"], ["wide"], to=1), N("ReduceMax", ["wide"], ["mixed"], axes=[1])), "ArgMax (which gives place)"),
    "softmax": (graph(FIRST, N("Softmax", ["first"], ["mixed"], axis=0), **COLUMN), "Softmax (which gives mixed)"),
    "softmax of old": (graph(N("Transpose", ["x"], ["t"]), N("Softmax", ["t"], ["s"]), N("Transpose", ["s"], ["u"]), N("ReduceMax", ["u"], ["mixed"], axes=[1]), opset=12), "Softmax (which gives s)"),
    "a running sum": (graph(FIRST, N("CumSum", ["first", "axis"], ["mixed"]), axis=np.int64(0), **COLUMN), "CumSum (which gives mixed)"),
    "the first row": (graph(N("Gather", ["x", "none"], ["row"], axis=0), N("ReduceMax", ["row"], ["mixed"], keepdims=0), none=i64(0)), "Gather (which gives row)"),
    "rows by number": (graph(FIRST, N("Cast", ["first"], ["n"], to=7), N("Clip", ["n", "low", "low"], ["index"]), N("GatherElements", ["first", "index"], ["mixed"], axis=0), low=np.int64(0), **COLUMN), "GatherElements (which gives mixed)"),
    "backwards": (graph(N("Slice", ["x", "from_end", "to_start", "rows", "back"], ["r"]), N("ReduceMax", ["r"], ["mixed"], axes=[1]), from_end=i64(-1), to_start=i64(-(1 << 40)), rows=i64(0), back=i64(-1)), "Slice (which gives r)"),
    "shifted": (graph(FIRST, N("Pad", ["first", "pads"], ["mixed"]), pads=i64(1, 0, -1, 0), **COLUMN), "Pad (which gives mixed)"),
    "scrambled": (graph(N("Transpose", ["x"], ["t"]), N("Reshape", ["t", "shape"], ["r"]), N("ReduceMax", ["r"], ["mixed"], axes=[1]), shape=i64(-1, WIDTH)), "Reshape (which gives r)"),
    "a product over rows": (graph(N("Transpose", ["x"], ["t"]), N("MatMul", ["t", "x"], ["p"]), N("ReduceMax", ["p"], ["mixed"], keepdims=0)), "MatMul (which gives p)"),
    "every row with every row": (graph(N("Transpose", ["x"], ["t"]), N("MatMul", ["x", "t"], ["p"]), N("ReduceMax", ["p"], ["mixed"], axes=[1])), "MatMul (which gives p)"),
    "a sum by Einsum": (graph(N("Einsum", ["x", "x"], ["e"], equation="ij,ik->jk"), N("ReduceMax", ["e"], ["mixed"], keepdims=0)), "Einsum (which gives e)"),
    "a row beside a column": (graph(FIRST, N("Transpose", ["first"], ["t"]), N("Add", ["first", "t"], ["both"]), N("ReduceMax", ["both"], ["mixed"], axes=[1]), **COLUMN), "Add (which gives both)"),
    "normed over rows": (graph(FIRST, N("LpNormalization", ["first"], ["mixed"], axis=0), **COLUMN), "LpNormalization (which gives mixed)"),
    "normed from the rows on": (graph(N("LayerNormalization", ["x", "unit"], ["l"], axis=0), N("ReduceMax", ["l"], ["mixed"], axes=[1]), unit=np.ones((1, 1), F)), "LayerNormalization (which gives l)"),
    "scaled by all": (graph(N("DynamicQuantizeLinear", ["x"], ["q", "s", "p"]), N("DequantizeLinear", ["q", "s", "p"], ["d"]), N("ReduceMax", ["d"], ["mixed"], axes=[1])), "DynamicQuantizeLinear (which gives q)"),
    "a sequence of rows": (
        graph(
            N("Unsqueeze", ["x", "middle"], ["u"]),
            N("RNN", ["u", "w", "r"], ["y"], hidden_size=1),
            N("Squeeze", ["y", "squeezed"], ["mixed"]),
            middle=i64(1), w=np.ones((1, 1, WIDTH), F), r=np.ones((1, 1, 1), F), squeezed=i64(1, 2),
        ),
        "RNN (which gives y)",
    ),
    "rows twice": (graph(N("Concat", ["x", "x"], ["c"], axis=0), N("ReduceMax", ["c"], ["mixed"], keepdims=0)), "Concat (which gives c)"),
    "the largest ones": (graph(N("TopK", ["x", "k"], ["most", "places"], axis=0), N("ReduceMax", ["most"], ["mixed"], keepdims=0), k=i64(2)), "TopK (which gives most)"),
}  # fmt: skip


@pytest.mark.parametrize("case", MIXING)
def test_rows_that_come_together_are_found_behind_a_threshold(case: str) -> None:
    data, operator = MIXING[case]
    assert fault(data) == TOGETHER.format(operator)


COUNTING: dict[str, tuple[bytes, str]] = {
    "how many rows": (
        graph(N("Shape", ["x"], ["s"]), N("Cast", ["s"], ["f"], to=1), N("ReduceMax", ["f"], ["mixed"], keepdims=0), far=F(100)),
        COUNTS.format("Add (which gives score)", "rare"),
    ),
    "how many, times a value": (graph(N("Shape", ["x"], ["s"]), N("Cast", ["s"], ["f"], to=1), N("ReduceSum", ["f"], ["n"], keepdims=0), FIRST, N("Mul", ["first", "n"], ["mixed"]), **COLUMN), COUNTS.format("Mul (which gives mixed)", "n")),
    "which row": (
        graph(
            N("Shape", ["x"], ["s"]),
            N("Gather", ["s", "none"], ["n"]),
            N("Range", ["none", "n", "step"], ["places"]),
            N("Cast", ["places"], ["f"], to=1),
            N("Unsqueeze", ["f", "one"], ["column"]),
            FIRST,
            N("Mul", ["first", "column"], ["mixed"]),
            none=np.int64(0), step=np.int64(1), **COLUMN,
        ),
        COUNTS.format("Mul (which gives mixed)", "column"),
    ),
    "sorted": (graph(FIRST, N("Shape", ["first"], ["s"]), N("Slice", ["s", "zero", "one"], ["n"]), N("TopK", ["first", "n"], ["mixed", "places"], axis=0), **COLUMN), COUNTS.format("TopK (which gives mixed)", "n")),
    "an operator that may": (graph(N("NonZero", ["x"], ["places"]), N("Cast", ["places"], ["f"], to=1), N("ReduceMax", ["f"], ["mixed"], keepdims=0)), "operator NonZero (which gives places) may bring rows together, and a row's score must not depend on the other rows of its batch: export the model without it"),
    "a branch that may": (
        graph(
            N("If", ["yes"], ["mixed"], then_branch=helper.make_graph([N("CumSum", ["x", "axis"], ["a"])], "a", [], [tensor("a", [None, WIDTH])]), else_branch=helper.make_graph([N("Relu", ["x"], ["b"])], "b", [], [tensor("b", [None, WIDTH])])),
            yes=np.array(True), axis=np.int64(0),
        ),
        "operator If (which gives mixed) may bring rows together, and a row's score must not depend on the other rows of its batch: export the model without it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTING)
def test_what_counts_rows_or_cannot_be_told(case: str) -> None:
    data, said = COUNTING[case]
    assert fault(data) == said


def test_the_rows_must_stand_first() -> None:
    data = onnx_bytes(
        [N("Transpose", ["x"], ["t"]), N("Shape", ["t"], ["s"]), N("Reshape", ["t", "s"], ["score"])],
        [tensor("x", [None, WIDTH])],
        [tensor("score", [None, None])],
    )
    assert fault(data) == (
        "a row's score depends on the other rows of its batch: output score does not have the rows first"
    )


HONEST: dict[str, tuple[bytes, str]] = {
    "logistic": (logistic([1.0] * WIDTH), "score"),
    "network": (network(WIDTH), "probabilities"),
    "forest": (forest(WIDTH), "score"),
    "a constant": (graph(N("Identity", ["far"], ["mixed"])), "score"),
    "shaped by the number of rows": (
        graph(
            N("Shape", ["x"], ["s"]),
            N("Gather", ["s", "none"], ["rows"]),
            N("Concat", ["rows", "rest"], ["shape"], axis=0),
            N("Reshape", ["x", "shape"], ["r"]),
            N("Slice", ["r", "none", "rows", "none"], ["all"]),
            N("Expand", ["unit", "shape"], ["units"]),
            N("Mul", ["all", "units"], ["m"]),
            N("ReduceMax", ["m"], ["mixed"], axes=[1]),
            none=i64(0), rest=i64(WIDTH), unit=np.ones((1, 1), F),
        ),
        "score",
    ),
    "each value by itself": (
        graph(
            N("Reshape", ["x", "flat"], ["f"]),
            N("MatMul", ["f", "w"], ["h"]),
            N("Reshape", ["h", "back"], ["b"]),
            N("Softmax", ["b"], ["p"]),
            N("ReduceMax", ["p"], ["mixed"], axes=[1]),
            flat=i64(-1, 1), w=np.ones((1, 2), F), back=i64(-1, 2 * WIDTH),
        ),
        "score",
    ),
    "a sequence of columns": (
        graph(
            N("Transpose", ["x"], ["t"]),
            N("Unsqueeze", ["t", "end"], ["u"]),
            N("RNN", ["u", "w", "r"], ["", "h"], hidden_size=1),
            N("Squeeze", ["h", "squeezed"], ["mixed"]),
            end=i64(2), w=np.ones((1, 1, 1), F), r=np.ones((1, 1, 1), F), squeezed=i64(0),
        ),
        "score",
    ),
    "a table": (graph(FIRST, N("Cast", ["first"], ["n"], to=7), N("Clip", ["n", "low", "high"], ["index"]), N("Gather", ["table", "index"], ["mixed"]), low=np.int64(0), high=np.int64(4), table=np.arange(5, dtype=F), **COLUMN), "score"),
    "a branch": (
        graph(
            N("If", ["yes"], ["chosen"], then_branch=helper.make_graph([N("Neg", ["x"], ["a"])], "a", [], [tensor("a", [None, WIDTH])]), else_branch=helper.make_graph([N("Relu", ["x"], ["b"])], "b", [], [tensor("b", [None, WIDTH])])),
            N("ReduceMax", ["chosen"], ["mixed"], axes=[1]),
            yes=np.array(True),
        ),
        "score",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HONEST)
def test_honest_graphs_pass(case: str) -> None:
    data, output = HONEST[case]
    assert fault(data, output) is None


def test_an_import_is_refused_for_it_and_extreme_rows_are_tried_beside_the_golden_ones() -> None:
    data = MIXING["the largest of all"][0]
    inputs = [ModelInput(name=name) for name in ("a", "b", "c")]
    draft = imported(data, Wanted("m", inputs))
    with pytest.raises(ModelError) as caught:
        check_draft(draft, data)
    assert str(caught.value) == TOGETHER.format("ReduceMax (which gives mixed)")
    scorer = OnnxScorer(StoredModel(Manifest(**dict(draft), version=1, sha256="0" * 64), data))
    assert golden_fault(scorer) == (
        "a row's score depends on the other rows of its batch: it is another one beside very large or very small values"
    )


def test_scores_that_are_others_beside_other_rows_are_measured_too() -> None:
    data = onnx_bytes([N("Softmax", ["x"], ["score"], axis=0)], [tensor("x", [None, 1])], [tensor("score", [None, 1])])
    draft = imported(data, Wanted("m", [ModelInput(name="a")]))
    assert golden_fault(OnnxScorer(StoredModel(Manifest(**dict(draft), version=1, sha256="0" * 64), data))) == (
        "a row's score depends on the other rows of its batch: the model mixes rows, or computes differently for another number of rows"
    )


def test_a_text_that_no_row_has_is_told_by_the_graph() -> None:
    data = onnx_bytes(
        [
            N("LabelEncoder", ["text"], ["known"], domain="ai.onnx.ml", keys_strings=["secret"], values_floats=[1.0]),
            N("ReduceMax", ["known"], ["any"], keepdims=0),
            N("Add", ["known", "any"], ["score"]),
        ],
        [tensor("text", [None, 1], TensorProto.STRING)],
        [tensor("score", [None, 1])],
    )
    draft = imported(data, Wanted("m", [ModelInput(name="text", type="text")]))
    scorer = OnnxScorer(StoredModel(Manifest(**dict(draft), version=1, sha256="0" * 64), data))
    assert golden_fault(scorer) is None
    assert rows_together(scorer, data) == TOGETHER.format("ReduceMax (which gives any)")
