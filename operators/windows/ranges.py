"""The greatest of each of many ranges of an array."""

import numpy as np
import numpy.typing as npt


class RangeGreatest:
    """Answers ranges over `keys` by the doubling table: every range is the union of two blocks of a power of two."""

    def __init__(self, keys: npt.NDArray[np.uint64]) -> None:
        self.keys = keys

    def between(self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """The greatest of keys[first..last], both included; 0 where last < first. O(keys log longest + ranges)."""
        greatest = np.zeros(len(first), np.uint64)
        length = last - first + 1
        filled = np.flatnonzero(length > 0)
        if not len(filled):
            return greatest
        first, last = first[filled], last[filled]
        found = np.empty(len(filled), np.uint64)
        level = np.frexp(length[filled].astype(np.float64))[1].astype(np.uint8) - np.uint8(1)
        block = self.keys
        size = 1
        for step in range(int(level.max()) + 1):
            at = np.flatnonzero(level == step)
            if len(at):
                found[at] = np.maximum(block[first[at]], block[last[at] - (size - 1)])
            if len(block) > size:
                block = np.maximum(block[:-size], block[size:])
            size *= 2
        greatest[filled] = found
        return greatest
