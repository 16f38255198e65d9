"""Names of shards and lanes, chosen so that Flink puts them where they should be.

Flink sends a key to the key group `murmur(hash(key)) mod max parallelism`, and a range of key groups to a subtask. Names
taken as they come would leave some subtasks with twice the shards of others.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from operators.shards import SHARDS, split

ID_SHARDS = 8
"""Of the memory of ids. Part of the state as well."""
MAX_PARALLELISM = 128
"""Pinned: the number of key groups. Part of the state as well."""


def key_group(name: str) -> int:
    """The key group of a name, as Flink computes it of a Java row with one string: what PyFlink's keys are."""
    hashed = 0
    for unit in np.frombuffer(name.encode("utf-16-le"), dtype="<u2").tolist():
        hashed = (31 * hashed + unit) & 0xFFFFFFFF
    return _murmur(hashed + 62 & 0xFFFFFFFF) % MAX_PARALLELISM


@cache
def shard_names(kind: str, shards: int = SHARDS) -> tuple[str, ...]:
    """The keys of a kind's shards; their key groups are evenly spread."""
    return tuple(_named(f"{kind}/{i}", i * MAX_PARALLELISM // shards) for i in range(shards))


def subtask_of(shard: int, parallelism: int, shards: int = SHARDS) -> int:
    """The subtask that has one of so many shards, as Flink assigns ranges of key groups."""
    return (shard * MAX_PARALLELISM // shards) * parallelism // MAX_PARALLELISM


def by_subtask(
    shards: npt.NDArray[np.int64], parallelism: int, of: int = SHARDS
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The rows that each subtask has, in their order; `shards` are those that the rows belong to, out of so many."""
    subtasks = np.array([subtask_of(shard, parallelism, of) for shard in range(of)])
    return split(subtasks[shards], parallelism)


@cache
def shards_at(kind: str, subtask: int, parallelism: int, shards: int = SHARDS) -> tuple[str, ...]:
    """The keys of those shards of a kind that one subtask has."""
    names = enumerate(shard_names(kind, shards))
    return tuple(name for i, name in names if subtask_of(i, parallelism, shards) == subtask)


@cache
def lane_name(subtask: int, parallelism: int) -> str:
    """The key of a lane: what it names lands on the subtask of that index."""
    return _named("lane", -(-subtask * MAX_PARALLELISM // parallelism))


def _named(stem: str, group: int) -> str:
    number = 0
    while key_group(f"{stem}/{number}") != group:
        number += 1
    return f"{stem}/{number}"


def _murmur(code: int) -> int:
    """`MathUtils.murmurHash` of Flink: never negative."""
    code = code * 0xCC9E2D51 & 0xFFFFFFFF
    code = _rotated(code, 15) * 0x1B873593 & 0xFFFFFFFF
    code = _rotated(code, 13) * 5 + 0xE6546B64 & 0xFFFFFFFF
    code ^= 4
    code = (code ^ code >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    code = (code ^ code >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    code ^= code >> 16
    signed = code - (1 << 32) if code >= 1 << 31 else code
    if signed == -(1 << 31):
        return 0
    return abs(signed)


def _rotated(code: int, bits: int) -> int:
    return (code << bits | code >> 32 - bits) & 0xFFFFFFFF
