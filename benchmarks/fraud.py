"""How much of card fraud models find on Watchgate's features: the protocol of the Fraud Detection Handbook.

    python benchmarks/fraud.py FILE [--from DATE] [--to DATE] [--splits 12]

FILE is a parquet file with TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD; DATE is a day, the
first and the last one that is read. Every input of the models comes out of `watchgate features` with the policy beside this
file, one setting for all: labels are known seven days after their payment, so no input holds what a bank would not have known. No column is computed here.

A split trains on 7 days, waits 7 days for labels, and tests on 7 days; test weeks end at `--to` and go back week by week. As
in the handbook a customer whose fraud is known by the day of a test payment is left out of the test, and card precision
at 100 is the share of frauds among the 100 customers with the highest score of a day, without those found on earlier days.

Figures are means over the splits, `spread` the standard deviations. The last line printed is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

HERE = Path(__file__).resolve().parent
DELAY = timedelta(days=7)
WEEK = 7
ALERTS = 100
MEASURES = ("auc", "ap", "cp100")


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on and to test on, by the first day of each week."""

    train: date
    test: date


def models() -> dict[str, object]:
    """Unfitted; the seeds are fixed."""
    return {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
        "random_forest": RandomForestClassifier(
            n_estimators=100, max_depth=12, max_samples=0.3, n_jobs=2, random_state=0
        ),
        # One thread: two that wait for each other on a busy machine are slower.
        "xgboost": XGBClassifier(
            n_estimators=300,
            learning_rate=0.03,
            max_depth=5,
            subsample=0.7,
            colsample_bytree=0.4,
            n_jobs=1,
            random_state=0,
        ),
    }


def features(payments: pl.DataFrame, folder: Path) -> tuple[pl.DataFrame, float]:
    """One row a payment, in the order of `payments`, with every feature of the policy; and the seconds it took."""
    events = payments.select(
        pl.col("TRANSACTION_ID").cast(pl.String).alias("id"),
        pl.col("TX_DATETIME").cast(pl.Datetime("ms", "UTC")).alias("time"),
        pl.col("CUSTOMER_ID").cast(pl.Int64).alias("customer"),
        pl.col("TERMINAL_ID").cast(pl.Int64).alias("terminal"),
        pl.col("TX_AMOUNT").cast(pl.Float64).alias("amount"),
    )
    labels = events.select(
        pl.col("id").alias("event_id"),
        pl.lit("fraud").alias("name"),
        payments["TX_FRAUD"].cast(pl.Float64).alias("value"),
        pl.col("time").alias("event_time"),
        (pl.col("time") + DELAY).alias("known_at"),
        pl.col("terminal").alias("keys.terminal"),
    )
    events.write_parquet(folder / "events.parquet")
    labels.write_parquet(folder / "labels.parquet")
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "features", str(HERE / "fraud.yaml")]
    command += ["--input", "events.parquet", "--labels", "labels.parquet", "--output", "features.parquet"]
    begin = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    seconds = time.perf_counter() - begin
    found = pl.read_parquet(folder / "features.parquet")
    if not found["id"].equals(events["id"]):
        raise SystemExit("not every payment has its features: look for dead letters")
    return found, seconds


def splits(first: date, last: date, most: int) -> Iterator[Split]:
    """Weekly splits that the days allow, the latest first."""
    for number in range(most):
        test = last - timedelta(days=WEEK * (number + 1) - 1)
        train = test - timedelta(days=2 * WEEK)
        if train < first:
            return
        yield Split(train, test)


def known_by(frauds: pl.DataFrame, split: Split, day: date) -> pl.Series:
    """Customers whose fraud, since training began, is known before a day."""
    known = frauds.filter((pl.col("day") >= split.train) & (pl.col("day") < day - timedelta(days=WEEK)))
    return known["CUSTOMER_ID"].unique()


def test_rows(payments: pl.DataFrame, split: Split) -> npt.NDArray[np.int64]:
    """Rows of the test week, without customers whose fraud is known by then."""
    frauds = payments.filter(pl.col("TX_FRAUD") == 1)
    rows = []
    for number in range(WEEK):
        day = split.test + timedelta(days=number)
        kept = (pl.col("day") == day) & ~pl.col("CUSTOMER_ID").is_in(known_by(frauds, split, day).implode())
        rows.append(payments.select(kept.arg_true()).to_series().to_numpy())
    return np.concatenate(rows).astype(np.int64)


def card_precision(scored: pl.DataFrame, alerts: int = ALERTS) -> float:
    """Mean over days of the share of frauds among the `alerts` highest customers, each found once. Columns day,
    CUSTOMER_ID, TX_FRAUD, score."""
    found: set[int] = set()
    shares = []
    for day in sorted(scored["day"].unique().to_list()):
        cards = (
            scored.filter((pl.col("day") == day) & ~pl.col("CUSTOMER_ID").is_in(list(found)))
            .group_by("CUSTOMER_ID")
            .agg(pl.col("score").max(), pl.col("TX_FRAUD").max())
            .sort("score", "CUSTOMER_ID", descending=[True, False])
            .head(alerts)
        )
        caught = cards.filter(pl.col("TX_FRAUD") == 1)["CUSTOMER_ID"].to_list()
        shares.append(len(caught) / alerts)
        found.update(caught)
    return float(np.mean(shares))


def measure(payments: pl.DataFrame, inputs: npt.NDArray[np.float64], split: Split) -> dict[str, dict[str, float]]:
    """Each model on one split."""
    day = payments["day"]
    train = ((day >= split.train) & (day < split.train + timedelta(days=WEEK))).arg_true().to_numpy()
    test = test_rows(payments, split)
    fraud = payments["TX_FRAUD"].to_numpy()
    measured = {}
    for name, model in models().items():
        model.fit(inputs[train], fraud[train])
        score = model.predict_proba(inputs[test])[:, 1]
        scored = payments[test].select("day", "CUSTOMER_ID", "TX_FRAUD").with_columns(score=pl.Series(score))
        measured[name] = {
            "auc": float(roc_auc_score(fraud[test], score)),
            "ap": float(average_precision_score(fraud[test], score)),
            "cp100": card_precision(scored),
        }
    return measured


def main() -> None:
    """Measures, prints a line a split and model, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--from", dest="first", type=date.fromisoformat)
    parser.add_argument("--to", dest="last", type=date.fromisoformat)
    parser.add_argument("--splits", type=int, default=12)
    options = parser.parse_args()
    payments = pl.read_parquet(options.file).sort("TX_DATETIME", "TRANSACTION_ID")
    payments = payments.with_columns(day=pl.col("TX_DATETIME").dt.date())
    first, last = options.first or payments["day"].min(), options.last or payments["day"].max()
    payments = payments.filter(pl.col("day").is_between(first, last))
    with tempfile.TemporaryDirectory() as folder:
        found, seconds = features(payments, Path(folder))
    names = found.columns[3:]
    inputs = found.select(pl.col(names).fill_null(0.0)).to_numpy()
    results: list[dict[str, dict[str, float]]] = []
    weeks = list(splits(first, last, options.splits))
    if not weeks:
        raise SystemExit("a split takes 21 days: give an earlier --from or a later --to")
    for split in weeks:
        results.append(measure(payments, inputs, split))
        for name, figures in results[-1].items():
            shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
            print(f"train {split.train}  test {split.test}  {name:20s}  {shown}", flush=True)
    summary = {
        name: {
            **{key: round(float(np.mean([r[name][key] for r in results])), 4) for key in MEASURES},
            "spread": {key: round(float(np.std([r[name][key] for r in results])), 4) for key in MEASURES},
        }
        for name in results[0]
    }
    best = max(summary, key=lambda name: summary[name]["ap"])
    run = {"events": payments.height, "events_per_s": round(payments.height / seconds), "inputs": len(names)}
    spans = [f"{split.test}" for split in weeks]
    print(json.dumps({**summary, "best": best, **{k: summary[best][k] for k in MEASURES}, "test_weeks": spans, **run}))


if __name__ == "__main__":
    main()
