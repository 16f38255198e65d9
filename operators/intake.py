"""The last step of decoding: a clock for the batch, then repeated ids. What is left goes on, the rest is dead or
dropped.

    decode -> settle (needs the times of what follows) -> Batch

The order matters: an event that is refused for its time does not occupy its id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from operators.batch import Batch, DeadRecord
from operators.clock import RunningClock
from operators.decode import Decoded
from operators.decode_columns import times_series
from operators.decode_times import NO_TIME, Milliseconds
from operators.repeats import Hashes, Mask, RecentIds, id_hashes

Indices = Milliseconds
Values = TypeVar("Values", Hashes, Mask)

_FUTURE = (
    "the event's time is more than 5 minutes ahead of the clock of its source, and what follows does not confirm it"
)
_FUTURE_HINT = "fix the producer's clock, or check `unit:` of the time"
_REPEATED = "the id was seen before with another record"
_REPEATED_HINT = "fix the producer: an id names one event; or set `repeats: 0` in the policy to take every record"


@dataclass(frozen=True, slots=True)
class Settled:
    """`batch`: events with their ingest time, each id once. `repeated`: how many records were sent twice, and
    dropped."""

    batch: Batch
    repeated: int


def event_times(decoded: Decoded) -> Milliseconds:
    """The event times of a batch: what `settle` wants to know of the batches that follow."""
    return _milliseconds(decoded.frame["event_time"])


def settle(
    decoded: Decoded,
    following: Milliseconds,
    clock: RunningClock,
    recent: RecentIds,
    payload: Callable[[int], bytes],
    forged: Mask | None = None,
) -> Settled:
    """Fills `ingest_time`, and takes out events of the future and repeated ids.

    `following`: event times of the next decoded events, at least `clock.CONFIRMING` unless the input ends sooner.
    `payload(position)`: the bytes of a record of the call that made `decoded`; asked for dead letters only.
    `forged`: by position in that call, what a merged source says of its jumps (`following` is not needed then). Dead
    letters come in the order of their records, so that their order does not depend on batches either.
    """
    frame = decoded.frame
    given = _milliseconds(frame["ingest_time"])
    given_or_none = None if (given == NO_TIME).all() else given
    ingest, future = clock.admit(event_times(decoded), following, given_or_none, _some(forged, decoded.rows))
    keep = ~future
    first, same = recent.check(id_hashes(frame.filter(pl.Series(keep))), _some(decoded.payload_hash, keep))
    again = np.flatnonzero(keep)[~first & ~same]
    repeated = int(same.sum())
    keep[keep] = first
    late = {int(row): ("future_time", _FUTURE, _FUTURE_HINT) for row in np.flatnonzero(future)}
    late |= {int(row): ("repeated_id", _REPEATED, _REPEATED_HINT) for row in again}
    dead = dict(zip(decoded.dead_rows, decoded.dead, strict=True))
    for row, (reason, detail, hint) in late.items():
        at = int(decoded.rows[row])
        event_id, ms = frame["event_id"][row], int(ingest[row])
        dead[at] = DeadRecord(
            decoded.origin(row),
            "decode",
            reason,
            None,
            detail,
            hint,
            payload(at),
            event_id,
            None if ms == NO_TIME else ms,
        )
    kept = frame.with_columns(times_series(ingest).alias("ingest_time"))
    if not keep.all():
        kept = kept.filter(pl.Series(keep))
    batch = Batch(kept, decoded.sources, [dead[at] for at in sorted(dead)], _some(decoded.payload_hash, keep))
    return Settled(batch, repeated)


def _milliseconds(column: pl.Series) -> Milliseconds:
    return column.cast(pl.Int64).fill_null(NO_TIME).to_numpy()


def _some(values: Values | None, picked: Mask | Indices) -> Values | None:
    return None if values is None else values[picked]
