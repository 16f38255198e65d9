"""gather: the answers of all shards to one batch, joined again; batches are released in the order of their lane.

It keeps no Flink state. With aligned checkpoints all parts of a batch lie on one side of a barrier, so that nothing
waits here when state is saved.
"""

from collections.abc import Iterator

import numpy as np

from jobs.flink_job.packets import Answer, Asked, Waiting
from operators.kind_observer import PartAnswer
from operators.observe import Answered


class Gather:
    """One lane. Feed it `Waiting` and `Answer` as they come; it gives back what is whole and in turn."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, Waiting] = {}
        self._answers: dict[int, list[Answer]] = {}

    def add(self, packet: Waiting | Answer) -> Iterator[tuple[Waiting, dict[str, Answered]]]:
        """What became ready by this packet: the events, and by kind what was answered."""
        if isinstance(packet, Waiting):
            self._waiting[packet.sequence] = packet
        else:
            self._answers.setdefault(packet.sequence, []).append(packet)
        while (waiting := self._waiting.get(self._next)) is not None:
            answers = self._answers.get(self._next, [])
            if len(answers) < waiting.shares:
                return
            del self._waiting[self._next]
            self._answers.pop(self._next, None)
            self._next += 1
            yield waiting, {kind: joined(asked, kind, answers) for kind, asked in waiting.asked.items()}


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
