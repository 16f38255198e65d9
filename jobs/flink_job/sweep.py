"""sweep: deletes rows that read as new anyway, some with each packet, so that the state does not grow for ever.

By Flink's watermark over ingest times, below which no event is still to come, by whatever partition and lane: what is
idle by it is idle for every event that comes. Flink's own TTL goes by the wall clock, and would delete what a job that
was down for long still needs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

LEAST = 64
"""Rows that are looked at with a packet at the least."""
_SHORTEST_MS = 1_000
_UNKNOWN = -(2**63)
"""Flink's watermark before there is one."""

Expired = Callable[[Sequence[bytes], int], Iterable[Any]]
"""Which values can be deleted at a time."""


class Swept(Protocol):
    """The rows that are walked over."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def remove_many(self, keys: Sequence[bytes]) -> None: ...


class Sweep:
    """Walks over rows, from the first to the last and then anew, one round in a stretch of ingest time at the most.

    `walk` gives the keys of all rows; some may come or go while it is under way.
    """

    def __init__(self, rows: Swept, walk: Callable[[], Iterator[bytes]]) -> None:
        self._rows = rows
        self._walk = walk
        self._round: Iterator[bytes] | None = None
        self._due = _UNKNOWN + 1

    def go_on(self, watermark: int, life_ms: int, packet: int, expired: Expired) -> int:
        """Deletes what has expired among the next rows, and says how many; O(1) where no round is due.

        `life_ms`: about how long a row lives, and so the time between two rounds: a row is looked at some three times
        in its life. As many rows as the packet that came has are looked at, so that the sweep outruns what is added.
        """
        if self._round is None:
            if watermark < self._due:
                return 0
            self._round, self._due = self._walk(), watermark + max(life_ms, _SHORTEST_MS)
        most = max(packet, LEAST)
        keys = list(islice(self._round, most))
        if len(keys) < most:
            self._round = None
        found = [(key, value) for key, value in zip(keys, self._rows.get_many(keys), strict=True) if value is not None]
        if not found:
            return 0
        over = expired([value for _, value in found], watermark)
        gone = [key for (key, _), is_over in zip(found, over, strict=True) if is_over]
        self._rows.remove_many(gone)
        return len(gone)
