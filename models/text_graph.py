"""A fitted text classifier as an ONNX graph: a gather and a sum over a table of weights.

    margin(text) = sum(weights[n]) / sqrt(sum(squares[n])) + bias      over the text's n-grams n

The tables hold whole numbers, so the sums are exact: a running sum over the n-grams of all texts, of which each text takes
the difference between its ends. So a margin depends on its text only, to the last bit.
"""

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, checker, helper, numpy_helper

from models.text_fit import TextFit

OUTPUT = "margin"
_ROOM = 2.0**30


def export_text(fit: TextFit) -> bytes:
    """The model file. Weights are rounded to 31 bits of the largest one."""
    weights, weight_unit = _whole(fit.weights)
    squares, square_unit = _whole(fit.squares)
    tables = {
        "weights": weights,
        "squares": squares,
        "weight_unit": np.float64(weight_unit),
        "square_unit": np.float64(square_unit),
        "bias": np.float64(fit.bias),
        "none": np.array([0], np.int64),
        "first": np.array([0], np.int64),
        "last": np.array([-1], np.int64),
        "axis": np.int64(0),
        "least": np.int64(1),
    }
    nodes = [
        helper.make_node("Slice", ["ends", "first", "last"], ["all_but_last"]),
        helper.make_node("Concat", ["none", "all_but_last"], ["starts"], axis=0),
    ]
    for table in ("weights", "squares"):
        nodes += [
            helper.make_node("Gather", [table, "numbers"], [f"{table}_found"]),
            helper.make_node("Cast", [f"{table}_found"], [f"{table}_wide"], to=TensorProto.INT64),
            helper.make_node("CumSum", [f"{table}_wide", "axis"], [f"{table}_running"]),
            helper.make_node("Concat", ["none", f"{table}_running"], [f"{table}_sums"], axis=0),
            helper.make_node("Gather", [f"{table}_sums", "ends"], [f"{table}_end"]),
            helper.make_node("Gather", [f"{table}_sums", "starts"], [f"{table}_start"]),
            helper.make_node("Sub", [f"{table}_end", f"{table}_start"], [f"{table}_sum"]),
        ]
    nodes += [
        helper.make_node("Max", ["squares_sum", "least"], ["squares_some"]),
        helper.make_node("Cast", ["weights_sum"], ["weights_double"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["squares_some"], ["squares_double"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["weights_double", "weight_unit"], ["above"]),
        helper.make_node("Mul", ["squares_double", "square_unit"], ["norm_squared"]),
        helper.make_node("Sqrt", ["norm_squared"], ["norm"]),
        helper.make_node("Div", ["above", "norm"], ["share"]),
        helper.make_node("Add", ["share", "bias"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "text",
        [
            helper.make_tensor_value_info("numbers", TensorProto.INT32, ["ngrams"]),
            helper.make_tensor_value_info("ends", TensorProto.INT64, ["rows"]),
        ],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["rows"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tables.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _whole(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int32], float]:
    """Whole numbers of 31 bits and the unit that they count."""
    unit = max(float(np.abs(values).max()), 1e-12) / _ROOM
    return np.rint(values / unit).astype(np.int32), unit
