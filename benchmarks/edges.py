"""How well surprise tells attacks from traffic: the area under the ROC curve on a labelled stream of network flows.

    python benchmarks/edges.py FILE

FILE is a parquet with src, dst (integers), ts (minutes, in order) and label (1 for an attack), one row a flow, as the
DARPA 1998 intrusion data set is used for anomalies in streams of edges. A flow's score is the sum of the surprise of its edge, of its
source and of its destination, from `watchgate features` on `edges.yaml`. The last line printed is JSON: `auc`, and
`edges_per_s` of the whole command, reading and writing included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

HERE = Path(__file__).resolve().parent
LAUNCH = (sys.executable, "-c", "from jobs.cli import main; main()")
FEATURES = ("edge_surprise", "source_surprise", "destination_surprise")


def auc(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that an attack scores above a normal flow, ties counted half. O(n log n)."""
    attacks = int(labels.sum())
    normal = len(labels) - attacks
    if not attacks or not normal:
        raise ValueError("the labels are all alike: an area needs flows of both kinds")
    ranks = pl.Series(scores).rank("average").to_numpy()
    return float((ranks[labels].sum() - attacks * (attacks + 1) / 2) / attacks / normal)


def features(flows: pl.DataFrame, folder: Path) -> tuple[pl.DataFrame, float]:
    """The features of every flow, in order, and the seconds that the command took."""
    events, out = folder / "events.parquet", folder / "features.parquet"
    flows.select(
        id=pl.int_range(pl.len()), at=pl.col("ts").cast(pl.Int64) * 60_000, src="src", dst="dst"
    ).write_parquet(events)
    begin = time.perf_counter()
    command = ["features", str(HERE / "edges.yaml"), "--input", str(events), "--output", str(out)]
    ended = subprocess.run([*LAUNCH, *command], cwd=HERE.parent, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if ended.returncode:
        sys.exit(f"error: watchgate features ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return pl.read_parquet(out), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="parquet with src, dst, ts (minutes) and label")
    options = parser.parse_args()
    flows = pl.read_parquet(options.file, columns=["src", "dst", "ts", "label"])
    with tempfile.TemporaryDirectory() as folder:
        found, seconds = features(flows, Path(folder))
    if found.height != flows.height:
        sys.exit(f"error: {flows.height - found.height:,} flows have no features: is ts in order?")
    labels = flows["label"].to_numpy() > 0
    parts = {name: auc(labels, found[name].fill_null(0.0).to_numpy()) for name in FEATURES}
    whole = auc(labels, found.select(pl.sum_horizontal(FEATURES)).to_series().to_numpy())
    for name, area in parts.items():
        print(f"{name}: {area:.4f}")
    print(json.dumps({"auc": round(whole, 4), "edges_per_s": round(flows.height / seconds), "edges": flows.height}))


if __name__ == "__main__":
    main()
