"""How many values are newer than one, counted for many sightings at once, against counting them one by one."""

import numpy as np
import pytest

from operators.windows.crowded import newer_values
from operators.windows.value_tables import NEVER


@pytest.mark.parametrize("seed", range(20))
def test_newer_values_are_those_of_a_plain_count(seed: int) -> None:
    draw = np.random.default_rng(seed)
    held: list[tuple[int, int, int]] = []
    rows: list[tuple[int, int, int, int]] = []
    answers: list[int] = []
    for segment in range(1, 1 + int(draw.integers(1, 5))):
        values = draw.choice(np.arange(1, 2**63, 2**57), 12, replace=False) * 2
        newest = {int(value): int(draw.integers(0, 30)) for value in values[: draw.integers(0, 8)]}
        held += [(segment, time, value) for value, time in newest.items()]
        for _ in range(int(draw.integers(1, 60))):
            value, time = int(draw.choice(values)), int(draw.integers(10, 60))
            before = newest.get(value, NEVER)
            answers.append(sum((t, v) > (before, value) for v, t in newest.items() if v != value))
            newest[value] = max(before, time)
            rows.append((segment, before, newest[value], value))
    seg, old, new, hashes = (np.array(column) for column in zip(*rows, strict=True))
    kept = [np.array(column) for column in zip(*held, strict=True)] if held else [np.empty(0, np.int64)] * 3
    asked = np.flatnonzero((old > NEVER) & (draw.random(len(old)) < 0.7))
    found = newer_values(seg, old, new, hashes.astype(np.uint64), (kept[0], kept[1], kept[2].astype(np.uint64)), asked)
    assert found.tolist() == [answers[at] for at in asked]
