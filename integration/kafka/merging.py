"""Records of several partitions as one stream, by the time at which the broker took each."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Timed(Protocol):
    """A record of kafka-python, as far as its order goes."""

    @property
    def timestamp(self) -> int: ...


class Merged:
    """Buffers of fetched records, one for each partition. The order within a partition is kept, whatever its times."""

    def __init__(self) -> None:
        self._buffers: dict[int, list[Timed]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buffers.values()))

    def size(self, partition: int) -> int:
        return len(self._buffers.get(partition, ()))

    def add(self, partition: int, records: Sequence[Timed]) -> None:
        self._buffers.setdefault(partition, []).extend(records)

    def take(self, most: int, unfinished: set[int]) -> list[tuple[int, Timed]]:
        """The next 0 to `most` records with their partitions, by time; O(buffered * log).

        Of the `unfinished` partitions more is to come, so nothing later than the last that is known of each is given;
        one of them without any record does not count: whoever asks has waited for it.

        >>> from types import SimpleNamespace as R
        >>> merged = Merged()
        >>> merged.add(0, [R(timestamp=1), R(timestamp=4)])
        >>> merged.add(1, [R(timestamp=2), R(timestamp=9)])
        >>> [(p, r.timestamp) for p, r in merged.take(10, {0})], [(p, r.timestamp) for p, r in merged.take(10, set())]
        ([(0, 1), (1, 2), (0, 4)], [(1, 9)])
        """
        numbers = sorted(n for n, buffer in self._buffers.items() if buffer)
        if len(numbers) < 2:
            picked = [(n, record) for n in numbers for record in self._buffers[n][:most]]
            for n in numbers:
                del self._buffers[n][:most]
            return picked
        # A leader's clock may go back: its records then count as of the latest before them.
        times = [
            np.maximum.accumulate(np.array([r.timestamp for r in self._buffers[n]], dtype=np.int64)) for n in numbers
        ]
        last = [int(each[-1]) for n, each in zip(numbers, times, strict=True) if n in unfinished]
        joined = np.concatenate(times)
        index = np.repeat(np.arange(len(numbers)), [len(each) for each in times])
        order = np.argsort(joined, kind="stable")[:most]
        if last:
            order = order[joined[order] <= min(last)]
        taken = np.bincount(index[order], minlength=len(numbers)).tolist()
        streams = [iter(self._buffers[n][:count]) for n, count in zip(numbers, taken, strict=True)]
        picked = [(numbers[i], next(streams[i])) for i in index[order].tolist()]
        for n, count in zip(numbers, taken, strict=True):
            del self._buffers[n][:count]
        return picked
