"""Writes the simplest model there is, sigmoid(weights x inputs + bias), as an ONNX file: somebody else's model to import.

python examples/models/linear.py risk.onnx 0.01 2 0.001 --bias -3
"""

import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def linear(weights: list[float], bias: float) -> onnx.ModelProto:
    """One matrix in, [rows, weights], one score a row out."""
    nodes = [
        helper.make_node("Gemm", ["inputs", "weights", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    tensors = {"weights": np.array(weights, np.float32).reshape(-1, 1), "bias": np.array([bias], np.float32)}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["rows", len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("weights", type=float, nargs="+")
    parser.add_argument("--bias", type=float, default=0.0)
    chosen = parser.parse_args()
    onnx.save(linear(chosen.weights, chosen.bias), chosen.output)


if __name__ == "__main__":
    main()
