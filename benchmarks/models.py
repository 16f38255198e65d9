"""What a score costs: microseconds an event in onnxruntime alone and inside judge, by kind of model and size of batch.

    python benchmarks/models.py [--quick] [--kinds logistic xgboost lightgbm mlp text] [--batches 1 64 1024 4096]

Models of 30 inputs are fitted to seeded numbers, exported, put into a registry and loaded as a job loads them. *alone*
is one `session.run` over a ready float32 matrix of exactly the batch (for text over the arrays that the encoding gives),
with one thread. *in judge* is what `judge` takes with the model and a rule over it, less what it takes with the same
rule over a column: columns to a matrix, NULLs, calls of fixed shapes, calibration, rounding, and the column of scores.
judge without the model runs right behind onnxruntime alone, so that rules find the cache as a model leaves it in both.
Figures are CPU time of the process, whose threads never work at the same time; the shortest of many runs counts, taken by
turns. The last line printed is JSON. Needs the `train` extra.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    del sys.path[0]  # this file bears the name of a package
os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import polars as pl

from models.importing import Wanted, imported
from models.inspection import golden_scores
from models.onnx_scorer import OnnxScorer
from models.registry import Registry, StoredModel
from models.shelf import Shelf
from models.text_encoding import encoding
from models.text_fit import fit_text
from models.text_graph import OUTPUT, export_text
from models.text_ngrams import ngrams
from operators.batch import Batch
from operators.judge import judge
from operators.observe import Observed
from operators.program import compile_program
from operators.stamp import Stamped, stamp
from operators.timeline import Timeline
from schemas.manifest import Golden, Manifest, ManifestDraft, ModelInput, ModelOutput
from schemas.policy_file import parse_policy_value

WIDTH = 30
NAMES = [f"c{i}" for i in range(WIDTH)]
KINDS = ("logistic", "xgboost", "lightgbm", "mlp", "text")
NOON = 1_767_268_800_000


def training_set(rows: int = 6_000) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of which some decide, so that trees grow to their full depth."""
    rng = np.random.default_rng(17)
    x = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    logits = x[:, :8] @ rng.normal(size=8) + 2 * x[:, 8] * x[:, 9] + rng.normal(size=rows)
    return x, (logits > 1.5).astype(int)


def fitted(kind: str) -> bytes:
    """A model of one kind as the bytes of an ONNX file."""
    x, y = training_set()
    shape = [None, WIDTH]
    if kind == "xgboost":
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
        from xgboost import XGBClassifier

        trees = XGBClassifier(n_estimators=100, max_depth=6, n_jobs=1, base_score=0.5).fit(x, y)
        return convert_xgboost(
            trees, initial_types=[("x", FloatTensorType(shape))], target_opset=15
        ).SerializeToString()
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        leaves = LGBMClassifier(n_estimators=100, max_depth=6, num_leaves=64, n_jobs=1, verbose=-1).fit(x, y)
        return convert_lightgbm(
            leaves, initial_types=[("x", FloatTensorType(shape))], target_opset=15, zipmap=False
        ).SerializeToString()
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    model = LogisticRegression(max_iter=500) if kind == "logistic" else MLPClassifier((64, 32), max_iter=30)
    return to_onnx(model.fit(x, y), x[:1], options={"zipmap": False}, target_opset=15).SerializeToString()


WORDS = [
    "win",
    "a",
    "free",
    "phone",
    "at",
    "our",
    "channel",
    "this",
    "song",
    "is",
    "great",
    "see",
    "you",
    "tomorrow",
    "what",
    "beautiful",
    "voice",
    "cheap",
    "watches",
]


def some_texts(rows: int, seed: int) -> pl.Series:
    """Comments of about 60 characters."""
    rng = np.random.default_rng(seed)
    return pl.Series("text", [f"{' '.join(rng.choice(WORDS, 11))} {rng.integers(1_000)}" for _ in range(rows)])


def draft_of(kind: str) -> tuple[ManifestDraft, bytes]:
    """A model of one kind and its manifest."""
    if kind != "text":
        data = fitted(kind)
        return imported(data, Wanted("m", [ModelInput(name=name) for name in NAMES])), data
    texts = some_texts(2_000, 1)
    fit = fit_text(texts, texts.str.contains("free|cheap").to_numpy())
    data = export_text(fit)
    golden = Golden(inputs=[["hello"], ["cheap free"]], outputs=[0.0, 0.0])
    draft = ManifestDraft(
        name="m", kind="text", inputs=[ModelInput(name="text", type="text")], layout="text", text=encoding(),
        output=ModelOutput(tensor=OUTPUT), calibration=fit.calibration, golden=golden,
    )  # fmt: skip
    scores = golden_scores(StoredModel(Manifest(**dict(draft), version=1, sha256="0" * 64), data))
    return draft.model_copy(update={"golden": golden.model_copy(update={"outputs": scores})}), data


def shortest(tasks: list[Callable[[], object]], seconds: float) -> list[float]:
    """Microseconds of CPU time of each task's shortest run; they take turns, so that a busy machine is busy for all."""
    best = [float("inf")] * len(tasks)
    for task in tasks:
        task()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i, task in enumerate(tasks):
            began = time.process_time()
            task()
            best[i] = min(best[i], time.process_time() - began)
    return [one * 1e6 for one in best]


class Judging:
    """judge over one batch, with a rule over a score and with the same rule over a column."""

    def __init__(self, shelf: Shelf, rows: int) -> None:
        rng = np.random.default_rng(rows)
        self.columns = {name: rng.normal(size=rows) for name in NAMES}
        texts = some_texts(rows, rows)
        times = pl.Series(np.full(rows, NOON)).cast(pl.Datetime("ms", "UTC"))
        self.frame = pl.DataFrame(
            {
                "event_id": [f"e{i}" for i in range(rows)],
                "event_type": pl.Series(["event"] * rows, dtype=pl.Enum(["event"])),
                "event_time": times,
                "ingest_time": times,
                "__source": pl.Series([0] * rows, dtype=pl.UInt32),
                "__offset": pl.Series(range(rows), dtype=pl.Int64),
                **self.columns,
                "text": texts,
            }
        )
        self.shelf = shelf
        self.with_model = self._stamped({"m": {"version": 1}}, "m > 2")
        self.without = self._stamped({}, "c0 > 1000")

    def _stamped(self, models: dict[str, object], when: str) -> tuple[Stamped, Observed]:
        policy = {
            "policy": "bench",
            "events": {
                "event": {"id": "/id", "time": "/t", "fields": dict.fromkeys(NAMES, "float") | {"text": "string"}}
            },
            "entities": {"who": "event_id"},
            "models": models,
            "rules": {"hit": {"when": when, "action": "act", "target": "who"}},
        }
        program = compile_program(parse_policy_value(policy, "bench"), self.shelf)
        stamped, _ = stamp(Batch(self.frame, (("bench", 0),)), Timeline(program, lambda _: program))
        return stamped[0], Observed(stamped[0].frame, {}, 0, {})

    def run(self, of: tuple[Stamped, Observed]) -> None:
        judge(*of, scorers=self.shelf)


def measure(kind: str, batches: list[int], seconds: float) -> list[dict[str, object]]:
    draft, data = draft_of(kind)
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder))
        registry.add(draft, data)
        shelf = Shelf(registry)
        assert shelf.settle("m", 1) is None
        scorer = shelf.ready("m", 1)
        assert isinstance(scorer, OnnxScorer)
        rows = []
        for size in batches:
            judging = Judging(shelf, size)
            session, output = scorer._session, scorer.manifest.output.tensor
            inputs = judging.frame.select(one.name for one in draft.inputs)
            if kind == "text":
                feeds = whole_call(inputs["text"])
            else:
                feeds = {session.get_inputs()[0].name: inputs.to_numpy().astype(np.float32, order="C")}
            alone, bare, scored, whole = shortest(
                [
                    lambda s=session, o=output, f=feeds: s.run([o], f),
                    lambda j=judging: j.run(j.without),
                    lambda i=inputs: scorer.score(i),
                    lambda j=judging: j.run(j.with_model),
                ],
                seconds,
            )
            rows.append(
                {
                    "model": kind,
                    "batch": size,
                    "alone_us": round(alone / size, 3),
                    "scorer_us": round(scored / size, 3),
                    "in_judge_us": round((whole - bare) / size, 3),
                    "judge_without_us": round(bare / size, 3),
                    "added": round((whole - bare) / alone - 1, 3),
                }
            )
            print(
                "{model:10} {batch:6,} {alone_us:9.2f} {scorer_us:9.2f} {in_judge_us:9.2f} {added:8.0%}".format(
                    **rows[-1]
                ),
                flush=True,
            )
    return rows


def whole_call(texts: pl.Series) -> dict[str, object]:
    """All texts as one call, where the encoding would cut a large batch."""
    found = ngrams(texts)
    return {"numbers": found.numbers, "ends": found.ends}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64, 1_024, 4_096])
    parser.add_argument("--seconds", type=float, default=4.0, help="How long one model and batch is measured.")
    parser.add_argument("--quick", action="store_true", help="A tenth of a second each: to see that it runs.")
    chosen = parser.parse_args()
    print("us an event   batch     alone    scorer  in judge    added")
    rows = []
    for kind in chosen.kinds:
        try:
            rows += measure(kind, chosen.batches, 0.1 if chosen.quick else chosen.seconds)
        except ImportError as error:
            sys.exit(f"{kind} needs {error.name}: pip install '.[train]' in Watchgate's folder")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
