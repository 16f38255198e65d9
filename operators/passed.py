"""How many events have been stamped past a moment, for a config record that was read too late for them."""

import numpy as np
import numpy.typing as npt

REMEMBERED = 1 << 17
"""Events, at least: at 2,000 a second about a minute."""


class Passed:
    """The ingest times of the events that were stamped last; a megabyte."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._times = np.zeros(remembered, dtype=np.int64)
        self._count = 0
        self._forgotten_ms = -(2**63)

    def add(self, ingest: npt.NDArray[np.int64]) -> None:
        """Events have been stamped; O(events)."""
        size = len(self._times)
        if len(ingest) > size:
            self.forget(int(ingest[:-size].max()))
            ingest = ingest[-size:]
        at = self._count % size
        head = min(len(ingest), size - at)
        for start, piece in ((at, ingest[:head]), (0, ingest[head:])):
            stop = start + len(piece)
            gone = self._times[start : min(stop, self._count)]
            if len(gone):
                self.forget(int(gone.max()))
            self._times[start:stop] = piece
        self._count += len(ingest)

    def forget(self, ms: int) -> None:
        """Events up to this time may have been stamped that are not remembered."""
        self._forgotten_ms = max(self._forgotten_ms, ms)

    def since(self, ms: int) -> tuple[int, bool]:
        """The events that were stamped and taken in at `ms` or later, and whether these are all; O(events remembered)."""
        times = self._times[: self._count]
        return int(np.count_nonzero(times >= ms)), ms > self._forgotten_ms
