"""The one pinned hash. Shards, distinct cells, percentages and content keys outlive any version of any library."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

SEED = 0x57A7C49A7E


def hash_bytes(value: bytes) -> int:
    """XXH3, 64 bit, of one byte string."""
    return xxhash.xxh3_64_intdigest(value, SEED)


def hash_all(values: Iterable[bytes]) -> npt.NDArray[np.uint64]:
    """XXH3, 64 bit, of many byte strings: uint64, same order; one pass in C."""
    digests = b"".join([xxhash.xxh3_64_digest(value, SEED) for value in values])
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def hash_series(values: pl.Series) -> npt.NDArray[np.uint64]:
    """The hash of each value's text (UTF-8): uint64, 0 where NULL. The text of a number is polars' shortest form."""
    texts = values.cast(pl.String).fill_null("").cast(pl.Binary)
    hashes = hash_all(texts.to_list())
    if values.null_count():
        hashes[values.is_null().to_numpy()] = 0
    return hashes
