"""Files from elsewhere: what no job should load is refused in words, and no file crashes or hangs the one that loads it."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

import models.structure
from models.golden import golden_fault
from models.importing import check_draft
from models.inspection import Limits, inspect
from models.onnx_scorer import OnnxScorer
from models.registry import Registry, StoredModel
from models.shelf import Shelf
from models.structure import check_structure
from operators.scoring import ModelError
from tests.models.builders import draft_of, forest, logistic, network, onnx_bytes, tensor
from tests.models.test_scoring import manifest_of

X, SCORE = [tensor("x", [None, 1])], [tensor("score", [None, 1])]


def changed(change: Callable[[ModelProto], object], data: bytes | None = None) -> bytes:
    model = ModelProto()
    model.ParseFromString(data or logistic([1.0]))
    change(model)
    return model.SerializeToString()


def outside(model: ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def looping(model: ModelProto) -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL), tensor("v", [None, 1])],
        [tensor("on", [], TensorProto.BOOL), tensor("w", [None, 1])],
    )
    model.graph.node.append(helper.make_node("Loop", ["", "", "x"], ["y"], body=inner))


def nested(model: ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("RandomNormal", [], ["r"], shape=[1])], "g", [], [tensor("r", [1])])
    for _ in range(2):
        node = helper.make_node("If", ["c"], ["r"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [tensor("r", [1])])
    model.graph.node.append(helper.make_node("If", ["c"], ["r"], then_branch=graph, else_branch=graph))


def deep(model: ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["c"], ["r"])], "g", [], [tensor("r", [1])])
    for _ in range(12):
        node = helper.make_node("If", ["c"], ["r"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [tensor("r", [1])])
    model.graph.node.append(helper.make_node("If", ["c"], ["r"], then_branch=graph))


def claiming(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def functional(model: ModelProto) -> None:
    model.functions.append(
        helper.make_function("pkg", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)])
    )  # fmt: skip


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no model": (lambda: b"\xff\xff\xff\xff not a model", "the file is no ONNX model: it does not parse"),
    "empty": (lambda: b"", "the file is no ONNX model: it has no graph"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "the file is no ONNX model: it does not parse"),
    "external data": (
        lambda: changed(outside),
        "tensor 'w' is in a file of its own, and a model is one file: save it with its data inside (onnx.save, save_as_external_data=False)",
    ),
    "custom domain": (
        lambda: changed(lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1))),
        "the model uses operators of domain 'com.microsoft', and only the standard ones (ai.onnx, ai.onnx.ml) are taken: export without custom or fused operators",
    ),
    "custom operator": (
        lambda: changed(lambda m: m.graph.node.append(helper.make_node("Shell", ["x"], ["y"], domain="evil"))),
        "operator Shell is of domain 'evil', and only the standard ones (ai.onnx, ai.onnx.ml) are taken: export without custom or fused operators",
    ),
    "unknown opset": (
        lambda: changed(lambda m: m.opset_import.append(helper.make_opsetid("", 999))),
        "the model uses operator set ai.onnx 999, and 7 to 26 are taken: export with another target_opset",
    ),
    "functions": (
        lambda: changed(functional),
        "the model brings 1 functions of its own (pkg.Twice): inline them (onnx.inliner) and export again",
    ),
    "training": (
        lambda: changed(lambda m: m.training_info.add()),
        "the model brings training graphs: export it for inference",
    ),
    "loop": (lambda: changed(looping), "operator Loop can run without end: export the model without loops"),
    "random, deep inside": (
        lambda: changed(nested),
        "operator RandomNormal gives another answer each time: export the model for inference",
    ),
    "nested": (lambda: changed(deep), "the model has graphs nested deeper than 8"),
    "a tensor that is not there": (
        lambda: changed(claiming),
        "tensor 'w' claims 1,099,511,627,776 values, and the file does not hold them",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_job_should_load(name: str) -> None:
    build, said = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        check_structure(build())
    assert str(caught.value) == said


def test_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.structure, "MOST_TENSOR_BYTES", 1_000)
    with pytest.raises(ModelError, match=r"tensor 'w0' has \d,\d+ bytes, and 1,000 are allowed"):
        check_structure(network(30))
    monkeypatch.setattr(models.structure, "MOST_NODES", 1)
    with pytest.raises(ModelError, match="the model has over 1 nodes, and no more are allowed"):
        check_structure(logistic([1.0]))


def stored(data: bytes, **parts: Any) -> StoredModel:
    return StoredModel(manifest_of(logistic([1.0]), ["a"]).model_copy(update=parts), data)


def test_the_child_finds_what_a_file_does() -> None:
    sound = manifest_of(logistic([1.0]), ["a"])
    heavy = onnx_bytes(
        [
            helper.make_node("ConstantOfShape", ["huge"], ["z"]),
            helper.make_node("ReduceSum", ["z", "axes"], ["s"], keepdims=0),
            helper.make_node("Add", ["x", "s"], ["score"]),
        ],
        X,
        SCORE,
        {"huge": np.array([1 << 20, 1 << 12], np.int64), "axes": np.array([0, 1], np.int64)},
    )
    mixing = onnx_bytes(
        [helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1), helper.make_node("Sub", ["x", "m"], ["score"])],
        X,
        SCORE,
    )  # fmt: skip
    wrong = sound.golden.model_copy(update={"outputs": [0.25, *sound.golden.outputs[1:]]})
    nan = onnx_bytes([helper.make_node("Sqrt", ["x"], ["score"])], X, SCORE)
    shaped = onnx_bytes(
        [helper.make_node("ReduceSum", ["x", "axes"], ["score"], keepdims=0)], X, [tensor("score", [None])], {"axes": np.array([1], np.int64)}
    )  # fmt: skip
    models = [
        StoredModel(sound, logistic([1.0])),
        StoredModel(sound, heavy),
        StoredModel(sound, mixing),
        StoredModel(sound.model_copy(update={"golden": wrong}), logistic([1.0])),
        StoredModel(sound, nan),
        StoredModel(sound.model_copy(update={"output": sound.output.model_copy(update={"column": 5})}), logistic([1.0])),
        StoredModel(sound, shaped),
        StoredModel(sound, logistic([1.0, 2.0])),
        StoredModel(sound, logistic([1.0])),
    ]  # fmt: skip
    said = inspect(models, Limits(memory_bytes=2 << 30))
    assert said[0] is None and said[8] is None
    assert said[1] is not None and (
        "fails on golden row 1" in said[1] or "ended the process that checks models" in said[1]
    )
    assert said[2] is not None and "golden row" in said[2]
    assert said[3] == (
        "golden row 1 scores 0.500000, 0.250000 is expected (to 1e-05): the model or the machine computes something else"
    )
    assert said[4] is not None and "is expected" in said[4]
    assert said[5] == "the model fails on golden row 1 (ModelError)"
    assert said[6] is not None and "is expected" in said[6]
    assert said[7] == "input x takes 2 columns, its manifest names 1"


def test_a_model_that_mixes_rows_is_refused() -> None:
    mixing = onnx_bytes(
        [helper.make_node("ReduceMax", ["x"], ["m"], axes=[0], keepdims=1), helper.make_node("Sub", ["x", "m"], ["score"])],
        X,
        SCORE,
    )  # fmt: skip
    draft = draft_of(mixing, "m", ["a"])
    manifest = manifest_of(logistic([1.0]), ["a"]).model_copy(update={"golden": draft.golden, "output": draft.output})
    (said,) = inspect([StoredModel(manifest, mixing)])
    assert said is not None and said.startswith("a row's score depends on the")


def test_the_child_is_killed_when_it_takes_too_long() -> None:
    slow = stored(network(1))
    said = inspect([slow, stored(logistic([1.0]))], Limits(seconds=0.0))
    assert said == ["checking it took over 0 s"] * 2


def test_an_import_is_checked_as_a_job_would() -> None:
    data = logistic([1.0])
    draft = draft_of(data, "m", ["a"])
    check_draft(draft, data)
    with pytest.raises(ModelError, match="checking it took over 0 s"):
        check_draft(draft, data, Limits(seconds=0.0))


def test_a_thousand_mutated_files_harm_nobody() -> None:
    """Each is checked in a child; what it passes is loaded and scored here, as a job would."""
    rng = random.Random(11)
    sound = {build.__name__: build for build in (network, forest)}
    manifests = {name: manifest_of(build(3), ["a", "b", "c"]) for name, build in sound.items()}
    files: list[StoredModel] = []
    for _ in range(1_000):
        name = rng.choice(sorted(sound))
        data = bytearray(sound[name](3))
        for _change in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at] = rng.randrange(256)
                case 2:
                    del data[at : at + rng.randrange(1, 64)]
                case 3:
                    data[at:at] = rng.randbytes(rng.randrange(1, 16))
        files.append(StoredModel(manifests[name], bytes(data)))
    said = inspect(files, Limits(seconds=10.0))
    assert len(said) == 1_000
    refused = sum(one is not None for one in said)
    assert 300 < refused < 1_000
    whole = {name: OnnxScorer(StoredModel(manifests[name], build(3))) for name, build in sound.items()}
    assert all(golden_fault(scorer) is None for scorer in whole.values())
    for stored_model, why in zip(files, said, strict=True):
        if why is None:
            assert golden_fault(OnnxScorer(stored_model)) is None


def test_the_child_sees_no_secret_and_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    start = subprocess.Popen

    def spied(command: list[str], **options: Any) -> Any:
        seen.update(options["env"])
        return start(command, **options)

    monkeypatch.setenv("WATCHGATE_PII_KEY", "a secret")
    monkeypatch.setattr("models.inspection.subprocess.Popen", spied)
    assert inspect([stored(logistic([1.0]))]) == [None]
    assert "PATH" in seen and "WATCHGATE_PII_KEY" not in seen
    file = tmp_path / "written"
    script = "import io, sys; from models.inspection_child import main; main('check', 3 << 30, io.BytesIO(), print); open(sys.argv[1], 'wb', buffering=0).write(b'x')"
    ended = start(
        [sys.executable, "-c", script, str(file)], env={**seen}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert b"File too large" in ended.communicate(timeout=60)[1] and not file.read_bytes()


def test_a_job_asks_the_child_first(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    data = logistic([1.0])
    registry.add(draft_of(data, "m", ["a"]), data)
    seen: list[bytes] = []
    shelf = Shelf(registry, inspect=lambda models: [seen.append(m.data) or "refused by the child" for m in models])  # type: ignore[func-returns-value]
    assert shelf.settle("m", 1) == "refused by the child" and shelf.ready("m", 1) is None
    assert seen == [data]
