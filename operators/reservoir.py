"""A bounded memory of scores, and the conformal p-values of new ones against it.

Scores are collected in blocks of 256, then of twice as many, up to 65,536. A full block becomes the reference of what
follows; until the first is full there are no p-values. Of a block are kept its 512 greatest scores, and, where it is
longer, an even sample of 512. So the bytes are bounded, and small p-values are as fine as the whole block allows.

Guarantee. Where a score is exchangeable with those of the reference (it comes from the same distribution, and in any order
the sequence would be as likely) P(p <= u) <= u for every u. For a score above what the sample is needed for

    p = (#{greater} + U (1 + #{equal})) / (n + 1)

with U uniform from the hash of the event's id, which breaks ties: many scores are 0. Below, p is the share q of the n + 1
places above the kept ones, plus 1 - q times the same formula on the sample of the others. A reference with anomalies in it makes
p larger, so it costs power, not the guarantee. Events of one entity resemble each other, and what people do changes with the hour:
there the guarantee is an approximation.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

FIRST = 256
LONGEST = 65_536
KEPT = 512

_NOTHING: Scores = np.empty(0, np.float32)


@dataclass(slots=True)
class Reservoir:
    """Reference and the block that fills. `greatest` and `sample` are sorted; `sample` has nothing above `greatest[0]`."""

    size: int = 0
    """Scores in the reference; 0 while there is none."""
    greatest: Scores = field(default_factory=_NOTHING.copy)
    sample: Scores = field(default_factory=_NOTHING.copy)
    filled: int = 0
    target: int = FIRST
    filling_greatest: Scores = field(default_factory=_NOTHING.copy)
    filling_sample: Scores = field(default_factory=_NOTHING.copy)

    def take(self, scores: Scores, ties: Floats, counted: npt.NDArray[np.bool_]) -> Floats:
        """The p-value of each score against what was there when it came (NaN where nothing was); then the scores that are
        `counted` enter. No NaN among them. O(scores log scores).

        How a sequence is cut into calls changes nothing.
        """
        values = np.empty(len(scores))
        start = 0
        entering = np.cumsum(counted)
        while start < len(scores):
            before = int(entering[start - 1]) if start else 0
            stop = int(np.searchsorted(entering, before + self.target - self.filled)) + 1
            part = slice(start, min(stop, len(scores)))
            values[part] = self._values(scores[part], ties[part])
            self._fill(scores[part][counted[part]])
            start = part.stop
        return values

    def _values(self, scores: Scores, ties: Floats) -> Floats:
        if not self.size:
            return np.full(len(scores), np.nan)
        values = _ranked(self.greatest, scores, ties, self.size)
        if self.size > KEPT:
            least = self.greatest[0]
            above = int(np.count_nonzero(self.greatest > least)) + 1
            share = above / (self.size + 1)
            rest = scores <= least
            values[rest] = share + (1.0 - share) * _ranked(self.sample, scores[rest], ties[rest], len(self.sample))
        return values

    def _fill(self, scores: Scores) -> None:
        if self.target > KEPT:
            stride = self.target // KEPT
            self.filling_sample = np.append(self.filling_sample, scores[-self.filled % stride :: stride])
        self.filling_greatest = np.sort(np.append(self.filling_greatest, scores))[-KEPT:]
        self.filled += len(scores)
        if self.filled == self.target:
            self._turn()

    def _turn(self) -> None:
        self.size, self.greatest = self.filled, self.filling_greatest
        self.sample = np.sort(self.filling_sample[self.filling_sample <= self.greatest[0]])
        self.filled, self.target = 0, min(2 * self.target, LONGEST)
        self.filling_greatest = self.filling_sample = _NOTHING

    def to_bytes(self) -> bytes:
        """All of it; `from_bytes` takes it back."""
        arrays = (self.greatest, self.sample, self.filling_greatest, self.filling_sample)
        head = np.array([self.size, self.filled, self.target, *map(len, arrays)], "<i8")
        return head.tobytes() + b"".join(array.astype("<f4").tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reservoir":
        size, filled, target, *lengths = np.frombuffer(data, "<i8", 7).tolist()
        values = np.frombuffer(data, "<f4", offset=7 * 8).astype(np.float32)
        greatest, sample, filling_greatest, filling_sample = np.split(values, np.cumsum(lengths)[:-1])
        return cls(size, greatest, sample, filled, target, filling_greatest, filling_sample)


def _ranked(kept: Scores, scores: Scores, ties: Floats, size: int) -> Floats:
    """(#{greater} + U (1 + #{equal})) / (size + 1), of which none but `kept` can be as great; `kept` is sorted."""
    upto = np.searchsorted(kept, scores, side="right")
    equal = upto - np.searchsorted(kept, scores, side="left")
    values: Floats = (len(kept) - upto + ties * (1.0 + equal)) / (size + 1.0)
    return values
