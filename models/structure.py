"""What a model file may hold, read from the file itself before onnxruntime sees it.

A model is data: standard operators over tensors that stand in the file. Refused is what would reach outside of it, run
without end, answer differently each time, or take more memory than a score is worth.
"""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import DecodeError
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from operators.scoring import ModelError

OPSETS: Mapping[str, tuple[int, int]] = {"": (7, 26), "ai.onnx": (7, 26), "ai.onnx.ml": (1, 5)}
"""First and last version of each operator set that is taken."""
MOST_NODES = 20_000
MOST_TENSOR_BYTES = 128 << 20
MOST_DEPTH = 8
"""Graphs in graphs (the branches of If)."""

_ENDLESS = {"Loop", "Scan", "SequenceMap"}
_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}


def check_structure(data: bytes) -> None:
    """Raises ModelError for a file that is no model, or one that no job should load. O(length of the file)."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError):
        raise ModelError("the file is no ONNX model: it does not parse") from None
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError("the file is no ONNX model: it has no graph")
    _opsets(model)
    if model.functions:
        raise ModelError(
            f"the model brings {len(model.functions)} functions of its own ({_named(model.functions)}): inline them (onnx.inliner) and export again"
        )
    if len(model.training_info):
        raise ModelError("the model brings training graphs: export it for inference")
    nodes = 0
    for graph in _graphs(model.graph, 0):
        nodes += len(graph.node)
        if nodes > MOST_NODES:
            raise ModelError(f"the model has over {MOST_NODES:,} nodes, and no more are allowed")
        for tensor in (*graph.initializer, *_sparse(graph.sparse_initializer)):
            _tensor(tensor)
        for node in graph.node:
            _node(node)


def _opsets(model: ModelProto) -> None:
    for opset in model.opset_import:
        if opset.domain not in OPSETS:
            raise ModelError(
                f"the model uses operators of domain {opset.domain!r}, and only the standard ones (ai.onnx, ai.onnx.ml) are taken: export without custom or fused operators"
            )
        first, last = OPSETS[opset.domain]
        if not first <= opset.version <= last:
            raise ModelError(
                f"the model uses operator set {opset.domain or 'ai.onnx'} {opset.version}, and {first} to {last} are taken: export with another target_opset"
            )


def _graphs(graph: GraphProto, depth: int) -> Iterator[GraphProto]:
    if depth > MOST_DEPTH:
        raise ModelError(f"the model has graphs nested deeper than {MOST_DEPTH}")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g, depth + 1)
            for inner in attribute.graphs:
                yield from _graphs(inner, depth + 1)


def _node(node: NodeProto) -> None:
    if node.domain not in OPSETS:
        raise ModelError(
            f"operator {node.op_type} is of domain {node.domain!r}, and only the standard ones (ai.onnx, ai.onnx.ml) are taken: export without custom or fused operators"
        )
    if node.op_type in _ENDLESS:
        raise ModelError(f"operator {node.op_type} can run without end: export the model without loops")
    if node.op_type in _RANDOM:
        raise ModelError(f"operator {node.op_type} gives another answer each time: export the model for inference")
    for attribute in node.attribute:
        for tensor in _tensors(attribute):
            _tensor(tensor)


def _tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    yield from _sparse(attribute.sparse_tensors)
    if attribute.HasField("sparse_tensor"):
        yield from _sparse([attribute.sparse_tensor])


def _sparse(tensors: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for sparse in tensors:
        yield sparse.values
        yield sparse.indices


def _tensor(tensor: TensorProto) -> None:
    if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
        raise ModelError(
            f"tensor {tensor.name!r} is in a file of its own, and a model is one file: save it with its data inside (onnx.save, save_as_external_data=False)"
        )
    size = 1
    for dimension in tensor.dims:
        size *= max(int(dimension), 0)
    if size * 8 > MOST_TENSOR_BYTES and size > tensor.ByteSize():
        raise ModelError(f"tensor {tensor.name!r} claims {size:,} values, and the file does not hold them")
    if tensor.ByteSize() > MOST_TENSOR_BYTES:
        raise ModelError(
            f"tensor {tensor.name!r} has {tensor.ByteSize():,} bytes, and {MOST_TENSOR_BYTES:,} are allowed"
        )


def _named(functions: Iterable[FunctionProto]) -> str:
    names = [f"{one.domain}.{one.name}" for one in functions]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
