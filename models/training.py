"""From labelled events to a version for the registry: fitted, calibrated, exported, compared with its library, measured."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from models.calibrating import calibrated
from models.curves import curve_of
from models.golden import golden_inputs
from models.learners import LEARNERS, Learned, TrainingError
from models.metrics import average_precision, measured
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.samples import Samples, split
from models.text_encoding import encoding
from models.text_fit import TextFit, fit_text
from models.text_graph import OUTPUT, export_text
from models.text_ngrams import ngrams
from schemas.manifest import (
    Calibration,
    Golden,
    Linear,
    Manifest,
    ManifestDraft,
    ModelInput,
    ModelOutput,
    TrainingWindow,
)
from schemas.times import iso

PARITY = 1e-5
"""How far the exported model may be from the library's."""
_MEASURED = 5_000
"""Events that the weight of an input is measured on."""
_Row = list[bool | int | float | str | None]
_SENTENCES: list[_Row] = [
    [""], ["hello"], ["see you tomorrow at the station"], ["WIN a FREE phone now at http://prize.example/claim !!!"],
    ["the second part of this song is beautiful"], ["check out my channel and subscribe please"],
    ["ÄÖÜ ß 你好 привет 🙂"], ["a" * 300], ["1234 5678 9012 3456"], ["f.r.e.e m-o-n-e-y"], [None],
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trained:
    """A version to be added, and what its report shows. `scores` are of the test set, NaN where there is none."""

    draft: ManifestDraft
    data: bytes
    scores: Floats
    labels: Mask
    importance: list[tuple[str, float]]
    parity: float


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be trained. `created_at` is a time as ISO text."""

    name: str
    kind: str
    description: str
    created_at: str


def train(samples: Samples, order: Order) -> Trained:
    """Trains and measures. Raises TrainingError: one class only, an export that computes something else.

    The split is by time: 70 % to fit on, 15 % to calibrate on, 15 % to measure on and to choose thresholds with. A text
    model chooses its own fifth of the first 85 % for that.
    """
    return _text(samples, order) if order.kind == "text" else _numbers(samples, order)


def _numbers(samples: Samples, order: Order) -> Trained:
    parts, learner = split(samples), LEARNERS[order.kind]
    names = samples.inputs.columns
    raw = matrix(parts.train.inputs)
    for name, column in zip(names, raw.T, strict=True):
        if np.isnan(column).all():
            raise TrainingError(f"input {name} is NULL for every event that is trained on: leave it out of --features")
    fills = None if learner.missing else np.nanmedian(raw, axis=0)
    learned = learner.fit(_filled(raw, fills), parts.train.labels)
    inputs = [
        ModelInput(name=n, fingerprint=samples.prints.get(n), on_null="missing" if fills is None else float(fills[j]))
        for j, n in enumerate(names)
    ]
    base = Manifest(
        name=order.name, kind=order.kind, description=order.description, created_at=order.created_at, inputs=inputs,
        layout="matrix", output=learned.output, golden=Golden(inputs=_rows(raw), outputs=[None] * _ROWS),
        explanation=learned.explanation, version=1, sha256=sha256(learned.data).hexdigest(),
    )  # fmt: skip
    parity = _parity(base, learned, fills, samples.inputs)
    outputs = learned.outputs(_filled(matrix(parts.calibrate.inputs), fills))
    return _finished(base, learned.data, calibrated(outputs, parts.calibrate.labels), parts.test, samples, parity)


def _text(samples: Samples, order: Order) -> Trained:
    known = samples.where(samples.inputs.to_series().is_not_null().to_numpy())
    parts = split(known)
    earlier = parts.earlier
    fit = fit_text(earlier.inputs.to_series(), earlier.labels)
    data = export_text(fit)
    name = samples.inputs.columns[0]
    base = Manifest(
        name=order.name, kind="text", description=order.description, created_at=order.created_at,
        inputs=[ModelInput(name=name, fingerprint=samples.prints.get(name), type="text")],
        layout="text", text=encoding(), output=ModelOutput(tensor=OUTPUT),
        golden=Golden(inputs=_SENTENCES, outputs=[None] * len(_SENTENCES)),
        version=1, sha256=sha256(data).hexdigest(),
    )  # fmt: skip
    parity = _text_parity(base, data, fit, known.inputs)
    return _finished(base, data, fit.calibration, parts.test, known, parity)


def _finished(
    base: Manifest, data: bytes, calibration: Calibration, test: Samples, whole: Samples, parity: float
) -> Trained:
    """Scores the test set as a job would, and writes down what came of it."""
    told = base.explanation
    if isinstance(told, Linear) and calibration.method == "platt":
        # Of log-odds that are a sum over inputs, so what an input adds to those of the score is the slope times as much.
        told = Linear(coefficients=[calibration.slope * one for one in told.coefficients], means=told.means)
    manifest = base.model_copy(update={"calibration": calibration, "explanation": told})
    scorer = OnnxScorer(StoredModel(manifest, data))
    scores = scorer.score(test.inputs).values
    known = ~np.isnan(scores)
    if not known.any() or test.labels[known].all() or not test.labels[known].any():
        raise TrainingError("the events to measure on have no score, or are of one class: label more events")
    earlier = len(whole) - len(test)
    fields = manifest.model_dump(exclude={"format", "version", "sha256"})
    fields |= {
        "curve": curve_of(scores, test.labels, test.days),
        "metrics": measured(scores[known], test.labels[known]),
        "trained_on": TrainingWindow(
            start=iso(int(whole.times[0])),
            end=iso(int(whole.times[earlier - 1])),
            events=earlier,
            positives=int(whole.labels[:earlier].sum()),
        ),
        "golden": _golden(manifest, scorer),
    }
    draft = ManifestDraft.model_validate(fields | {"explanation": manifest.explanation})
    return Trained(draft, data, scores, test.labels, _importance(scorer, test), parity)


def _golden(manifest: Manifest, scorer: OnnxScorer) -> Golden:
    scores = scorer.score(golden_inputs(manifest)).values
    return Golden(inputs=manifest.golden.inputs, outputs=[None if np.isnan(s) else float(s) for s in scores])


_ROWS = 17


def _rows(x: Floats) -> list[_Row]:
    """Golden rows: numbers between the quantiles of each column, drawn column by column, so that no row is an event."""
    rng = np.random.default_rng(7)
    steps = np.nanquantile(x, (0.02, 0.25, 0.5, 0.75, 0.98), axis=0)
    drawn = steps[rng.integers(0, 5, (_ROWS - 1, x.shape[1])), np.arange(x.shape[1])]
    shifted = drawn + rng.random(drawn.shape) * (steps[-1] - steps[0]) * 0.1
    rows: list[_Row] = [[float(f"{value:.4g}") for value in row] for row in shifted.tolist()]
    return [*rows, [None] * x.shape[1]]


def _parity(base: Manifest, learned: Learned, fills: Floats | None, inputs: pl.DataFrame) -> float:
    exported = OnnxScorer(StoredModel(base, learned.data)).score(inputs).values
    wanted = np.round(learned.outputs(_filled(matrix(inputs), fills)), 6)
    return _close(base.kind, exported, wanted)


def _text_parity(base: Manifest, data: bytes, fit: TextFit, texts: pl.DataFrame) -> float:
    exported = OnnxScorer(StoredModel(base, data)).score(texts).values
    return _close("text", exported, fit.margins(ngrams(texts.to_series())))


def _close(kind: str, exported: Floats, wanted: Floats) -> float:
    """The largest difference, once it is small enough."""
    off = float(np.max(np.abs(exported - wanted)))
    if not off <= PARITY:
        raise TrainingError(
            f"the exported {kind} model differs from the trained one by {off:.2g}, and {PARITY:g} is allowed: an input may have values that 32-bit numbers cannot tell apart; scale it in derive:, or train another kind"
        )
    return off


def _importance(scorer: OnnxScorer, test: Samples) -> list[tuple[str, float]]:
    """What average precision loses when an input is shuffled, largest first; nothing for a text."""
    if test.inputs.width < 2:
        return []
    some = test.part(max(0, len(test) - _MEASURED), len(test))
    if some.labels.all() or not some.labels.any():
        some = test
    rng = np.random.default_rng(5)
    best = average_precision(np.nan_to_num(scorer.score(some.inputs).values), some.labels)
    found = []
    for column in some.inputs:
        inputs = some.inputs.with_columns(column.gather(rng.permutation(len(some))))
        lost = best - average_precision(np.nan_to_num(scorer.score(inputs).values), some.labels)
        found.append((column.name, round(lost, 6)))
    return sorted(found, key=lambda one: -one[1])


def matrix(inputs: pl.DataFrame) -> Floats:
    """Columns side by side, NULL as NaN."""
    return inputs.cast(pl.Float64).to_numpy()


def _filled(x: Floats, fills: Floats | None) -> Floats:
    return x if fills is None else np.where(np.isnan(x), fills, x)
