"""Batches records about a job (lists, labels) as `batcher` batches events: one packet in the first row of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pyflink.table.udf import ScalarFunction

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.packets import packed

if TYPE_CHECKING:
    import pandas as pd

Given = tuple[bytes | None, bytes | None, int, int, int]
"""Key, value, partition, offset, and when the broker took it, ms."""
Read = Callable[[Sequence[Given]], object]
"""Makes the packet of a batch of records."""


class RecordBatcher(ScalarFunction):
    """Columns of a batch -> packet. `reader` makes the function that reads records; it is called once a process."""

    def __init__(self, job: JobFacts, reader: Callable[[JobFacts], Read]) -> None:
        self.job = job
        self.reader = reader

    def is_deterministic(self) -> bool:
        """No, as `Batcher` is not."""
        return False

    def open(self, function_context: Any) -> None:
        self.read = self.reader(replace(self.job, registry=None))  # models score elsewhere, in another process

    def eval(
        self, key: "pd.Series", value: "pd.Series", partition: "pd.Series", offset: "pd.Series", timestamp: "pd.Series"
    ) -> "pd.Series":
        import pandas as pd

        at = timestamp.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
        given = list(zip(key, value, partition.tolist(), offset.tolist(), at.tolist(), strict=True))
        column: list[bytes | None] = [None] * len(key)
        column[0] = packed(self.read(given))
        return pd.Series(column, dtype=object)
