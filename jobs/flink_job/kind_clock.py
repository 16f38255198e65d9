"""The ingest clock of one entity kind on one subtask."""

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]


class KindClock:
    """`now` is the latest ingest time of the events that were counted, None before the first. Shares of several lanes come
    as they come, and the clock never goes back."""

    def __init__(self, now: int | None = None) -> None:
        self.now = now

    def over(self, ingest: Times) -> Times:
        """The clock at each event of a share, which is counted now."""
        clock = np.maximum.accumulate(ingest)
        if self.now is not None:
            clock = np.maximum(clock, self.now)
        self.now = int(clock[-1])
        return clock
