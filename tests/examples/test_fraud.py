"""benchmarks/fraud.py on a small world that the test makes: terminals that turn bad, and customers whose cards are stolen."""

import json
import subprocess
import sys
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest


@pytest.fixture(scope="module")
def fraud(load):
    return load("benchmarks/fraud.py")


@pytest.fixture(scope="module")
def payments(tmp_path_factory):
    """30 days of payments: a twentieth of the terminals is bad for ten days; large amounts are bad."""
    draw = np.random.default_rng(3)
    rows, days = 6_000, 30
    seconds = np.sort(draw.integers(0, days * 86_400, rows))
    terminal, customer = draw.integers(0, 100, rows), draw.integers(0, 200, rows)
    amount = np.round(draw.gamma(4, 15, rows), 2)
    since = draw.integers(0, 20, 100)
    day = seconds // 86_400
    bad = (terminal % 20 == 0) & (day >= since[terminal]) & (day < since[terminal] + 10) | (amount > 180)
    frame = pl.DataFrame(
        {
            "TRANSACTION_ID": np.arange(rows),
            "TX_DATETIME": pl.Series([datetime(2026, 1, 1) + timedelta(seconds=int(s)) for s in seconds]),
            "CUSTOMER_ID": customer,
            "TERMINAL_ID": terminal,
            "TX_AMOUNT": amount,
            "TX_FRAUD": bad.astype(np.int8),
        }
    )
    file = tmp_path_factory.mktemp("fraud") / "payments.parquet"
    frame.write_parquet(file)
    return file


def test_it_measures_every_model_on_weekly_splits(root, payments):
    ended = subprocess.run(
        [sys.executable, "benchmarks/fraud.py", str(payments), "--splits", "3", "--to", "2026-01-29"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["test_weeks"] == ["2026-01-23", "2026-01-16"]
    for model in ("logistic_regression", "random_forest", "xgboost"):
        assert 0.6 < result[model]["auc"] <= 1 and set(result[model]["spread"]) == {"auc", "ap", "cp100"}
    assert result["ap"] == max(result[m]["ap"] for m in ("logistic_regression", "random_forest", "xgboost"))


def test_features_of_the_policy_hold_what_was_known_seven_days_later(fraud, payments, tmp_path):
    events = pl.read_parquet(payments).sort("TX_DATETIME", "TRANSACTION_ID")
    found, _ = fraud.features(events, tmp_path)
    row = 5_000
    now, terminal = events["TX_DATETIME"][row], events["TERMINAL_ID"][row]
    own = events.filter(pl.col("TERMINAL_ID") == terminal)
    known = own.filter(pl.col("TX_DATETIME") <= now - timedelta(days=7))
    assert found["terminal_r_30d"][row] == pytest.approx(known["TX_FRAUD"].mean())
    assert found["paid"].equals(events["TX_AMOUNT"].alias("paid"))
    assert found["night"].cast(pl.Boolean).equals((events["TX_DATETIME"].dt.hour() <= 6).alias("night"))
    assert found["weekend"].cast(pl.Boolean).equals((events["TX_DATETIME"].dt.weekday() >= 6).alias("weekend"))


def test_a_customer_whose_fraud_is_known_is_not_tested(fraud):
    first = date(2026, 1, 1)
    rows = [(1, 0, 1), (1, 14, 0), (2, 7, 1), (2, 14, 0), (2, 15, 0), (3, 14, 0)]
    frame = pl.DataFrame(
        [(customer, first + timedelta(days=day), bad) for customer, day, bad in rows],
        schema=["CUSTOMER_ID", "day", "TX_FRAUD"],
        orient="row",
    )
    split = fraud.Split(first, first + timedelta(days=14))
    assert fraud.test_rows(frame, split).tolist() == [3, 5]


def test_card_precision_finds_a_card_once(fraud):
    days = [date(2026, 1, 1), date(2026, 1, 2)]
    frame = pl.DataFrame(
        [(day, card, bad, score) for day in days for card, bad, score in ((1, 1, 0.9), (2, 0, 0.8), (3, 1, 0.1))],
        schema=["day", "CUSTOMER_ID", "TX_FRAUD", "score"],
        orient="row",
    )
    assert fraud.card_precision(frame, alerts=1) == 0.5
    assert fraud.card_precision(frame, alerts=2) == 0.5
    assert fraud.card_precision(frame, alerts=3) == pytest.approx(1 / 3)


def test_too_few_days_are_told(root, payments):
    ended = subprocess.run(
        [sys.executable, "benchmarks/fraud.py", str(payments), "--from", "2026-01-20"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("a split takes 21 days: give an earlier --from or a later --to")
