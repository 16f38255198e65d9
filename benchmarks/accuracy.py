"""How wrong each window is, against what it declares: sliding panes beside exact windows, event by event.

    python benchmarks/accuracy.py [--events 100000] [--seed 1]

Three streams of a day: accounts that are equally busy (`uniform`), a few that do most (`zipf`), and quiet ones that do 200 things in
half a minute (`bursts`). The features come out of `watchgate features` with the policy beside this file, the exact
answers are counted from the sorted times of each account, sharing no code.

A window of W with panes of w declares that it covers W to W + w: its answer lies between those of the exact windows of both
lengths (a delayed one may also end up to w later). `inside` is the share of events for which that holds (1.0 or there is a bug), `mean_error` and `p99_error` the difference from the exact
window of W as a share of it. The last line printed is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

HERE = Path(__file__).resolve().parent
DAY, HOUR = 86_400_000, 3_600_000
START = 1_772_409_600_000
PANE = {"count_60": HOUR // 60, "count_1": HOUR, "distinct": 0, "new_item": 0}
CAP = 256
_LEAST = {"rate": 1 / 60, **dict.fromkeys(("sum", "mean", "min", "max", "last"), 0.01)}
"""What an error is a share of at least: one event, or one cent."""
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def uniform(draw: np.random.Generator, events: int) -> tuple[Ints, Ints]:
    """Times and accounts."""
    return draw.integers(0, DAY, events), draw.integers(0, max(events // 300, 1), events)


def zipf(draw: np.random.Generator, events: int) -> tuple[Ints, Ints]:
    """A few accounts do most."""
    return draw.integers(0, DAY, events), np.minimum(draw.zipf(1.3, events), 5_000)


def bursts(draw: np.random.Generator, events: int) -> tuple[Ints, Ints]:
    """Half of the events are quiet, half come 200 in half a minute."""
    quiet = events // 2
    number = max((events - quiet) // 200, 1)
    accounts = max(events // 300, 1)
    begin, own = draw.integers(0, DAY, number), draw.integers(0, accounts, number)
    of = draw.integers(0, number, events - quiet)
    times = np.concatenate([draw.integers(0, DAY, quiet), begin[of] + draw.integers(0, 30_000, events - quiet)])
    return times, np.concatenate([draw.integers(0, accounts, quiet), own[of]])


STREAMS: dict[str, Callable[[np.random.Generator, int], tuple[Ints, Ints]]] = {
    "uniform": uniform,
    "zipf": zipf,
    "bursts": bursts,
}


def stream(name: str, events: int, seed: int) -> pl.DataFrame:
    """Columns time, account, item, amount in cents; in the order of time."""
    draw = np.random.default_rng([seed, sorted(STREAMS).index(name)])
    times, accounts = STREAMS[name](draw, events)
    order = np.argsort(times, kind="stable")
    items, cents = np.minimum(draw.zipf(1.5, events), 2_000), np.rint(draw.lognormal(7, 1, events)).astype(np.int64) + 1
    return pl.DataFrame({"time": times[order] + START, "account": accounts[order], "item": items, "cents": cents})


@dataclass(slots=True)
class Exact:
    """One account's events up to each of them, in the window (t - over - delay, t - delay]."""

    time: Ints
    cents: Ints
    item: Ints

    def bounds(self, over: int, delay: int = 0) -> tuple[Ints, Ints]:
        """First and last + 1 of the events that each event's window holds; an event of the same ms behind it is not there."""
        own = np.arange(len(self.time)) + 1
        last = np.minimum(np.searchsorted(self.time, self.time - delay, side="right"), own)
        return np.searchsorted(self.time, self.time - delay - over, side="right"), last

    def answers(self, name: str, over: int, delay: int = 0) -> Floats:
        """The exact answers of a feature with this window."""
        first, last = self.bounds(over, delay)
        upto = np.append(0, np.cumsum(self.cents))
        number = (last - first).astype(np.float64)
        match name:
            case "count" | "count_60" | "count_1" | "delayed":
                return number
            case "rate":
                return number / 60
            case "sum":
                return (upto[last] - upto[first]) / 100
            case "mean":
                return (upto[last] - upto[first]) / 100 / number
            case "last":
                return self.cents / 100
            case "min" | "max":
                pick = min if name == "min" else max
                return np.array([pick(self.cents[a:b]) for a, b in zip(first, last, strict=True)]) / 100
            case "distinct":
                sets = [len(set(self.item[a:b].tolist())) for a, b in zip(first, last, strict=True)]
                return np.minimum(sets, CAP).astype(np.float64)
            case "new_item":
                rows = enumerate(zip(first, last, strict=True))
                return np.array([float(self.item[i] not in self.item[a : b - 1]) for i, (a, b) in rows])
        raise AssertionError(name)


def features(events: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """What Watchgate answers, in the order of the events."""
    table = events.select(
        pl.int_range(pl.len()).cast(pl.String).alias("id"),
        pl.col("time").cast(pl.Datetime("ms", "UTC")),
        "account",
        "item",
        pl.Series("amount", events["cents"].to_numpy() / 100),
    )
    table.write_parquet(folder / "events.parquet")
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "features", str(HERE / "accuracy.yaml")]
    command += ["--input", "events.parquet", "--output", "features.parquet"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    found = pl.read_parquet(folder / "features.parquet")
    if found.height != events.height:
        raise SystemExit("not every event has its features: look for dead letters")
    return found


def compare(events: pl.DataFrame, found: pl.DataFrame) -> dict[str, dict[str, float]]:
    """`inside`, `mean_error`, `p99_error` of each feature."""
    names = found.columns[3:]
    rows = [group for _, group in events.with_row_index("row").group_by("account", maintain_order=True)]
    measured = {}
    for name in names:
        pane = PANE.get(name, HOUR // 12)
        got, least, most = (np.empty(events.height) for _ in range(3))
        for group in rows:
            at = group["row"].to_numpy()
            exact = Exact(*(group[column].to_numpy() for column in ("time", "cents", "item")))
            got[at] = found[name].to_numpy()[at]
            delay = HOUR if name == "delayed" else 0
            least[at] = exact.answers(name, HOUR, delay)
            # A delayed window is wider at either end, by one pane together.
            most[at] = exact.answers(name, HOUR + (2 * pane if delay else pane), max(delay - pane, 0))
        measured[name] = _errors(name, got, least, most, found)
    return measured


def _errors(name: str, got: Floats, least: Floats, most: Floats, found: pl.DataFrame) -> dict[str, float]:
    told = ~np.isnan(got)
    got, least, most = got[told], least[told], most[told]
    low, high = np.minimum(least, most), np.maximum(least, most)
    if name == "mean":  # amounts are positive: least sum by greatest count, and the other way round
        count, total = (found[column].to_numpy()[told] for column in ("count", "sum"))
        low = high = total / count
    slack = 1e-9 * np.maximum(np.abs(high), 1)
    off = np.abs(got - least) / np.maximum(np.abs(least), _LEAST.get(name, 1.0))
    return {
        "inside": float(np.mean((got >= low - slack) & (got <= high + slack))),
        "mean_error": round(float(off.mean()), 5),
        "p99_error": round(float(np.quantile(off, 0.99)), 5),
    }


def main() -> None:
    """Prints a line a stream and feature, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = {}
    for name in STREAMS:
        events = stream(name, options.events, options.seed)
        with tempfile.TemporaryDirectory() as folder:
            result[name] = compare(events, features(events, Path(folder)))
        for feature, figures in result[name].items():
            print(
                f"{name:8s} {feature:9s} " + "  ".join(f"{key} {value:.5f}" for key, value in figures.items()),
                flush=True,
            )
    inside = min(figures["inside"] for features in result.values() for figures in features.values())
    print(json.dumps({"events": options.events, "seed": options.seed, "inside": inside, **result}))


if __name__ == "__main__":
    main()
