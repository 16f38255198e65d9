"""Somebody else's model, such as an export of PyTorch or scikit-learn: what its file says of itself becomes a manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from onnx import ModelProto, TensorProto, ValueInfoProto

from models.binding import bound
from models.curves import curve_of
from models.inspection import Limits, golden_scores, inspect
from models.learners import TrainingError, ordinary
from models.metrics import measured
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.samples import Samples
from models.structure import check_structure
from operators.scoring import ModelError
from schemas.manifest import Baseline, Golden, Manifest, ManifestDraft, ModelInput, ModelOutput

_ROWS = 16
_WORDS = ("", "hello", "see you tomorrow", "win a free prize now http://prize.example", "ÄÖÜ 你好 🙂", "a" * 300)
_NUMBERS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the file does not say of itself."""

    name: str
    inputs: Sequence[ModelInput]
    """In the order of the model's own, or as its tensors are called."""
    output: str | None = None
    """The output that holds the score; needed where it is not plain."""
    column: int | None = None
    """The class in it; the last unless given."""
    description: str = ""
    created_at: str | None = None


def imported(data: bytes, wanted: Wanted, limits: Limits | None = None) -> ManifestDraft:
    """The manifest of a model file, with golden rows of seeded numbers and what the model makes of them in a child process.

    Raises ModelError for a file that no job should load, that does not take these inputs, or has no plain score.
    """
    check_structure(data)
    model = ModelProto()
    model.ParseFromString(data)
    initial = {tensor.name for tensor in model.graph.initializer}
    tensors = [one for one in model.graph.input if one.name not in initial]
    texts = [one.name for one in wanted.inputs if one.type == "text"]
    if texts and len(tensors) == 1 and tensors[0].type.tensor_type.elem_type in _NUMBERS:
        raise ModelError(
            f"{texts[0]} is a string, and the model takes numbers ({tensors[0].name}): leave it out of --inputs, or derive a number from it"
        )
    matrix = len(tensors) == 1 and len(tensors[0].type.tensor_type.shape.dim) == 2 and not texts
    inputs = list(wanted.inputs) if matrix else bound([one.name for one in tensors], wanted.inputs)
    rows = _golden_rows(inputs)
    draft = ManifestDraft(
        name=wanted.name,
        kind="imported",
        description=wanted.description,
        created_at=wanted.created_at,
        inputs=inputs,
        layout="matrix" if matrix else "columns",
        output=_output(list(model.graph.output), wanted),
        golden=Golden(inputs=rows, outputs=[None] * len(rows)),
    )
    scores = golden_scores(_stored(draft, data), limits)
    for row, score in zip(rows, scores, strict=True):
        if score is None and None not in row:
            raise ModelError(
                "the model has no score (NaN) for ordinary rows: its export is broken, or takes other inputs"
            )
    return draft.model_copy(update={"golden": Golden(inputs=rows, outputs=scores)})


def check_draft(draft: ManifestDraft, data: bytes, limits: Limits | None = None) -> None:
    """What a job asks of a version before it loads it. Raises ModelError with why it would be refused."""
    (why,) = inspect([_stored(draft, data)], limits)
    if why is not None:
        raise ModelError(why)


def _stored(draft: ManifestDraft, data: bytes) -> StoredModel:
    return StoredModel(Manifest(**dict(draft), version=1, sha256=sha256(data).hexdigest()), data)


def calibration_set(draft: ManifestDraft, data: bytes, samples: Samples) -> ManifestDraft:
    """The manifest with what the scores do on labelled events that the model was not trained on: thresholds, figures, and an
    ordinary value of each input, against which scores are explained. Scores stay as they are. O(events).

    The model is one that `check_draft` passes. Raises TrainingError where the events are of one class or have no score.
    """
    positives = int(samples.labels.sum())
    if positives in (0, len(samples)):
        which = "true" if positives else "false"
        raise TrainingError(
            f"all {len(samples):,} labels are {which}, and thresholds are made of both: give events of the other class too"
        )
    scores = OnnxScorer(_stored(draft, data)).score(samples.inputs).values
    known = ~np.isnan(scores)
    if not known.any() or samples.labels[known].all() or not samples.labels[known].any():
        raise TrainingError(
            f"{int(known.sum()):,} of {len(samples):,} labelled events have a score, and those are not of both classes: see --on-null for inputs that are NULL"
        )
    figures = measured(scores[known], samples.labels[known])
    if scores[known].min() < 0 or scores[known].max() > 1:  # no probabilities, so only their order counts
        figures = {name: figures[name] for name in ("average_precision", "auc", "positives", "events")}
    numbers = [one.name for one in draft.inputs if one.type == "number"]
    middles = dict(zip(numbers, ordinary(samples.inputs.select(numbers).cast(pl.Float64).to_numpy()), strict=True))
    return draft.model_copy(
        update={
            "curve": curve_of(scores, samples.labels, samples.days),
            "metrics": figures,
            "explanation": Baseline(values=[middles.get(one.name) for one in draft.inputs]),
        }
    )


def _golden_rows(inputs: Sequence[ModelInput]) -> list[list[bool | int | float | str | None]]:
    rng = np.random.default_rng(7)
    rows: list[list[bool | int | float | str | None]] = []
    for number in range(_ROWS):
        scale = (0.0, 1.0, 10.0, 1_000.0)[number % 4]
        values = np.round(rng.normal(size=len(inputs)) * scale, 3).tolist()
        rows.append(
            [
                _WORDS[number % len(_WORDS)] if one.type == "text" else value
                for one, value in zip(inputs, values, strict=True)
            ]
        )
    return [*rows, [None] * len(inputs)]


def _output(outputs: Sequence[ValueInfoProto], wanted: Wanted) -> ModelOutput:
    """The score: the output that was named, the only one of numbers, or the only one that is called a probability."""
    names = ", ".join(one.name for one in outputs)
    numbers = [one for one in outputs if one.type.tensor_type.elem_type in _NUMBERS]
    if wanted.output is not None:
        found = [one for one in outputs if one.name == wanted.output]
        if not found:
            raise ModelError(f"the model has no output {wanted.output}: it has {names}")
    else:
        other = next((one for one in outputs if not one.type.HasField("tensor_type")), None)
        if other is not None or not numbers:
            raise ModelError(
                f"output {(other or outputs[-1]).name} is no tensor of numbers, and a score is one: export the model with probabilities as a tensor (skl2onnx: zipmap=False), or name another of its outputs ({names}) with --output"
            )
        found = numbers if len(numbers) == 1 else [one for one in numbers if "prob" in one.name.lower()]
        if len(found) != 1:
            raise ModelError(f"which of the model's outputs ({names}) is the score? Name it with --output")
    dimensions = found[0].type.tensor_type.shape.dim
    classes = dimensions[1].dim_value if len(dimensions) == 2 else 1
    column = max(classes - 1, 0) if wanted.column is None else wanted.column
    if classes and column >= classes:
        has = f"{classes} columns, 0 to {classes - 1}" if classes > 1 else "one column, 0"
        raise ModelError(f"output {found[0].name} has no column {column}: it has {has}. Name one with --output-column")
    return ModelOutput(tensor=found[0].name, column=column)
