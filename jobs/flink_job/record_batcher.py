"""Batches records about a job (lists, labels) as `batcher` batches events: one packet in the first row of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.packet_function import PacketFunction, in_first_row, milliseconds

if TYPE_CHECKING:
    import pandas as pd

Given = tuple[bytes | None, bytes | None, int, int, int]
"""Key, value, partition, offset, and when the broker took it, ms."""
Read = Callable[[Sequence[Given]], object]
"""Makes the packet of a batch of records."""


class RecordBatcher(PacketFunction):
    """Columns of a batch -> packet. `reader` makes the function that reads records; it is called once a process."""

    def __init__(self, job: JobFacts, reader: Callable[[JobFacts], Read]) -> None:
        self.job = job
        self.reader = reader

    def open(self, function_context: Any) -> None:
        self.read = self.reader(replace(self.job, registry=None))  # models score elsewhere, in another process

    def eval(
        self, key: "pd.Series", value: "pd.Series", partition: "pd.Series", offset: "pd.Series", timestamp: "pd.Series"
    ) -> "pd.Series":
        at = milliseconds(timestamp).tolist()
        given = list(zip(key, value, partition.tolist(), offset.tolist(), at, strict=True))
        return in_first_row(self.read(given), len(given))
