"""Which operators keep rows apart: those that work along the axis of the rows bring them together.

Only what the shape of the answer does not show is said here: an answer without an axis of rows, with two of them or with
more or fewer rows is found without knowing the operator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a run: `axis` is the one of the rows, None where there is none or more than one."""

    shape: tuple[int, ...]
    axis: int | None
    told: bool
    """It depends on what stands in the rows."""
    value: Array | None = None
    """Of one that does not."""

    @property
    def rows(self) -> int | None:
        return None if self.axis is None else self.shape[self.axis]

    def along(self, axis: int) -> bool:
        """True where this axis is the one of the rows."""
        return self.axis is not None and axis % max(len(self.shape), 1) == self.axis


Inputs = Sequence[Tensor | None]
Rule = Callable[[NodeProto, Inputs, Sequence[Tensor], int], bool | None]
"""Of a node, what it reads and gives, and the operator set: True where rows stay apart, None where it cannot be told."""

SLOTS: Mapping[str, frozenset[int]] = {
    "Reshape": frozenset({1}),
    "Expand": frozenset({1}),
    "Slice": frozenset({2}),
    "Tile": frozenset({1}),
}
"""Inputs that say which shape the answer has: they may count rows."""

RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")

_PLAIN = (
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "BitCast", "BitShift",
    "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh",
    "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal", "Erf", "Exp", "Expand", "Floor",
    "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu",
    "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu",
    "Pow", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "RegexFullMatch", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "StringConcat", "Sub", "Sum",
    "Swish", "Tan", "Tanh", "TfIdfVectorizer", "ThresholdedRelu", "Tile", "Transpose", "Where", "Xor", "Binarizer",
    "CategoryMapper", "Imputer", "LabelEncoder", "OneHotEncoder", "Scaler",
)  # fmt: skip
_LEADING = (
    "Attention", "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "FeatureVectorizer", "GlobalAveragePool",
    "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "MaxPool",
    "QLinearConv", "RotaryEmbedding",
)  # fmt: skip
_TABLES = (
    "LinearClassifier", "LinearRegressor", "Normalizer", "SVMClassifier", "SVMRegressor", "TreeEnsemble",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor",
)  # fmt: skip


def apart(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    """True where the node keeps rows apart as far as its answer has them on one axis, None where it cannot be told."""
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(node, inputs, outputs, opset)


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    for one in node.attribute:
        if one.name == name:
            return helper.get_attribute_value(one)
    return default


def _told(inputs: Inputs) -> list[Tensor]:
    return [one for one in inputs if one is not None and one.told]


def _whole(inputs: Inputs, place: int) -> list[int] | None:
    """The numbers of an input that says axes or steps; None where it is not there."""
    one = inputs[place] if place < len(inputs) else None
    return None if one is None or one.value is None else [int(v) for v in np.ravel(one.value)]


def _leading(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return all(one.axis == 0 for one in _told(inputs))


def _table(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return all(one.axis == 0 and len(one.shape) == 2 for one in _told(inputs))


def _along(default: int) -> Rule:
    def rule(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
        axis = _attribute(node, "axis", default)
        return not any(one.along(axis) for one in _told(inputs))

    return rule


def _from(default: int) -> Rule:
    """For what takes together all axes from one on."""

    def rule(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
        axis = _attribute(node, "axis", default)
        return all(one.axis is not None and one.axis < axis % len(one.shape) for one in _told(inputs))

    return rule


def _softmax(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    return (_along(-1) if opset >= 13 else _from(1))(node, inputs, outputs, opset)


def _running(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    axis, x = _whole(inputs, 1), inputs[0]
    return None if not axis or x is None else not x.along(axis[0])


def _moments(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    axes = _attribute(node, "axes", [0, 2, 3])
    return not any(one.along(axis) for one in _told(inputs) for axis in axes)


def _batch_norm(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return not _attribute(node, "training_mode", 0) and len(outputs) == 1


def _recurrent(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    axis = 0 if _attribute(node, "layout", 0) else 1
    return inputs[0] is not None and (not inputs[0].told or inputs[0].axis == axis)


def _reversed(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return inputs[0] is not None and inputs[0].axis == _attribute(node, "batch_axis", 1)


def _reshaped(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    x, y = inputs[0], outputs[0]
    if x is None or x.axis is None or y.axis is None:
        return False
    before = prod(x.shape[: x.axis])
    return before == prod(y.shape[: y.axis]) and (before == 1 or x.rows == y.rows)


def _sliced(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    x, steps = inputs[0], _whole(inputs, 4)
    if x is None or not x.told or (len(inputs) > 4 and inputs[4] is not None and steps is None):
        return None
    axes = _whole(inputs, 3) or list(range(len(x.shape)))
    return not any(step < 0 and x.along(axis) for axis, step in zip(axes, steps or [], strict=False))


def _padded(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    x, pads = inputs[0], _attribute(node, "pads", None) or _whole(inputs, 1)
    if x is None or pads is None or x.axis is None:
        return None
    axes = _whole(inputs, 3) or list(range(len(x.shape)))
    return not any(
        x.along(axis) and (pads[place] or pads[place + len(axes)]) for place, axis in enumerate(axes)
    )  # rows cut on one side and added on the other are as many, and others


def _taken(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    data = inputs[0]
    return data is not None and not (data.told and data.along(_attribute(node, "axis", 0)))


def _taken_each(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    """GatherElements and ScatterElements."""
    told = _told(inputs)
    axis = _attribute(node, "axis", 0)
    return len({one.axis for one in told}) == 1 and not any(one.along(axis) for one in told)


def _taken_by_place(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    data = inputs[0]
    if data is None or not data.told:
        return data is not None
    return data.axis is not None and data.axis < _attribute(node, "batch_dims", 0)


def _extracted(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return inputs[0] is not None and not (inputs[0].told and inputs[0].along(-1))


def _compressed(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    x, axis = inputs[0], _attribute(node, "axis", None)
    return x is not None and axis is not None and not x.along(axis) and len(_told(inputs)) == 1


def _triangle(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return all(one.axis is not None and one.axis < len(one.shape) - 2 for one in _told(inputs))


def _product(left: int, right: int) -> Rule:
    """Of matrices: what is summed over must not be the rows."""

    def rule(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
        a, b = inputs[left], inputs[right]
        return a is not None and b is not None and not a.along(-1) and not b.along(-2 if len(b.shape) > 1 else 0)

    return rule


def _gemm(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    a, b = inputs[0], inputs[1]
    left, right = 0 if _attribute(node, "transA", 0) else 1, 1 if _attribute(node, "transB", 0) else 0
    return a is not None and b is not None and not a.along(left) and not b.along(right)


def _einsum(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    equation = _attribute(node, "equation", b"").decode().replace(" ", "")
    terms, arrow, answer = equation.partition("->")
    if not arrow or "." in equation:
        return None
    rows = {
        letters[one.axis] for letters, one in zip(terms.split(","), inputs, strict=True) if one and one.axis is not None
    }
    return len(rows) == 1 and rows <= set(answer)


def _branches(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    """If: what is in the branches cannot be looked at, so it must be harmless by itself."""
    inner = [one for branch in node.attribute for one in branch.g.node]
    return True if all(one.op_type in (*_PLAIN, "Constant") for one in inner) else None


def _harmless(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool:
    return True


def _normal_strings(node: NodeProto, inputs: Inputs, outputs: Sequence[Tensor], opset: int) -> bool | None:
    return None if _attribute(node, "stopwords", None) else True


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_PLAIN, _harmless),
    **dict.fromkeys(_LEADING, _leading),
    **dict.fromkeys(_TABLES, _table),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("TopK", "LpNormalization"), _along(-1)),
    **dict.fromkeys(("Concat", "Split"), _along(0)),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _from(-1)),
    **dict.fromkeys(("CumSum", "CumProd"), _running),
    **dict.fromkeys(RESHAPES, _reshaped),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("GatherElements", "ScatterElements"), _taken_each),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _product(0, 1)),
    "QLinearMatMul": _product(0, 3),
    "ArrayFeatureExtractor": _extracted,
    "BatchNormalization": _batch_norm,
    "Compress": _compressed,
    "Einsum": _einsum,
    "Gather": _taken,
    "GatherND": _taken_by_place,
    "Gemm": _gemm,
    "If": _branches,
    "MeanVarianceNormalization": _moments,
    "Pad": _padded,
    "ReverseSequence": _reversed,
    "Slice": _sliced,
    "StringNormalizer": _normal_strings,
    "Trilu": _triangle,
}
