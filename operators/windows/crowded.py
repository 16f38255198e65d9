"""Which values are among the newest of their entity, when more live than a row keeps.

A value's age is (newest time, hash). The row keeps the `cap` newest at the end of every part, so a value is known at an
event, wherever parts are cut, if fewer than `cap` are newer: a value that was newer and is gone from the row is gone because
`cap` others were newer than it.
"""

import numpy as np
import numpy.typing as npt

from operators.windows.segments import Bools, Ints

Hashes = npt.NDArray[np.uint64]


def newer_values(
    seg: Ints, before: Ints, after: Ints, hash: Hashes, kept: tuple[Ints, Ints, Hashes], asked: Ints
) -> Ints:
    """For each of the sightings `asked`: how many other values of its segment were newer than its own just before it.

    Sightings are in the order (segment, arrival): `before` and `after` are the newest time of the value before it and behind
    it. `kept` are the segments, times and hashes of what the rows hold at first. O((sightings + kept) log of them).
    """
    seg_kept, time_kept, hash_kept = kept
    n, m = len(seg), len(seg_kept)
    rank = _ranks(np.concatenate([before, after, time_kept]), np.concatenate([hash, hash, hash_kept]))
    old, new, held = rank[:n], rank[n : 2 * n], rank[2 * n :]
    # What a row holds stands before all sightings of its segment.
    order = np.argsort(np.append(seg_kept, seg), kind="stable")
    came = np.append(held, new)[order]
    place = np.empty(n + m, np.int64)
    place[order] = np.arange(n + m)
    place = place[m:]
    own = old[asked]
    first = np.searchsorted(seg, seg[asked])
    begin = np.searchsorted(np.append(seg_kept, seg)[order], seg[asked])
    arrived: Ints = _greater(came, begin, place[asked], own)
    return arrived - _greater(old, first, asked, own)


def _ranks(time: Ints, hash: Hashes) -> Ints:
    """Equal numbers for equal (time, hash), greater ones for newer."""
    order = np.lexsort((hash, time))
    rises = (time[order][1:] != time[order][:-1]) | (hash[order][1:] != hash[order][:-1])
    ranks = np.empty(len(time), np.int64)
    ranks[order] = np.append(0, np.cumsum(rises))
    return ranks


def _greater(values: Ints, first: Ints, stop: Ints, than: Ints) -> Ints:
    """How many of values[first:stop] are greater than `than`, for many ranges at once: a wavelet matrix, from the highest bit
    on."""
    count = np.zeros(len(first), np.int64)
    low, high = first.astype(np.int64), stop.astype(np.int64)
    top = max(int(values.max(initial=0)), int(than.max(initial=0))).bit_length()
    for bit in reversed(range(top)):
        ones: Bools = (values >> bit & 1).astype(np.bool_)
        ones_before = np.append(0, np.cumsum(ones))
        low_ones, high_ones = ones_before[low], ones_before[high]
        is_one = (than >> bit & 1).astype(np.bool_)
        count += np.where(is_one, 0, high_ones - low_ones)
        zeros = len(values) - int(ones_before[-1])
        low = np.where(is_one, zeros + low_ones, low - low_ones)
        high = np.where(is_one, zeros + high_ones, high - high_ones)
        values = np.append(values[~ones], values[ones])
    return count
