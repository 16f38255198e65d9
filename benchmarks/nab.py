"""The Numenta Anomaly Benchmark, with the envelope as the detector.

    python benchmarks/nab.py DIR [--threshold T]

DIR has data/<group>/<series>.csv (timestamp, value) and labels/combined_windows.json, as the benchmark's repository has them; the series that
the labels name are run. All of them go through `watchgate features` on `nab.yaml` at once, one entity a series, with one setting. The
score of a reading is known when the next one comes, and counts there. The last line printed is JSON: `standard`, `low_fp` and `low_fn`
by the benchmark's scoring (`nab_scoring.py`), each at its best threshold as the benchmark searches it, or at `--threshold`.

That the scoring is right is checked by `--check-scoring`: the benchmark's windowed Gaussian detector (mean and deviation of the
first 6,400 readings, then of the last ones in steps of 100; a detection where the upper tail is below 5e-13), whose published results have a score for each series.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from nab_scoring import OUTSIDE, PROFILES, Floats, Marks, best, marks, score_at

HERE = Path(__file__).resolve().parent


class NabError(Exception):
    """A folder that is not laid out as the benchmark's."""


@dataclass(frozen=True)
class Series:
    """A series of readings: times in ms, values, and (first, last) reading of each labelled window."""

    name: str
    times: np.ndarray
    values: Floats
    windows: list[tuple[int, int]]

    @property
    def marks(self) -> Marks:
        return marks(len(self.times), self.windows)


def watchgate(*arguments: object) -> None:
    """Runs the command line in a process of its own. Raises NabError with its last words."""
    command = [sys.executable, "-c", "from jobs.cli import main; main()", *map(str, arguments)]
    ended = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    if ended.returncode:
        raise NabError(f"watchgate {arguments[0]} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")


def instant(text: str) -> int:
    """Milliseconds of a time such as 2014-04-10 07:15:00.000000."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def load(folder: Path) -> list[Series]:
    """Every series that the labels name. Raises NabError with what is missing."""
    labels = folder / "labels" / "combined_windows.json"
    if not labels.exists():
        raise NabError(f"{labels} is missing: DIR has data/ and labels/, as the benchmark's repository has them")
    found = []
    for name, windows in sorted(json.loads(labels.read_bytes()).items()):
        file = folder / "data" / name
        if not file.exists():
            raise NabError(f"{file} is missing, and the labels name it")
        table = pl.read_csv(file)
        times = np.array([instant(text) for text in table["timestamp"].to_list()])
        place = {time: at for at, time in reversed(list(enumerate(times.tolist())))}
        try:
            edges = [(place[instant(first)], place[instant(last)]) for first, last in windows]
        except KeyError as error:
            raise NabError(f"{file} has no reading at {error.args[0]} ms, where a window begins or ends") from None
        found.append(Series(name, times, table["value"].cast(pl.Float64).to_numpy(), edges))
    return found


def detect(series: list[Series], folder: Path) -> list[Floats]:
    """The score of each reading of each series, by `watchgate features`."""
    rows = pl.concat(
        pl.DataFrame({"series": one.name, "place": np.arange(len(one.times)), "at": one.times, "value": one.values})
        for one in series
    ).with_columns(id=pl.format("{}/{}", "series", "place"))
    events, out = folder / "events.parquet", folder / "features.parquet"
    rows.sort("at", "series", "place").select("id", "at", "series", "value").write_parquet(events)
    watchgate("features", HERE / "nab.yaml", "--input", events, "--output", out)
    scored = rows.join(pl.read_parquet(out).select("id", "score"), on="id", how="left", maintain_order="left")
    lost = rows.height - pl.scan_parquet(out).select(pl.len()).collect().item()
    if lost:
        raise NabError(f"{lost:,} readings were refused")
    scores = scored["score"].fill_null(0.0).to_numpy()
    return np.split(scores, np.cumsum([len(one.times) for one in series])[:-1])


def windowed_gaussian(values: Floats) -> Floats:
    """1 where the windowed Gaussian detector's published score is 1, which is rounded to 12 digits; else 0."""
    found, window, begin, mean, deviation = np.zeros(len(values)), 6_400, 0, 0.0, 1.0
    for at, value in enumerate(values.tolist()):
        if at and 0.5 * math.erfc((value - mean) / deviation / 1.4142) < 5e-13:
            found[at] = 1.0
        if at >= window and (at - window) % 100 == 99:
            begin += 100
        if at < window or (at - window) % 100 == 99:
            kept = values[begin : at + 1]
            mean, deviation = float(kept.mean()), float(kept.std()) or 1e-6
    return found


def raw_score(one: Series, detections: Floats) -> float:
    """A series' own sum in the standard profile, before it is put on the scale: what published results list."""
    m, hit = one.marks, detections >= 1.0
    outside = float((m.worth[(m.window == OUTSIDE) & hit] * PROFILES["standard"].outside).sum())
    scored = sorted(set(m.window[m.window >= 0].tolist()))
    return outside + sum(max([-1.0, *m.worth[(m.window == w) & hit].tolist()]) for w in scored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with data/ and labels/")
    parser.add_argument("--threshold", type=float, help="found elsewhere; else the best one is searched")
    parser.add_argument(
        "--check-scoring", action="store_true", help="print the windowed Gaussian detector's score of each series"
    )
    options = parser.parse_args()
    try:
        series = load(options.folder)
        if options.check_scoring:
            raw = {one.name: raw_score(one, windowed_gaussian(one.values)) for one in series}
            for name, score in raw.items():
                print(f"{name}: {score:.6f}")
            print(json.dumps({"series": len(raw), "sum": round(sum(raw.values()), 6)}))
            return
        with tempfile.TemporaryDirectory() as folder:
            scores = detect(series, Path(folder))
    except NabError as error:
        sys.exit(f"error: {error}")
    marked = [one.marks for one in series]
    figures: dict[str, object] = {}
    thresholds = {}
    for name, profile in PROFILES.items():
        if options.threshold is None:
            figures[name], thresholds[name] = best(marked, scores, profile)
        else:
            figures[name], thresholds[name] = score_at(marked, scores, profile, options.threshold), options.threshold
        figures[name] = round(figures[name], 2)
        print(f"{name}: {figures[name]} at threshold {thresholds[name]:.4g}")
    print(json.dumps({**figures, "thresholds": thresholds, "series": len(series)}))


if __name__ == "__main__":
    main()
