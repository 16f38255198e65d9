"""What the functions have in common that make one packet of a batch of rows."""

from typing import TYPE_CHECKING

import numpy as np
from pyflink.table.udf import ScalarFunction

from jobs.flink_job.packets import packed
from operators.decode_times import Milliseconds

if TYPE_CHECKING:
    import pandas as pd


class PacketFunction(ScalarFunction):
    """A pandas function must give one value a row: the first row gets the packet and the others NULL."""

    def is_deterministic(self) -> bool:
        """No: what it gives for a row depends on the rows beside it. Else the planner may call it for the filter, and then
        again for the rows that are left, which would be all that is in their packet."""
        return False


def in_first_row(packet: object, rows: int) -> "pd.Series":
    """The column of a batch."""
    import pandas as pd

    column: list[bytes | None] = [None] * rows
    column[0] = packed(packet)
    return pd.Series(column, dtype=object)


def milliseconds(timestamp: "pd.Series") -> Milliseconds:
    """Without its zone, which is UTC: a column with one becomes an array of Python objects."""
    naive: Milliseconds = timestamp.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    return naive
