"""Checks that need a session: golden rows give what the manifest says, and a score comes from its own row only."""

import numpy as np
import polars as pl

from models.onnx_scorer import SHAPES, OnnxScorer
from operators.scoring import Floats
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
    """What is wrong with the scores of the golden rows; None where they are right. Also warms the session up."""
    golden = scorer.manifest.golden
    inputs = golden_inputs(scorer.manifest)
    scores = scorer.score(inputs)
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
    return _mixed(scorer, inputs, scores.values)


def _mixed(scorer: OnnxScorer, inputs: pl.DataFrame, alone: Floats) -> str | None:
    """The same rows among others, at other places and in calls of every shape, must have the same bits."""
    count = len(alone)
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        order = rng.permutation(np.resize(np.arange(count), max(shape - 1, count)))
        if not np.array_equal(scorer.score(inputs[order]).values, alone[order], equal_nan=True):
            return "a row's score depends on the other rows of its batch: the model mixes rows, or computes differently for another number of rows"
    for row in range(min(count, 4)):
        single = scorer.score(inputs.slice(row, 1)).values
        if not np.array_equal(single, alone[row : row + 1], equal_nan=True):
            return "a row's score depends on the number of rows in its batch"
    return None
