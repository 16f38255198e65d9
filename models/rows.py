"""Whether each row's score comes from that row only, read from the graph and not from what it says to some rows.

A threshold that no checked row reaches hides a mixture from every measurement of scores. So the way from the inputs to the
score is followed operator by operator. Which axis of a tensor has the rows is known from two runs, with as many rows as a job
uses and no others; an operator may neither work along it nor lose it, nor take how many rows there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from models.row_operators import RESHAPES, SLOTS, Array, Tensor, apart

Run = Callable[[Sequence[str], int], Sequence[object]]
"""Values of tensors of the model, inputs included, for a number of rows."""

_OF_SHAPES = ("Shape", "Size", "EyeLike")
"""What they give says how many rows there are, and nothing of what stands in them."""
_AT_ONCE = 64
"""Tensors of one run, so that few are in memory together."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A tensor with few rows and with many. `values` only of one that does not depend on what stands in them."""

    few: tuple[int, ...]
    many: tuple[int, ...]
    values: tuple[Array, Array] | None

    def tensor(self) -> Tensor:
        differing = [i for i, (a, b) in enumerate(zip(self.few, self.many, strict=False)) if a != b]
        axis = differing[0] if len(differing) == 1 and len(self.few) == len(self.many) else None
        return Tensor(self.many, axis, self.values is None, None if self.values is None else self.values[1])

    @property
    def even(self) -> bool:
        """It says neither how many rows there are nor which one is which."""
        if self.values is None:
            return True
        few, many = self.values
        if few.shape == many.shape:
            return _same(few, many)
        first = many.ravel()[:1]
        return all(one.size and _same(one, np.broadcast_to(first, one.shape)) for one in (few, many))


def row_fault(model: ModelProto, output: str, sizes: tuple[int, int], run: Run) -> str | None:
    """How rows come together on the way to an output; None where they do not. Two runs of the model for 64 tensors."""
    nodes = _behind(model.graph, output)
    told = _told(model.graph, nodes)
    if output not in told:
        return None  # it is the same for all rows, and comparing scores of rows shows that
    way = [node for node in nodes if told.intersection(node.output)]
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    pairs = {name: _Pair(one.shape, one.shape, (one, one)) for name, one in constants.items()}
    wanted = dict.fromkeys(name for node in way for name in (*_read(node), *node.output) if name)
    names = [name for name in wanted if name not in pairs]
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        for name, few, many in zip(some, run(some, sizes[0]), run(some, sizes[1]), strict=True):
            if isinstance(few, np.ndarray) and isinstance(many, np.ndarray):
                pairs[name] = _Pair(few.shape, many.shape, None if name in told else (few, many))
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    for node in way:
        fault = _fault(node, pairs, sizes, opset)
        if fault is not None:
            return fault
    score = pairs[output]
    if score.few[:1] + score.many[:1] != sizes:
        return f"a row's score depends on the other rows of its batch: output {output} does not have the rows first"
    return None


def _fault(node: NodeProto, pairs: dict[str, _Pair], sizes: tuple[int, int], opset: int) -> str | None:
    name = f"operator {node.op_type} (which gives {next(one for one in node.output if one)})"
    read = [one for one in _read(node) if one]
    if any(one not in pairs for one in (*read, *(one for one in node.output if one))):
        return _unclear(name)
    for place, one in enumerate(node.input):
        if one and place not in SLOTS.get(node.op_type, ()) and not pairs[one].even:
            return f"a row's score depends on the number of rows in its batch, or on its place: {name} takes {one}"
    inputs = [pairs[one].tensor() if one else None for one in node.input]
    outputs = [pairs[one] for one in node.output if one]
    given = [one.tensor() for one in outputs]
    clear = apart(node, inputs, given, opset)
    if clear is None:
        return _unclear(name)
    rows = {(pairs[one].few[t.axis], t.rows) for one in read if (t := pairs[one].tensor()).told and t.axis is not None}
    for pair, tensor in zip(outputs, given, strict=True):
        if tensor.axis is None:
            clear = False
            continue
        found = (pair.few[tensor.axis], tensor.shape[tensor.axis])
        if node.op_type in RESHAPES:
            clear &= found[0] % sizes[0] == 0 and found[0] * sizes[1] == found[1] * sizes[0]
        else:
            clear &= found in rows
    if not clear:
        return f"a row's score depends on the other rows of its batch: {name} brings rows together"
    return None


def _unclear(name: str) -> str:
    return f"{name} may bring rows together, and a row's score must not depend on the other rows of its batch: export the model without it"


def _behind(graph: GraphProto, output: str) -> list[NodeProto]:
    """The nodes that an output comes from, in order."""
    needed, found = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(_read(node))
            found.append(node)
    return found[::-1]


def _told(graph: GraphProto, nodes: Iterable[NodeProto]) -> set[str]:
    """The tensors that depend on what stands in the rows."""
    told = {one.name for one in graph.input} - {one.name for one in graph.initializer}
    for node in nodes:
        if node.op_type not in _OF_SHAPES and told.intersection(_read(node)):
            told.update(one for one in node.output if one)
    return told


def _read(node: NodeProto) -> list[str]:
    """What a node reads, and what its branches read of the graph around them."""
    found = list(node.input)
    for attribute in node.attribute:
        for branch in (attribute.g, *attribute.graphs):
            inner = {one.name for one in (*branch.input, *branch.initializer)}
            for one in branch.node:
                found += [name for name in _read(one) if name and name not in inner]
                inner.update(one.output)
            found += [one.name for one in branch.output if one.name not in inner]
    return found


def _same(a: Array, b: Array) -> bool:
    floats = a.dtype.kind == "f" and b.dtype.kind == "f"
    return bool(np.array_equal(a, b, equal_nan=floats))
