"""Makes the events of the performance benchmark: JSON lines of about 200 bytes, three entity kinds, seeded.

    python benchmarks/generate.py OUT.jsonl [--events 1000000] [--variant hot] [--seed 1] [--late 0.0]

Variants:

    hot     20,000 keys a kind, Zipf: everything stays in the cache
    cold    2,000,000 keys a kind, uniform: most events miss the cache
    heavy   as hot, but half of all events carry one and the same account, ip and device
    replay  as hot, but one event each 10.5 s: a batch of 16,384 spans two days

`--late` is the share of events whose time lies up to five minutes back. About 1.1 % of the events fire a rule of
`policy.yaml` in every variant: the rules read all nine features, but first of all the amount, which is uniform.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

VARIANTS = ("hot", "cold", "heavy", "replay")
START = 1_772_431_200_000
CHUNK = 250_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """What an input looks like: `keys` of each kind, `gap_ms` between events, shares of `heavy` and `late` ones."""

    keys: int = 20_000
    zipf: bool = True
    gap_ms: float = 1.0
    heavy: float = 0.0
    late: float = 0.0


def shape_of(variant: str, late: float = 0.0) -> Shape:
    match variant:
        case "hot":
            return Shape(late=late)
        case "cold":
            return Shape(keys=2_000_000, zipf=False, late=late)
        case "heavy":
            return Shape(heavy=0.5, late=late)
        case "replay":
            return Shape(gap_ms=10_500.0, late=late)
    raise ValueError(f"{variant!r} is not a variant: {', '.join(VARIANTS)}")


def draw_keys(rng: np.random.Generator, shape: Shape, size: int, cumulative: Floats | None) -> npt.NDArray[np.int64]:
    """Key numbers in [0, shape.keys); Zipf with exponent 1 by the inverse of its distribution."""
    if cumulative is None:
        return rng.integers(0, shape.keys, size)
    return np.searchsorted(cumulative, rng.random(size) * cumulative[-1])


def chunks(events: int, shape: Shape, seed: int) -> Iterator[pl.DataFrame]:
    """Frames with id, at (ms), account, ip, device (key numbers) and cents, in the order of arrival."""
    rng = np.random.Generator(np.random.PCG64(seed))
    cumulative = np.cumsum(1.0 / np.arange(1, shape.keys + 1)) if shape.zipf else None
    for first in range(0, events, CHUNK):
        size = min(CHUNK, events - first)
        keys = {kind: draw_keys(rng, shape, size, cumulative) for kind in ("account", "ip", "device")}
        heavy = rng.random(size) < shape.heavy
        at = START + ((np.arange(first, first + size) + rng.random(size)) * shape.gap_ms).astype(np.int64)
        at -= np.where(rng.random(size) < shape.late, rng.integers(1, 300_000, size), 0)
        yield pl.DataFrame(
            {
                "id": np.arange(first, first + size),
                "at": at,
                **{kind: np.where(heavy, 0, numbers) for kind, numbers in keys.items()},
                "cents": rng.integers(1, 100_000, size),
            }
        )


def lines(frame: pl.DataFrame) -> pl.Series:
    """One JSON object each row."""

    def padded(name: str, width: int) -> pl.Expr:
        return pl.col(name).cast(pl.String).str.zfill(width)

    ip = pl.col("ip")
    parts: list[str | pl.Expr] = ['{"id":"e', padded("id", 12), '","kind":"action","at":', pl.col("at")]
    parts += [
        ',"account":"acct_',
        padded("account", 9),
        '","ip":"10.',
        ip // 65_536,
        ".",
        ip // 256 % 256,
        ".",
        ip % 256,
    ]
    parts += ['","device":"dev_', padded("device", 9), '","amount":', pl.col("cents") // 100, "."]
    parts += [(pl.col("cents") % 100).cast(pl.String).str.zfill(2)]
    parts += [',"app":"android 7.4.1","lang":"en","page":"feed/', pl.col("id") % 1_000, '"}']
    columns = [pl.lit(part) if isinstance(part, str) else part.cast(pl.String) for part in parts]
    return frame.select(pl.concat_str(columns).alias("line")).to_series()


def write(path: Path, events: int, variant: str, seed: int = 1, late: float = 0.0) -> int:
    """Writes the file, 250,000 events at a time; returns its size. The same arguments give the same bytes."""
    with path.open("wb") as out:
        for frame in chunks(events, shape_of(variant, late), seed):
            out.write(lines(frame).str.join("\n").item().encode() + b"\n")
    return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--variant", choices=VARIANTS, default="hot")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--late", type=float, default=0.0, help="share of late events")
    options = parser.parse_args()
    size = write(options.output, options.events, options.variant, options.seed, options.late)
    print(f"{options.events} events, {size / options.events:.0f} bytes each, to {options.output}")


if __name__ == "__main__":
    main()
