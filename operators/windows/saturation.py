"""Sums that stop at a limit instead of overflowing, event by event, without a loop over events."""

import numpy as np

from operators.windows.grid import PaneGrid
from operators.windows.segments import Ints

LIMIT = 1 << 56


def pane_limit(width: int) -> int:
    """Greatest absolute sum of one pane: 2^56, less where the panes of a ring would overflow 64 bits together."""
    return min(LIMIT, (1 << 62) // width)


def saturate(grid: PaneGrid, ring: Ints, added: Ints) -> Ints:
    """What each row adds to its pane, which stays within the limit after each event: less than `added` at the limit.

    Two steps x -> clip(x + a, low, high) make one of the same form, so the sums behind each event come by doubling:
    O(rows log rows) for the panes at risk; the others cost one sum.
    """
    limit = pane_limit(grid.width)
    size = np.abs(added)
    if int(size.sum()) + int(np.abs(ring).max(initial=0)) <= limit:
        return added
    seg = grid.segments.seg
    order = np.lexsort((grid.pane, seg))  # stable: in a pane, by arrival
    seg, pane, size = seg[order], grid.pane[order], size[order]
    first = np.flatnonzero(np.append(True, (seg[1:] != seg[:-1]) | (pane[1:] != pane[:-1])))
    lag = grid.begin[seg[first]] - pane[first]
    held = np.where((lag >= 0) & (lag < grid.width), ring[seg[first], np.clip(lag, 0, grid.width - 1)], 0)
    lengths = np.diff(np.append(first, len(order)))
    risky = np.repeat(np.abs(held) + np.add.reduceat(size, first) > limit, lengths)
    place = (np.arange(len(order)) - np.repeat(first, lengths))[risky]
    held, order = np.repeat(held, lengths)[risky], order[risky]
    move = added[order]
    low, high = np.full(len(order), -limit), np.full(len(order), limit)
    step = 1
    while step <= place.max(initial=0):
        at = np.flatnonzero(place >= step)
        turn, floor, roof = move[at], low[at], high[at]
        moved, lower, higher = move[at - step] + turn, low[at - step] + turn, high[at - step] + turn
        move[at], low[at], high[at] = moved, np.clip(lower, floor, roof), np.clip(higher, floor, roof)
        step *= 2
    after = np.clip(held + move, low, high)
    earlier = np.where(place > 0, np.append(0, after[:-1]), held)
    taken = added.copy()
    taken[order] = after - earlier
    return taken
