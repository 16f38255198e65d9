"""Shards and lanes lie where Flink looks for them, evenly, at any parallelism."""

from collections import Counter

import pytest

from jobs.flink_job.shards import (
    ID_SHARDS,
    MAX_PARALLELISM,
    key_group,
    lane_name,
    shard_names,
    shards_at,
    subtask_of,
)
from operators.shards import SHARDS


def operator_index(name: str, parallelism: int) -> int:
    """`KeyGroupRangeAssignment.computeOperatorIndexForKeyGroup` of Flink."""
    return key_group(name) * parallelism // MAX_PARALLELISM


@pytest.mark.parametrize("parallelism", [1, 2, 3, 5, 8, 16])
def test_each_subtask_has_the_shards_that_it_is_said_to_have(parallelism: int) -> None:
    found = [operator_index(name, parallelism) for name in shard_names("account")]
    assert found == [subtask_of(shard, parallelism) for shard in range(SHARDS)]
    for subtask in range(parallelism):
        expected = [name for name, at in zip(shard_names("account"), found, strict=True) if at == subtask]
        assert list(shards_at("account", subtask, parallelism)) == expected
    counts = Counter(found)
    assert len(counts) == parallelism and max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("parallelism", [1, 2, 7, 128])
def test_a_lane_lies_on_its_own_subtask(parallelism: int) -> None:
    assert [operator_index(lane_name(n, parallelism), parallelism) for n in range(parallelism)] == list(
        range(parallelism)
    )


def test_the_shards_of_ids_are_even_at_powers_of_two() -> None:
    for parallelism in (1, 2, 4, 8):
        counts = Counter(operator_index(name, parallelism) for name in shard_names("ids", ID_SHARDS))
        assert set(counts.values()) == {ID_SHARDS // parallelism}
