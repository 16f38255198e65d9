"""Which of a stream of p-values are discoveries, so that few of these are false: LOND in families.

A family is m tests in a row, m = level * (size of the reference that its first test has): as many as the reservoir can tell apart at that
level. Within it the t-th test is a discovery where

    p_t <= level / m * (D + 1),    D = discoveries of the family before t

(LOND: Javanmard & Montanari, "On Online Control of False Discovery Rate", 2015, with equal shares).

Guarantee: the expected share of false ones among the discoveries of a family is at most `level`, for p-values that are independent, or
positively dependent as those of one reference are (Zrnic, Ramdas & Jordan, "Asynchronous Online Testing of Multiple
Hypotheses", 2021). Where nothing is ever wrong that is: a false alarm in at most `level` of the families, so about one in as many tests as the reference has scores. Over many families the share of
false ones among all discoveries is at most level * (1 + families / discoveries): with a signal in few of the families it is more than `level`. No
rule does better without finer p-values: without a discovery, level / m for m tests is all there is to spend. A rule's `when:` narrows the
discoveries further; the guarantee is about those before it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Discoveries:
    """Where a stream of tests stands: `done` tests and `found` discoveries in a family of `size` tests."""

    done: int = 0
    size: int = 0
    found: int = 0

    def take(self, values: Floats, references: Ints, level: float) -> npt.NDArray[np.bool_]:
        """Whether each p-value is a discovery. No NaN among them; `references` are the sizes of their references.

        O(values), in Python only the values up to `level`. How a stream is cut into calls changes nothing.
        """
        discovered = np.zeros(len(values), np.bool_)
        start = 0
        while start < len(values):
            if self.done == self.size:
                self.done, self.size, self.found = 0, max(1, int(level * references[start])), 0
            stop = min(start + self.size - self.done, len(values))
            for at in (np.flatnonzero(values[start:stop] <= level) + start).tolist():
                if values[at] <= level / self.size * (self.found + 1):
                    discovered[at] = True
                    self.found += 1
            self.done += stop - start
            start = stop
        return discovered

    def to_bytes(self) -> bytes:
        return np.array([self.done, self.size, self.found], "<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Discoveries":
        return cls(*np.frombuffer(data, "<i8", 3).tolist())
