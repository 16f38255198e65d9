"""Checks that need a session: golden rows give what the manifest says, and a score comes from its own row only."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from onnx import ModelProto, ValueInfoProto

from models.onnx_scorer import SHAPES, OnnxScorer
from models.rows import row_fault
from models.session import session
from operators.scoring import Floats, Scores
from schemas.manifest import Manifest


def golden_inputs(manifest: Manifest) -> pl.DataFrame:
    """The golden rows as columns."""
    columns = []
    for j, given in enumerate(manifest.inputs):
        values = [row[j] for row in manifest.golden.inputs]
        if given.type == "text":
            columns.append(pl.Series(given.name, [v if isinstance(v, str) else None for v in values], dtype=pl.String))
        else:
            numbers = [None if v is None or isinstance(v, str) else float(v) for v in values]
            columns.append(pl.Series(given.name, numbers, dtype=pl.Float64))
    return pl.DataFrame(columns)


def golden_fault(scorer: OnnxScorer) -> str | None:
    """What is wrong with the scores of the golden rows; None where they are right and each comes from its own row. Also warms
    the session up.
    """
    inputs = golden_inputs(scorer.manifest)
    scores = scorer.score(inputs)
    return _wrong(scorer.manifest, scores) or _mixed(scorer, inputs, scores.values)


def wrong_scores(scorer: OnnxScorer) -> str | None:
    """What is wrong with the scores of the golden rows, whatever rows they come from."""
    return _wrong(scorer.manifest, scorer.score(golden_inputs(scorer.manifest)))


def _wrong(manifest: Manifest, scores: Scores) -> str | None:
    golden = manifest.golden
    if scores.failed is not None:
        return f"the model fails on golden row {int(np.argmax(scores.failed)) + 1} ({scores.error})"
    wanted = np.array([np.nan if v is None else v for v in golden.outputs], dtype=np.float64)
    none, no = np.isnan(scores.values), np.isnan(wanted)
    if (none & ~no).any():
        return (
            f"golden row {int(np.argmax(none & ~no)) + 1} has no score (NaN), {wanted[none & ~no][0]:.6f} is expected"
        )
    off = np.where(none & no, 0.0, np.abs(scores.values - np.where(no, np.inf, wanted)))
    if (off > golden.tolerance).any():
        row = int(np.argmax(off))
        expected = "no score" if no[row] else f"{wanted[row]:.6f}"
        return f"golden row {row + 1} scores {scores.values[row]:.6f}, {expected} is expected (to {golden.tolerance:g}): the model or the machine computes something else"
    return None


def rows_together(scorer: OnnxScorer, data: bytes) -> str | None:
    """How the model's graph brings rows together; None where it does not. `data` is the file of the scorer.

    Not for a text encoding: its n-grams have rows of their own, and it is no import.
    """
    manifest = scorer.manifest
    if manifest.layout == "text":
        return None
    model, disclosed = ModelProto(), ModelProto()
    model.ParseFromString(data)
    disclosed.CopyFrom(model)
    given = {one.name for one in model.graph.output}
    made = dict.fromkeys(name for node in model.graph.node for name in node.output if name and name not in given)
    # All that is computed is asked for; of which type it is onnxruntime knows.
    disclosed.graph.output.extend(ValueInfoProto(name=name) for name in made)
    runner, inputs = session(disclosed.SerializeToString(), as_written=True), golden_inputs(manifest)

    def run(names: Sequence[str], rows: int) -> list[object]:
        found = dict(scorer.fed(inputs, rows))
        computed = [name for name in names if name not in found]
        if computed:
            found |= dict(zip(computed, runner.run(computed, found), strict=True))
        return [found[name] for name in names]

    return row_fault(model, manifest.output.tensor, (min(SHAPES), max(SHAPES)), run)


def _mixed(scorer: OnnxScorer, inputs: pl.DataFrame, alone: Floats) -> str | None:
    """The same rows among others, at other places and in calls of every shape, must have the same bits."""
    count, extreme = len(alone), _extreme(inputs, scorer.manifest)
    rng = np.random.default_rng(0)
    beside = pl.concat([inputs, extreme])
    for shape in SHAPES:
        order = rng.permutation(np.resize(np.arange(count), max(shape - 1, count)))
        if not np.array_equal(scorer.score(inputs[order]).values, alone[order], equal_nan=True):
            return "a row's score depends on the other rows of its batch: the model mixes rows, or computes differently for another number of rows"
        order = rng.permutation(np.resize(np.arange(len(beside)), max(shape - 1, len(beside))))
        found, golden = scorer.score(beside[order]).values, order < count
        if not np.array_equal(found[golden], alone[order[golden]], equal_nan=True):
            return "a row's score depends on the other rows of its batch: it is another one beside very large or very small values"
    for row in range(min(count, 4)):
        single = scorer.score(inputs.slice(row, 1)).values
        if not np.array_equal(single, alone[row : row + 1], equal_nan=True):
            return "a row's score depends on the number of rows in its batch"
    return None


_EXTREMES = (1e3, 1e5, 1e7, 1e12, 1e30, 1e300, 1e-3, 1e-12)


def _extreme(inputs: pl.DataFrame, manifest: Manifest) -> pl.DataFrame:
    """Rows far outside of the golden ones: one input very large or small on either side, and all of them."""
    numbers = [one.name for one in manifest.inputs if one.type == "number"]
    values = [sign * size for size in _EXTREMES for sign in (1, -1)]
    first = inputs.head(1)
    rows = [first.with_columns(pl.lit(value).alias(name) for name in numbers) for value in values]
    rows += [first.with_columns(pl.lit(value).alias(name)) for name in numbers[:_ONE_BY_ONE] for value in values[:10]]
    texts = [one.name for one in manifest.inputs if one.type == "text"]
    rows += [first.with_columns(pl.lit(text).alias(name) for name in texts) for text in _TEXTS]
    return pl.concat(rows)


_ONE_BY_ONE = 32
"""Inputs that are made extreme alone; of wider models the others only together with them."""
_TEXTS = ("", " ", "x" * 10_000, "\U0001f642" * 100, "\x00\x7f")
