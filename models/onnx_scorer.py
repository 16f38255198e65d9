"""A version as an onnxruntime session: columns in, scores out, each from its own row only."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from models.calibrating import applied
from models.encodings import encoder_of
from models.registry import StoredModel
from models.session import session
from models.text_parts import parts, without
from operators.scoring import Floats, Mask, ModelError, Scores, Span
from schemas.manifest import Baseline, Linear, Manifest, ModelInput

SHAPES = (1_024, 64)
"""Rows of a call, and no others: kernels may add in another order for another shape. The rest of a call is padding."""
DECIMALS = 6

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_WHOLE = (np.int64, np.int32, np.bool_)


class OnnxScorer:
    """Scores with one thread and without spinning; the same bytes, rows and machine give the same bits.

    Raises ModelError where the file is no model that onnxruntime takes, or not the one that the manifest describes.
    """

    def __init__(self, stored: StoredModel) -> None:
        self.manifest: Manifest = stored.manifest
        self._session = session(stored.data)
        self._output = self.manifest.output.tensor
        self._check_output()
        if self.manifest.text is not None:
            self._encode = encoder_of(self.manifest.text)
        else:
            self._tensors = self._bind()

    # what the file must be

    def _check_output(self) -> None:
        outputs = {one.name: one for one in self._session.get_outputs()}
        found = outputs.get(self._output)
        if found is None:
            raise ModelError(f"the model has no output {self._output}: it has {', '.join(outputs) or 'none'}")
        if found.type not in ("tensor(float)", "tensor(double)"):
            raise ModelError(
                f"output {self._output} is {found.type}, and a score is a tensor of numbers: export the model with probabilities as a tensor (skl2onnx: zipmap=False)"
            )
        if len(found.shape) not in (1, 2) or isinstance(found.shape[0], int):
            raise ModelError(
                f"output {self._output} has shape {_shape(found.shape)}, and scores are [rows] or [rows, classes]: export with a dynamic batch axis"
            )

    def _bind(self) -> list[tuple[str, type[np.generic], int]]:
        """(name, dtype, dimensions) of the tensors that are fed."""
        inputs, wanted = self._session.get_inputs(), self.manifest.inputs
        count = 1 if self.manifest.layout == "matrix" else len(wanted)
        if len(inputs) != count:
            raise ModelError(
                f"the model takes {len(inputs)} tensors ({', '.join(one.name for one in inputs)}), its manifest says {count}"
            )
        tensors = []
        for number, one in enumerate(inputs):
            dtype, columns = _DTYPES.get(one.type), len(wanted) if self.manifest.layout == "matrix" else 1
            if dtype is None:
                raise ModelError(f"input {one.name} is {one.type}, and columns are numbers or texts")
            if self.manifest.layout == "columns":
                _fits(one.name, dtype, wanted[number])
            elif dtype not in (np.float32, np.float64):
                raise ModelError(
                    f"input {one.name} is {one.type}, and a matrix of columns is tensor(float) or tensor(double)"
                )
            dimensions = len(one.shape)
            width = one.shape[1] if dimensions == 2 else 1
            if dimensions not in (1, 2) or (dimensions == 1 and self.manifest.layout == "matrix"):
                raise ModelError(f"input {one.name} has shape {_shape(one.shape)}, and columns are [rows, {columns}]")
            if isinstance(one.shape[0], int):
                raise ModelError(
                    f"input {one.name} has shape {_shape(one.shape)}, a fixed number of rows: export with a dynamic batch axis"
                )
            if isinstance(width, int) and width != columns:
                raise ModelError(f"input {one.name} takes {width} columns, its manifest names {columns}")
            tensors.append((one.name, dtype, dimensions))
        return tensors

    # scores

    def score(self, inputs: pl.DataFrame) -> Scores:
        """As `operators.scoring.Scorer`. O(rows) in calls of 1,024 and 64 rows; rows that fail are found by halving."""
        columns, null = self._arrays(inputs)
        scores = Scores(np.full(inputs.height, np.nan))
        rows = np.flatnonzero(~null) if null is not None and null.any() else None
        if rows is not None:
            columns = [column[rows] for column in columns]
        found = self._run(columns, inputs.height if rows is None else len(rows), scores, rows)
        found = np.round(applied(self.manifest.calibration, found), DECIMALS)
        found[~np.isfinite(found)] = np.nan
        scores.values[slice(None) if rows is None else rows] = found
        return scores

    def _arrays(self, inputs: pl.DataFrame) -> tuple[list[Array], Mask | None]:
        """What calls are cut from, NULLs filled by the manifest's rule, and the rows that have no score for a NULL.

        Layout matrix gives one array [rows, inputs], the others one array an input.
        """
        if self.manifest.layout == "matrix":
            matrix, null = self._filled(inputs, self.manifest.inputs)
            return [matrix], null
        found: list[Array] = []
        masks: list[Mask] = []
        for number, given in enumerate(self.manifest.inputs):
            series = inputs.to_series(number)
            if given.type == "text":
                masks.append(series.is_null().to_numpy())
                found.append(series.fill_null("").to_numpy())
                continue
            column, null = self._filled(series.to_frame(), [given])
            found.append(column[:, 0])
            masks += [] if null is None else [null]
        return found, np.logical_or.reduce(masks) if masks else None

    def _filled(self, inputs: pl.DataFrame, given: Sequence[ModelInput]) -> tuple[Floats, Mask | None]:
        """Numbers as a matrix, with NULLs by the manifest's rule."""
        values = _floats(inputs)
        if not np.isnan(np.min(values, initial=0.0)):  # a minimum is NaN where any is: one pass, and no mask
            return values, None
        missing = np.isnan(values)
        fill = [
            0.0 if one.on_null == "null_score" else np.nan if one.on_null == "missing" else one.on_null for one in given
        ]
        fatal = np.array([one.on_null == "null_score" for one in given])
        return np.where(missing, np.array(fill, np.float64), values), (missing & fatal).any(axis=1)

    def _run(self, columns: Sequence[Array], height: int, scores: Scores, rows: npt.NDArray[np.int64] | None) -> Floats:
        """The raw outputs of each row, NaN for rows that fail, which are marked in `scores`."""
        call = self._texts if self.manifest.layout == "text" else self._numbers
        found = np.full(height, np.nan)
        spans = list(_spans(height))[::-1]
        while spans:
            start, size = spans.pop()
            stop = min(start + size, height)
            try:
                found[start:stop] = call([column[start:stop] for column in columns], stop - start)
            except Exception as error:  # onnxruntime raises what it likes; a bad row must not take others with it
                scores.error = type(error).__name__
                if stop - start == 1:
                    if scores.failed is None:
                        scores.failed = np.zeros(len(scores.values), np.bool_)
                    scores.failed[start if rows is None else rows[start]] = True
                else:
                    half = (stop - start + 1) // 2
                    spans += [(start + half, stop - start - half), (start, half)]
        return found

    def _numbers(self, columns: Sequence[Array], count: int) -> Floats:
        shape = next(size for size in reversed(SHAPES) if size >= count)
        return self._call(self._fed(columns, count, shape), shape)[:count]

    def fed(self, inputs: pl.DataFrame, rows: int) -> Feeds:
        """The tensors of a call for columns, of which those rows that have a score are repeated; not for texts by an encoding."""
        columns, null = self._arrays(inputs)
        sound = np.arange(inputs.height) if null is None else np.flatnonzero(~null)
        return self._fed([column[np.resize(sound, rows)] for column in columns], rows, rows)

    def _fed(self, columns: Sequence[Array], count: int, shape: int) -> Feeds:
        feeds: Feeds = {}
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, and its score is then NULL
            for (name, dtype, dimensions), column in zip(self._tensors, columns, strict=True):
                size = (shape, *column.shape[1:]) if dimensions == 2 and column.ndim == 2 else (shape,)
                padded = np.empty(size, dtype)
                padded[:count] = column
                padded[count:] = "" if dtype is np.object_ else 0
                feeds[name] = padded.reshape(shape, 1) if dimensions == 2 and column.ndim == 1 else padded
        return feeds

    def _texts(self, columns: Sequence[Array], count: int) -> Floats:
        texts = pl.Series("", columns[0], dtype=pl.String)
        parts = [self._call(feeds, rows) for rows, feeds in self._encode(texts)]
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _call(self, feeds: Feeds, rows: int) -> Floats:
        answer = self._session.run([self._output], feeds)[0]
        if answer.ndim == 2 and self.manifest.output.column < answer.shape[1]:
            answer = answer[:, self.manifest.output.column]
        if answer.shape != (rows,):
            raise ModelError(f"output {self._output} has shape {_shape(answer.shape)} for {rows} rows")
        return np.asarray(answer, dtype=np.float64)

    # explanations

    def effects(self, inputs: pl.DataFrame) -> Floats | None:
        """As `operators.scoring.Scorer`: logits for a linear model, else differences of scores; rows x (inputs + 1) rows
        scored then.
        """
        told = self.manifest.explanation
        if told is None or self.manifest.layout == "text":
            return None
        return self._linear(told, inputs) if isinstance(told, Linear) else self._one_at_a_time(told, inputs)

    def spans(self, inputs: pl.DataFrame) -> list[list[Span]] | None:
        """As `operators.scoring.Scorer`: the logit of the score, less the one of the text without the part; with an isotonic
        calibration the model's own output instead of the logit. At most 25 texts scored for each.
        """
        if self.manifest.layout != "text":
            return None
        texts = inputs.to_series(0).fill_null("").to_list()
        found = [parts(text) for text in texts]
        given = pl.Series([one for text, some in zip(texts, found, strict=True) for one in without(text, some)])
        margins = self._run([given.to_numpy()], len(given), Scores(np.empty(0)), None)
        if self.manifest.calibration.method == "platt":
            margins = margins * self.manifest.calibration.slope
        spans, at = [], 0
        for some in found:
            effects = np.round(margins[at] - margins[at + 1 : at + 1 + len(some)], DECIMALS).tolist()
            spans.append([Span(*place, effect) for place, effect in zip(some, effects, strict=True)])
            at += 1 + len(some)
        return spans

    def _linear(self, told: Linear, inputs: pl.DataFrame) -> Floats:
        values, _ = self._filled(inputs, self.manifest.inputs)
        effects = np.asarray(told.coefficients) * (values - np.asarray(told.means))
        return np.asarray(np.round(np.nan_to_num(effects), DECIMALS))

    def _one_at_a_time(self, told: Baseline, inputs: pl.DataFrame) -> Floats:
        height, width = inputs.height, inputs.width
        repeated = []
        for j, (series, value) in enumerate(zip(inputs.get_columns(), told.values, strict=True)):
            plain = series.cast(pl.Float64) if self.manifest.inputs[j].type == "number" else series
            ordinary = pl.Series(
                series.name, [value if plain.dtype == pl.Float64 else None] * height, dtype=plain.dtype
            )
            repeated.append(pl.concat([plain, *(ordinary if k == j else plain for k in range(width))], rechunk=True))
        scores = self.score(pl.DataFrame(repeated)).values.reshape(width + 1, height)
        return np.asarray(np.round(scores[0] - scores[1:], DECIMALS).T)


def _floats(inputs: pl.DataFrame) -> Floats:
    """The columns as float64 [rows, columns], NaN for NULL.

    Row by row: that is what a model takes, and polars does it in this thread; columns it would hand to a thread of its own.
    """
    values = inputs.to_numpy(order="c")
    return values if values.dtype == np.float64 else inputs.cast(pl.Float64).to_numpy(order="c")


def _fits(name: str, dtype: type[np.generic], given: ModelInput) -> None:
    if (dtype is np.object_) != (given.type == "text"):
        takes = "texts" if dtype is np.object_ else "numbers"
        raise ModelError(f"tensor {name} takes {takes}, and its manifest says that {given.name} is a {given.type}")
    if dtype in _WHOLE and given.on_null == "missing":
        raise ModelError(
            f"tensor {name} takes whole numbers, which cannot be missing: give {given.name} another on_null"
        )


def _spans(height: int) -> Iterator[tuple[int, int]]:
    """(start, rows) of each call: large ones, and what remains in small ones, or in one large one where that is more
    than half of it.
    """
    large, small = SHAPES
    start = 0
    while height - start > large // 2:
        yield start, large
        start += large
    while start < height:
        yield start, small
        start += small


def _shape(shape: Sequence[object]) -> str:
    return "[" + ", ".join("rows" if not isinstance(d, int) and i == 0 else str(d) for i, d in enumerate(shape)) + "]"
