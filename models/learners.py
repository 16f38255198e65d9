"""Learners over numbers, and their export to ONNX: what scikit-learn, XGBoost and LightGBM are asked for, and nothing else.

They are of the extra `train`, so they are imported where they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.manifest import Baseline, Linear, ModelOutput
from schemas.mendable import MendableError

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OPSETS = {"": 17, "ai.onnx.ml": 3}
_SEED = 17


class TrainingError(MendableError):
    """No model can be trained; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted model. `outputs`: its own probabilities for rows as they were trained on; `data`: the same as ONNX."""

    outputs: Callable[[Matrix], Vector]
    data: bytes
    output: ModelOutput
    explanation: Linear | Baseline


@dataclass(frozen=True, slots=True)
class Learner:
    """How one kind is fitted. `missing`: NaN is handed on to the model; else the median takes its place."""

    fit: Callable[[Matrix, Mask], Learned]
    missing: bool


def logistic(x: Matrix, labels: Mask) -> Learned:
    """L2 logistic regression over standardised columns, both classes of the same weight."""
    linear, scaling = _need("sklearn.linear_model"), _need("sklearn.preprocessing")
    pipeline = _need("sklearn.pipeline").make_pipeline(
        scaling.StandardScaler(), linear.LogisticRegression(class_weight="balanced", max_iter=2_000)
    )
    pipeline.fit(x, labels.astype(np.int64))
    scaler, model = pipeline[0], pipeline[1]
    told = Linear(coefficients=(model.coef_[0] / scaler.scale_).tolist(), means=scaler.mean_.tolist())
    return Learned(_probability(pipeline), _skl2onnx(pipeline, x.shape[1]), _classes(), told)


def forest(x: Matrix, labels: Mask) -> Learned:
    """A random forest of 100 trees of depth 12 at most, both classes of the same weight."""
    model = _need("sklearn.ensemble").RandomForestClassifier(
        n_estimators=100, max_depth=12, min_samples_leaf=5, class_weight="balanced_subsample", random_state=_SEED
    )
    # The trees compare 32-bit numbers, whatever they are given.
    model.fit(x.astype(np.float32), labels.astype(np.int64))
    return Learned(
        lambda rows: _probability(model)(rows.astype(np.float32)),
        _skl2onnx(model, x.shape[1], wide=False),
        _classes(),
        Baseline(values=ordinary(x)),
    )


def xgboost(x: Matrix, labels: Mask) -> Learned:
    """100 boosted trees of depth 6. Rare positives weigh more, by the root of how rare they are: calibration does the rest."""
    library, tools = _need("xgboost"), _need("onnxmltools")
    types = _need("onnxmltools.convert.common.data_types")
    model = library.XGBClassifier(
        n_estimators=100, max_depth=6, learning_rate=0.1, subsample=0.9, colsample_bytree=0.9, tree_method="hist",
        scale_pos_weight=_rarity(labels), random_state=_SEED, n_jobs=1,
    )  # fmt: skip
    model.fit(x.astype(np.float32), labels.astype(np.int64))
    exported = tools.convert_xgboost(
        model, initial_types=[("x", types.FloatTensorType([None, x.shape[1]]))], target_opset=15
    )
    return Learned(
        lambda rows: _probability(model)(rows.astype(np.float32)),
        _bytes(exported),
        _classes(),
        Baseline(values=ordinary(x)),
    )


def lightgbm(x: Matrix, labels: Mask) -> Learned:
    """100 boosted trees of 31 leaves. Rare positives weigh more, by the root of how rare they are."""
    library, tools = _need("lightgbm"), _need("onnxmltools")
    types = _need("onnxmltools.convert.common.data_types")
    model = library.LGBMClassifier(
        n_estimators=100, num_leaves=31, learning_rate=0.1, subsample=0.9, subsample_freq=1, colsample_bytree=0.9,
        scale_pos_weight=_rarity(labels), random_state=_SEED, n_jobs=1, deterministic=True, force_row_wise=True,
        verbose=-1,
    )  # fmt: skip
    rounded = x.astype(np.float32).astype(np.float64)
    model.fit(rounded, labels.astype(np.int64))
    exported = tools.convert_lightgbm(
        _rounded_down(library, model),
        initial_types=[("x", types.FloatTensorType([None, x.shape[1]]))],
        target_opset=15,
        zipmap=False,
    )
    return Learned(
        lambda rows: _probability(model)(rows.astype(np.float32).astype(np.float64)),
        _bytes(exported),
        _classes(),
        Baseline(values=ordinary(x)),
    )


LEARNERS = {
    "logistic": Learner(logistic, False),
    "forest": Learner(forest, False),
    "xgboost": Learner(xgboost, True),
    "lightgbm": Learner(lightgbm, True),
}
_PACKAGES = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm"}


def _rounded_down(library: Any, model: Any) -> Any:
    """The model with thresholds that 32 bits hold. x <= t is the same for every 32-bit x when t is rounded down to 32
    bits; the converter rounds to the nearest, which may put x on the other side.
    """
    lines = []
    for line in model.booster_.model_to_string().splitlines():
        if line.startswith("threshold="):
            values = np.array(line.removeprefix("threshold=").split(), np.float64)
            near = values.astype(np.float32)
            below = np.where(near.astype(np.float64) > values, np.nextafter(near, np.float32(-np.inf)), near)
            line = "threshold=" + " ".join(repr(float(value)) for value in below)
        # Sizes of trees in bytes, which are not those of the text any more; it is read without them, too.
        if not line.startswith("tree_sizes="):
            lines.append(line)
    return library.Booster(model_str="\n".join(lines) + "\n")


def _need(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        top = module.split(".")[0]
        raise TrainingError(
            f"this kind of model is trained with {_PACKAGES.get(top, top)}, which is not installed: pip install '.[train]' in Watchgate's folder. Only --kind text needs nothing more."
        ) from None


def _skl2onnx(model: Any, columns: int, wide: bool = True) -> bytes:
    library, types = _need("skl2onnx"), _need("skl2onnx.common.data_types")
    kind = types.DoubleTensorType if wide else types.FloatTensorType
    exported = library.to_onnx(
        model, initial_types=[("x", kind([None, columns]))], options={"zipmap": False}, target_opset=OPSETS
    )
    return _bytes(exported)


def _bytes(model: Any) -> bytes:
    # The converters write their names and the time of day into what should be the same bytes each time.
    for text in ("producer_name", "producer_version", "doc_string"):
        setattr(model, text, "")
    model.graph.name = "model"
    return bytes(model.SerializeToString(deterministic=True))


def _probability(model: Any) -> Callable[[Matrix], Vector]:
    return lambda rows: np.asarray(model.predict_proba(rows)[:, 1], np.float64)


def _classes() -> ModelOutput:
    return ModelOutput(tensor="probabilities", column=1)


def _rarity(labels: Mask) -> float:
    return float(np.sqrt((~labels).sum() / labels.sum()))


def ordinary(x: Matrix) -> list[float | None]:
    """The median of each column; NULL where most are missing."""
    absent = np.isnan(x).mean(axis=0) > 0.5
    return [None if absent[j] else float(np.nanmedian(x[:, j])) for j in range(x.shape[1])]
