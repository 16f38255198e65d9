"""The command line against a naive reference that judges one record at a time: `features` and verdicts."""

import json
import math
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.commands import run_command
from tests.oracle.stream import POLICY, judge

START = 1_772_431_200_000
ACCOUNTS = st.sampled_from(["a", "b", "ünï", "аdmin", "x" * 80, "nobody", "", None])
IPS = st.sampled_from(["10.0.0.1", "10.0.0.2", "::1", "z", "", None])
# Mostly small steps; some that leave windows behind, one that leaves every window behind.
STEPS = st.sampled_from([0, 0, 1, 900, 5_000, 20_000, 61_000, 290_000, 800_000])
LATE = st.sampled_from([0, 0, 0, 0, 0, 1_000, 65_000, 290_000, 700_000])


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    """Up to 80 records: bursts, late events, equal times, missing values, odd keys, and records that are none."""
    at, records = START, []
    for number in range(draw(st.integers(1, 80))):
        at += draw(STEPS)
        event: dict[str, object] = {
            "id": f"e{number}",
            "at": at - draw(LATE),
            "account": draw(ACCOUNTS),
            "ip": draw(IPS),
        }
        if draw(st.booleans()):
            amount = draw(st.sampled_from([None, 0, 0.01, 12.5, 49.99, 81, -3, "12"]))
            event |= {
                "kind": "post",
                "amount": amount,
                "text": draw(st.sampled_from([None, "", "hey", "hello", "日本語日本語"])),
            }
        else:
            event |= {
                "kind": draw(st.sampled_from(["login", "login", "login", "logout"])),
                "ok": draw(st.sampled_from([True, False, None, 1])),
            }
        event = {name: value for name, value in event.items() if value is not None or draw(st.booleans())}
        text = json.dumps(event, ensure_ascii=False)
        records.append(text[:-3] if draw(st.integers(0, 30)) == 0 else text)
    return records


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(records=streams(), batch=st.sampled_from([1, 3, 16_384]))
def test_features_and_verdicts_are_those_of_the_reference(
    records: list[str], batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("stream")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(r + "\n" for r in records), encoding="utf-8")
    expected = judge(records)
    policy, source = str(folder / "policy.yaml"), str(folder / "events.jsonl")

    done = run_command(
        "features", policy, "--input", source, "--output", str(folder / "f.parquet"), "--batch-size", str(batch)
    )
    assert done.status == 0, done.err
    rows = pl.read_parquet(folder / "f.parquet").with_columns(pl.col("time").to_physical()).to_dicts()
    assert [(row["id"], row["type"], row["time"]) for row in rows] == [(e.id, e.type, e.time) for e in expected]
    for row, event in zip(rows, expected, strict=True):
        for name, value in event.features.items():
            got = row[name]
            same = got is value is None or (
                got is not None and value is not None and math.isclose(got, value, rel_tol=1e-12, abs_tol=1e-12)
            )
            assert same, f"{event.id} {name}: {got} is not {value}"

    done = run_command(
        "run",
        policy,
        "--input",
        source,
        "--output",
        str(folder / "out"),
        "--batch-size",
        str(batch),
        "--checkpoint-interval",
        "0s",
    )
    assert done.status == 0, done.err
    assert _fired(folder / "out") == {(e.id, rule) for e in expected for rule in e.fired}


def _fired(output: Path) -> set[tuple[str, str]]:
    verdicts = [
        orjson.loads(line)
        for topic in ("verdicts", "verdicts.shadow")
        for line in (output / f"{topic}.jsonl").read_bytes().splitlines()
    ]
    return {(verdict["event_id"], rule["rule"]) for verdict in verdicts for rule in verdict["rules"]}
