"""How well and how fast the text model tells classes apart, beside scikit-learn's TF-IDF and logistic regression.

    python benchmarks/text.py FILE --text COLUMN --label COLUMN [--test FILE]

FILE is .csv, .parquet or .jsonl. Without --test a quarter of the texts, drawn with a seed, is the test set. More than two
classes are told apart by one model each. Macro-F1 is of the model as it decides: the class of the greatest log odds, less a
share of the log odds that a text is of this class at all. The share is the one of 0, 0.1, ..., 1 with the best macro-F1 on
the last fifth of the training texts, for a model of the others. Average precision is the mean over classes, for two classes
that of the rarer one. `sklearn` is TfidfVectorizer() and LogisticRegression() as they come, `sklearn_balanced` the same with
class_weight="balanced", `sklearn_chosen` the first with its class chosen as ours is. Costs are of the exported model in
onnxruntime, n-grams included, CPU time on one core. The last line printed is JSON. Needs `pip install '.[train]'`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    del sys.path[0]  # benchmarks/models.py bears the name of a package

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.text_encoding import encoding
from models.text_fit import TextFit, fit_text
from models.text_graph import OUTPUT, export_text
from models.text_ngrams import ngrams
from schemas.manifest import Golden, Manifest, ModelInput, ModelOutput

SEED = 11
BATCHES = (1, 64, 256, 1_024, 4_096)
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.object_]
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
}


def read(path: Path, text: str, label: str) -> pl.DataFrame:
    """Columns text and label, both String, of the rows that have both."""
    reader = READERS.get(path.suffix)
    if reader is None:
        raise SystemExit(f"{path}: {', '.join(READERS)} are read")
    frame = reader(path)
    for column in (text, label):
        if column not in frame.columns:
            raise SystemExit(f"{path} has no column {column}: it has {', '.join(frame.columns)}")
    return frame.select(
        pl.col(text).cast(pl.String).alias("text"), pl.col(label).cast(pl.String).alias("label")
    ).drop_nulls()


def ours(train: pl.DataFrame, test: pl.DataFrame, classes: list[str]) -> tuple[Floats, TextFit]:
    """Log odds of each class, [rows, classes], and the last fitted model."""
    labels, found = train["label"].to_numpy(), ngrams(test["text"])
    columns = []
    fit = None
    for one in classes if len(classes) > 2 else classes[1:]:
        fit = fit_text(train["text"], labels == one)
        columns.append(fit.calibration.slope * fit.margins(found) + fit.calibration.offset)
    assert fit is not None
    return (np.column_stack([-columns[0], columns[0]]) if len(columns) == 1 else np.column_stack(columns)), fit


def theirs(train: pl.DataFrame, test: pl.DataFrame, weight: str | None) -> Floats:
    """Log odds of each class, [rows, classes]."""
    vectors = TfidfVectorizer()
    design = vectors.fit_transform(train["text"].to_list())
    model = LogisticRegression(max_iter=1_000, class_weight=weight).fit(design, train["label"].to_numpy())
    return logit(np.asarray(model.predict_proba(vectors.transform(test["text"].to_list()))))


def logit(shares: Floats) -> Floats:
    clipped = np.clip(shares, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def usual(labels: Labels, classes: list[str]) -> Floats:
    """Log odds that a text is of a class at all."""
    return logit(np.array([(labels == one).mean() for one in classes]))


def chosen(odds: Callable[[pl.DataFrame, pl.DataFrame], Floats], train: pl.DataFrame, classes: list[str]) -> Floats:
    """What is taken off the log odds of each class before the greatest decides; chosen on training texts only."""
    cut = train.height - train.height // 5
    earlier, later = train[:cut], train[cut:]
    found, labels = odds(earlier, later), later["label"].to_numpy()
    known = usual(earlier["label"].to_numpy(), classes)
    shares = [step / 10 for step in range(11)]
    best = max(shares, key=lambda share: figures(found - share * known, labels, classes)["macro_f1"])
    return best * usual(train["label"].to_numpy(), classes)


def figures(scores: Floats, labels: Labels, classes: list[str]) -> dict[str, float]:
    """`classes` in the order of the columns."""
    decided = np.array(classes, dtype=object)[scores.argmax(axis=1)]
    counted = range(len(classes))
    if len(classes) == 2:
        counted = range(int(np.argmin([(labels == one).sum() for one in classes])), 2)[:1]
    precisions = [average_precision_score(labels == classes[i], scores[:, i]) for i in counted]
    return {
        "macro_f1": round(float(f1_score(labels, decided, average="macro")), 4),
        "average_precision": round(float(np.mean(precisions)), 4),
    }


def costs(fit: TextFit, texts: pl.Series) -> dict[str, float]:
    """Microseconds of CPU time a text, by batch; the fastest of several runs."""
    data = export_text(fit)
    manifest = Manifest(
        name="text", kind="text", inputs=[ModelInput(name="text", type="text")], layout="text", text=encoding(),
        output=ModelOutput(tensor=OUTPUT), calibration=fit.calibration, golden=Golden(inputs=[[""]], outputs=[None]),
        version=1, sha256=sha256(data).hexdigest(),
    )  # fmt: skip
    scorer = OnnxScorer(StoredModel(manifest, data))
    found = {}
    for batch in BATCHES:
        rows = pl.concat([texts] * (batch // len(texts) + 1))[:batch]
        times = []
        for _ in range(max(5, 2_000 // batch)):
            started = time.process_time()
            scorer.score(rows.to_frame())
            times.append(time.process_time() - started)
        found[str(batch)] = round(min(times) / batch * 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--text", required=True, help="the column of texts")
    parser.add_argument("--label", required=True, help="the column of classes")
    parser.add_argument("--test", type=Path, help="another file to test on; else a quarter of FILE")
    options = parser.parse_args()

    train = read(options.file, options.text, options.label)
    train = train.sample(fraction=1.0, shuffle=True, seed=SEED)
    if options.test:
        test = read(options.test, options.text, options.label)
    else:
        cut = train.height - train.height // 4
        train, test = train[:cut], train[cut:]
    classes = sorted(train["label"].unique().to_list())
    if len(classes) < 2:
        raise SystemExit(f"{options.file}: column {options.label} has one class only")
    if strange := sorted(set(test["label"].unique().to_list()) - set(classes)):
        raise SystemExit(f"the test set has classes that training has not: {', '.join(strange)}")
    labels = test["label"].to_numpy()
    scores, fit = ours(train, test, classes)
    off = chosen(lambda some, others: ours(some, others, classes)[0], train, classes)
    plain = theirs(train, test, None)
    plain_off = chosen(lambda some, others: theirs(some, others, None), train, classes)
    result: dict[str, object] = {
        "train": train.height,
        "test": test.height,
        "classes": len(classes),
        "watchgate": figures(scores - off, labels, classes),
        "sklearn": figures(plain, labels, classes),
        "sklearn_balanced": figures(theirs(train, test, "balanced"), labels, classes),
        "sklearn_chosen": figures(plain - plain_off, labels, classes),
        "us_per_text": costs(fit, test["text"]),
        "characters_per_text": round(float(test["text"].str.len_chars().mean()), 1),  # type: ignore[arg-type]
    }
    for name in ("watchgate", "sklearn", "sklearn_balanced", "sklearn_chosen"):
        print(f"{name:18}{result[name]}")
    print(f"us a text by batch {result['us_per_text']}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
