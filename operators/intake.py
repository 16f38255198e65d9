"""The last step of decoding: a clock for the batch. What is of the future is dead, the rest goes on.

decode -> settle (needs the times of what follows) -> Batch
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from operators.batch import Batch, DeadRecord
from operators.clock import Mask, RunningClock
from operators.decode import Decoded
from operators.decode_columns import times_series
from operators.decode_times import NO_TIME, Milliseconds
from operators.repeats import RECORD_HASH

Indices = Milliseconds

_FUTURE = (
    "the event's time is more than 5 minutes ahead of the clock of its source, and what follows does not confirm it"
)
_BEYOND = "the event's time is more than 5 minutes after the clock of this machine"
_FUTURE_HINT = "fix the producer's clock, or check `unit:` of the time"


def event_times(decoded: Decoded) -> Milliseconds:
    """The event times of a batch: what `settle` wants to know of the batches that follow."""
    return _milliseconds(decoded.frame["event_time"])


def settle(
    decoded: Decoded,
    following: Milliseconds,
    clock: RunningClock,
    payload: Callable[[int], bytes],
    forged: Mask | None = None,
) -> Batch:
    """Fills `ingest_time`, takes out events of the future, and puts the hash of each record beside it (`__record`).

    `following`: event times of the next decoded events, at least `clock.CONFIRMING` unless the input ends sooner.
    `payload(position)`: the bytes of a record of the call that made `decoded`; asked for dead letters only.
    `forged`: by position in that call, what a merged source says of its jumps (`following` is not needed then). Dead
    letters come in the order of their records, so that their order does not depend on batches either.
    """
    frame = decoded.frame
    given = _milliseconds(frame["ingest_time"])
    given_or_none = None if (given == NO_TIME).all() else given
    times = event_times(decoded)
    ingest, future = clock.admit(times, following, given_or_none, None if forged is None else forged[decoded.rows])
    keep = ~future
    dead = dict(zip(decoded.dead_rows, decoded.dead, strict=True))
    for row in np.flatnonzero(future).tolist():
        at = int(decoded.rows[row])
        beyond = clock.horizon_ms is not None and times[row] > clock.horizon_ms
        event_id, ms = frame["event_id"][row], int(ingest[row])
        dead[at] = DeadRecord(
            decoded.origin(row),
            "decode",
            "future_time",
            None,
            _BEYOND if beyond else _FUTURE,
            _FUTURE_HINT,
            payload(at),
            event_id,
            None if ms == NO_TIME else ms,
        )
    columns = [times_series(ingest).alias("ingest_time")]
    if decoded.payload_hash is not None:
        columns.append(pl.Series(RECORD_HASH, decoded.payload_hash))
    kept = frame.with_columns(columns)
    if not keep.all():
        kept = kept.filter(pl.Series(keep))
    return Batch(kept, decoded.sources, [dead[at] for at in sorted(dead)])


def _milliseconds(column: pl.Series) -> Milliseconds:
    return column.cast(pl.Int64).fill_null(NO_TIME).to_numpy()
