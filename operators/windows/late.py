"""Windows over events that came out of order: ranges of panes, restricted to what had arrived."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class LateRanges:
    """For each of some rows: the rows up to it, in arrival order, whose pane is in a range.

    A tree over the ranks of the panes: a node of level k holds the rows of 2^k neighbouring ranks in the order they
    came, and a range is a few nodes of each level. In a node, what had arrived is a prefix. Levels end at the widest
    range, so many small segments cost as little as one. O((rows + asking) log rows) for each level, whatever the
    number of panes.
    """

    def __init__(self, rank: Ints, asking: Ints, low: Ints, high: Ints) -> None:
        """`rank` of each row's pane, rows in arrival order; `asking` are rows, ascending, with ranks [low, high)."""
        self.asking = len(asking)
        self._levels: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16], list[tuple[Ints, Ints, Ints]]]] = []
        low, high = low.copy(), high.copy()
        node = rank.astype(np.uint16)
        while True:
            order = np.argsort(node, kind="stable")
            shelf = node[order]
            axis = (shelf.astype(np.int64) << 16) + order
            pieces = []
            for odd, step in ((low, 1), (high, -1)):
                ids = np.flatnonzero((low < high) & (odd & 1 == 1))
                taken = odd[ids] if step > 0 else odd[ids] - 1
                odd[ids] += step
                if len(ids):
                    first = np.searchsorted(axis, taken << 16)
                    pieces.append((ids, first, np.searchsorted(axis, (taken << 16) + asking[ids] + 1)))
            self._levels.append((order, shelf, pieces))
            if not (low < high).any():
                break
            low >>= 1
            high >>= 1
            node = node >> np.uint16(1)

    def sums(self, added: Ints) -> Ints:
        """The sum of `added` (over rows) in each asked range."""
        total = np.zeros(self.asking, np.int64)
        upto = np.zeros(len(added) + 1, np.int64)
        for order, _, pieces in self._levels:
            if pieces:
                np.cumsum(added[order], out=upto[1:])
            for ids, first, stop in pieces:
                total[ids] += upto[stop] - upto[first]
        return total

    def greatest(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """The greatest of `keys` (over rows, 0 for none) in each asked range; 0 where none."""
        by_size = np.argsort(keys)
        size = np.empty(len(keys), np.int64)
        size[by_size] = np.arange(1, len(keys) + 1)
        size[keys == 0] = 0
        best = np.zeros(self.asking, np.int64)
        for order, shelf, pieces in self._levels:
            if not pieces:
                continue
            # A running maximum that starts again in each node.
            floor = shelf.astype(np.int64) * (len(keys) + 1)
            upto = np.maximum.accumulate(size[order] + floor) - floor
            for ids, first, stop in pieces:
                found = np.where(stop > first, upto[stop - 1], 0)
                best[ids] = np.maximum(best[ids], found)
        return np.where(best > 0, keys[by_size[best - 1]], np.uint64(0))
