"""gather: what several subtasks answered to one batch, joined again; batches are released in the order of their lane.

It keeps no Flink state. With aligned checkpoints all parts of a batch lie on one side of a barrier, so that nothing
waits here when state is saved.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np

from jobs.flink_job.packets import Answer, Asked
from operators.kind_observer import PartAnswer
from operators.observe import Answered

Waiting = TypeVar("Waiting")
Part = TypeVar("Part")


class Gather(Generic[Waiting, Part]):
    """One lane. Tell it what waits and what was answered, in any order; it gives back what is whole and in turn."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, tuple[int, Waiting]] = {}
        self._parts: dict[int, list[Part]] = {}

    def wait(self, sequence: int, parts: int, waiting: Waiting) -> Iterator[tuple[Waiting, list[Part]]]:
        """Batch number `sequence` of the lane waits for so many parts."""
        self._waiting[sequence] = parts, waiting
        return self._released()

    def answer(self, sequence: int, part: Part) -> Iterator[tuple[Waiting, list[Part]]]:
        """One of the parts that batch number `sequence` waits for."""
        self._parts.setdefault(sequence, []).append(part)
        return self._released()

    def _released(self) -> Iterator[tuple[Waiting, list[Part]]]:
        while (found := self._waiting.get(self._next)) is not None:
            wanted, waiting = found
            parts = self._parts.get(self._next, [])
            if len(parts) < wanted:
                return
            del self._waiting[self._next]
            self._parts.pop(self._next, None)
            self._next += 1
            yield waiting, parts


def joined(asked: Asked, kind: str, answers: list[Answer]) -> Answered:
    """The answer of a kind's whole part from those of its shards. A feature that a shard lacks is NaN for its rows."""
    height = len(asked.row)
    mine = [answer for answer in answers if answer.kind == kind]
    whole = PartAnswer({}, np.zeros(height, np.uint64), None, 0)
    if any(each.answer.coverage is not None for each in mine):
        whole.coverage = np.ones(height, np.float32)
    for each in mine:
        whole.flags[each.at] = each.answer.flags
        whole.late_dropped += each.answer.late_dropped
        if whole.coverage is not None and each.answer.coverage is not None:
            whole.coverage[each.at] = each.answer.coverage
        for name, values in each.answer.values.items():
            if name not in whole.values:
                whole.values[name] = np.full(height, np.nan)
            whole.values[name][each.at] = values
    return Answered(asked.row, whole, asked.nulls)
