"""Records of an events topic as the embedded runtime reads them, for tests of what a job on Flink makes of the same."""

from collections.abc import Sequence

import numpy as np

from operators.batch import DeadRecord, Origin, tombstone
from operators.decode import Decoded, Decoder, decode_records
from schemas.policy import Policy


def decoded(
    records: Sequence[tuple[int, bytes | None]], topic: str, policy: Policy
) -> tuple[Decoded, list[bytes], list[DeadRecord]]:
    """(append time, value) of partition 0, decoded; the values that are there, and the records without one."""
    kept = [(number, at, value) for number, (at, value) in enumerate(records) if value is not None]
    values = [value for _, _, value in kept]
    offsets, times = (np.array([one[i] for one in kept], dtype=np.int64) for i in (0, 1))
    broken = [tombstone(Origin(topic, 0, n), at) for n, (at, value) in enumerate(records) if value is None]
    return decode_records(values, offsets, (topic, 0), Decoder(policy), times), values, broken
