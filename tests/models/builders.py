"""Small models, made by hand so that no training library is needed, and registries that hold them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.importing import Wanted, imported
from models.inspection import golden_scores
from models.registry import Registry, StoredModel
from operators.plan import Program
from schemas.manifest import Manifest, ManifestDraft, ModelInput

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def onnx_bytes(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    tensors: Mapping[str, Any] | None = None,
    opsets: Sequence[Any] | None = None,
) -> bytes:
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in (tensors or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), constants)
    return helper.make_model(graph, opset_imports=list(opsets or OPSETS), ir_version=9).SerializeToString()


def tensor(name: str, shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def logistic(weights: Sequence[float], bias: float = 0.0) -> bytes:
    """sigmoid(x w + b)"""
    return onnx_bytes(
        [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["score"])],
        [tensor("x", [None, len(weights)])],
        [tensor("score", [None, 1])],
        {"w": np.array(weights, np.float32).reshape(-1, 1), "b": np.array([bias], np.float32)},
    )


def network(width: int, seed: int = 1) -> bytes:
    """Two hidden layers and two classes with a softmax: output [rows, 2]."""
    rng = np.random.default_rng(seed)
    sizes, tensors, nodes, last = [width, 67, 33, 2], {}, [], "x"
    for i, (a, b) in enumerate(pairwise(sizes)):
        tensors |= {
            f"w{i}": (rng.normal(size=(a, b)) / np.sqrt(a)).astype(np.float32),
            f"b{i}": np.zeros(b, np.float32),
        }
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"z{i}"]))
        last = f"z{i}"
        if i < 2:
            nodes.append(helper.make_node("Relu", [last], [f"a{i}"]))
            last = f"a{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    return onnx_bytes(nodes, [tensor("x", [None, width])], [tensor("probabilities", [None, 2])], tensors)


def forest(width: int, trees: int = 40, seed: int = 1) -> bytes:
    """Trees of depth 2 whose leaves are summed, then a sigmoid."""
    rng = np.random.default_rng(seed)
    ids, nodes, features, values, modes, yes, no = [], [], [], [], [], [], []
    leaf_trees, leaf_nodes, leaf_values = [], [], []
    for tree in range(trees):
        for node in range(7):
            branch = node < 3
            ids.append(tree)
            nodes.append(node)
            features.append(int(rng.integers(width)) if branch else 0)
            values.append(float(rng.normal()) if branch else 0.0)
            modes.append("BRANCH_LEQ" if branch else "LEAF")
            yes.append(2 * node + 1 if branch else 0)
            no.append(2 * node + 2 if branch else 0)
            if not branch:
                leaf_trees.append(tree)
                leaf_nodes.append(node)
                leaf_values.append(float(rng.normal() / np.sqrt(trees)))
    trees_node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["z"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=ids, nodes_nodeids=nodes, nodes_featureids=features, nodes_values=values, nodes_modes=modes,
        nodes_truenodeids=yes, nodes_falsenodeids=no, nodes_missing_value_tracks_true=[1] * len(ids),
        target_treeids=leaf_trees, target_nodeids=leaf_nodes, target_ids=[0] * len(leaf_trees), target_weights=leaf_values,
    )  # fmt: skip
    return onnx_bytes(
        [trees_node, helper.make_node("Sigmoid", ["z"], ["score"])],
        [tensor("x", [None, width])],
        [tensor("score", [None, 1])],
    )


def words(known: Mapping[str, float], otherwise: float = 0.1) -> bytes:
    """A score for each known text: input is a tensor of strings."""
    node = helper.make_node(
        "LabelEncoder", ["text"], ["score"], domain="ai.onnx.ml",
        keys_strings=list(known), values_floats=list(known.values()), default_float=otherwise,
    )  # fmt: skip
    return onnx_bytes([node], [tensor("text", [None, 1], TensorProto.STRING)], [tensor("score", [None, 1])])


def draft_of(data: bytes, name: str, inputs: Sequence[ModelInput | str], **parts: Any) -> ManifestDraft:
    """The manifest of a model, with golden rows of what it gives. Those cost a process of a second, so the same model is
    looked at once."""
    given = [ModelInput(name=one) if isinstance(one, str) else one for one in inputs]
    wanted = repr((data, name, given, parts))
    if wanted not in _drafts:
        _drafts[wanted] = _looked_at(data, name, given, **parts)
    return _drafts[wanted].model_copy(deep=True)


_drafts: dict[str, ManifestDraft] = {}


def _looked_at(data: bytes, name: str, given: Sequence[ModelInput], **parts: Any) -> ManifestDraft:
    draft = imported(data, Wanted(name, list(given)))
    if not parts:
        return draft
    manifest = Manifest.model_validate(draft.model_dump() | {"version": 1, "sha256": "0" * 64} | parts)
    scores = golden_scores(StoredModel(manifest, data))
    golden = {"inputs": draft.golden.inputs, "outputs": scores}
    return ManifestDraft.model_validate(draft.model_dump() | parts | {"golden": golden})


def put(root: Path, data: bytes, name: str, inputs: Sequence[ModelInput | str], **parts: Any) -> Manifest:
    """Adds a model to the registry at a folder."""
    return Registry(root).add(draft_of(data, name, inputs, **parts), data)


def bound(program: Program, *names: str, **rules: Any) -> list[ModelInput]:
    """Inputs that are bound to the definitions of a program's columns; `rules` give `on_null` by name."""
    return [ModelInput(name=n, fingerprint=program.prints[n], on_null=rules.get(n, "null_score")) for n in names]
