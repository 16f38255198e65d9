"""Packets come out as they went in."""

import polars as pl
import pytest

from jobs.flink_job.packets import Arrived, IdShare, packed, unpacked
from operators.batch import Batch

FRAME = pl.DataFrame(
    {
        "event_type": pl.Series(["post", None], dtype=pl.Enum(["post", "pay"])),
        "event_time": pl.Series([1, None]).cast(pl.Datetime("ms", "UTC")),
        "account": ["a", None],
        "tags": [["x", "y"], None],
        "good": [True, None],
        "payload": [b"\xff", None],
        "amount": [0.1, None],
        "hash": pl.Series([2**63, None], dtype=pl.UInt64),
        "source": pl.Series([1, None], dtype=pl.UInt32),
        "nothing": [None, None],
    }
)


@pytest.mark.parametrize("frame", [FRAME, FRAME[1:], FRAME.clear(), pl.DataFrame()])
def test_a_frame_keeps_its_types_and_values(frame: pl.DataFrame) -> None:
    arrived = unpacked(packed(Arrived(Batch(frame, (("events", 0),)), [{"reason": "x"}])), Arrived)
    assert arrived.batch.frame.schema == frame.schema
    assert arrived.batch.frame.equals(frame, null_equal=True)
    assert (arrived.batch.sources, arrived.dead) == ((("events", 0),), [{"reason": "x"}])


def test_a_packet_at_the_wrong_place_is_named() -> None:
    with pytest.raises(TypeError, match="a list came where a IdShare belongs"):
        unpacked(packed([]), IdShare)
