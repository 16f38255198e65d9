"""Which of a stream of p-values are discoveries, so that few of all discoveries are false: alpha-investing without an end.

The t-th test is a discovery where p_t <= alpha_t, and

    alpha_t = level * (g(t) + sum of g(t - Tj)),    Tj = when the j-th discovery was,    g(1) + g(2) + ... = 1,

a rule of generalised alpha-investing (Aharoni & Rosset, 2014) in the form of LORD (Javanmard & Montanari, "Online rules for
control of false discovery rate and false discovery exceedance", 2018). Here g is the mean of geometric sequences that last for
256 tests, for four times as many, and so on up to 4 million. It falls about as 1/k, and all that discoveries have earned is one
number for each sequence, however many there were. At its beginning it is flat, because p-values are no finer than the reference
that they are made of.

Guarantee: over a stream of any length E[false] <= level * (E[discoveries] + 1), because all alpha_t together are at most
level * (discoveries + 1) and each test is by chance a discovery with no more than its alpha_t: for p-values that have
P(p <= u) <= u whatever came before. Those of one reference have that but for what they tell of it. Where nothing is ever wrong
that is a false alarm in at most about a share `level` of the streams.

The price: long after the last discovery there is little to spend, and it takes many events as extreme as none before them to make
the first one. A rule's `when:` narrows the discoveries further; the guarantee is about those before it.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TESTS = 256.0 * 4.0 ** np.arange(8)
"""How long each geometric sequence lasts."""
_STAY = 1.0 - 1.0 / _TESTS
_FIRST = (1.0 - _STAY) / len(_TESTS)
"""What each gives for the first test."""


@dataclass(slots=True)
class Discoveries:
    """Where a stream of tests stands. `earned`: by sequence, what was left to spend right behind the last discovery, in shares of
    the level; `since`: tests since then."""

    since: int = 0
    earned: Floats = field(default_factory=lambda: np.ones(len(_TESTS)))

    def take(self, values: Floats, level: float) -> npt.NDArray[np.bool_]:
        """Whether each p-value is a discovery. No NaN among them.

        O(values), in Python only the values up to `level`. How a stream is cut into calls changes nothing.
        """
        discovered = np.zeros(len(values), np.bool_)
        start = -self.since  # the test behind the last discovery, as a place in `values`
        most = level * self._share(0)
        for at in np.flatnonzero(values <= level).tolist():
            if values[at] <= most and values[at] <= level * self._share(at - start):
                discovered[at] = True
                self.earned = self.earned * _STAY ** (at - start + 1) + 1.0
                start = at + 1
                most = level * self._share(0)
        self.since = len(values) - start
        return discovered

    def _share(self, since: int) -> float:
        """Of the level, for a test that comes after `since` others without a discovery."""
        return float((_FIRST * self.earned * _STAY**since).sum())

    def to_bytes(self) -> bytes:
        return np.array([self.since], "<i8").tobytes() + self.earned.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Discoveries":
        since = int(np.frombuffer(data, "<i8", 1)[0])
        return cls(since, np.frombuffer(data, "<f8", offset=8).astype(np.float64))
