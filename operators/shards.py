"""Shards of an entity kind: what is kept for many entities together is kept by shard, the same in every runtime."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.hashing import hash_all

SHARDS = 16
"""Of each entity kind: the greatest parallelism that its state can spread over. Part of the state: never change it."""


def shards_of(keys: pl.Series) -> npt.NDArray[np.int64]:
    """The shard of each entity; each different key is hashed once."""
    encoded = keys.to_arrow().dictionary_encode()
    hashes = hash_all(pl.Series(encoded.dictionary, dtype=pl.Binary).to_list())
    indices: npt.NDArray[np.int64] = encoded.indices.to_numpy()
    return spread(hashes, SHARDS)[indices]


def spread(hashes: npt.NDArray[np.uint64], shards: int) -> npt.NDArray[np.int64]:
    """The shard of each hash. By its high bits: the low ones decide other things, such as percentages."""
    return (hashes >> np.uint64(32)).astype(np.int64) % shards


def split(shard: npt.NDArray[np.int64], shards: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The rows of each shard that has some, in their order."""
    order = np.argsort(shard, kind="stable")
    cuts = np.searchsorted(shard[order], np.arange(shards + 1))
    for number in range(shards):
        if cuts[number] < cuts[number + 1]:
            yield number, order[cuts[number] : cuts[number + 1]]
