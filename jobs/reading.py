"""From a source to decoded batches, each with what follows it and the position to go on from behind it.

The clock of a file believes a jump ahead only if what follows confirms it, so decoding runs a little ahead of judging.
A batch is handed over when enough is known of what follows it; its position is that of its own last record.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from integration.sources import Chunk, Source, SourceError
from operators.batch import DeadRecord
from operators.clock import CONFIRMING, Mask
from operators.decode import Decoded, Decoder, Sources, decode_records, decode_table, record_times, table_times
from operators.decode_times import Milliseconds
from operators.intake import event_times
from schemas.policy import Policy

Position = dict[str, Any]

_NOTHING: Milliseconds = np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class Read:
    """A decoded chunk. `following`: event times (int64 ms) of what comes next, as much of it as a clock asks for."""

    decoded: Decoded
    broken: list[DeadRecord]
    """Rows that are no rows of their table."""
    payload: Callable[[int], bytes]
    """The bytes of a record of the chunk, by its place."""
    position: Position
    """Where reading goes on behind it."""
    following: Milliseconds
    forged: Mask | None
    """What a folder, which merges several clocks, says of the times that nothing in their file confirms."""


class Reader:
    """Iterate for what was read; None while a followed file has nothing new. `position` is where it stands before the first."""

    def __init__(self, source: Source, policy: Policy, batch_size: int, position: Position | None) -> None:
        self.position = position
        self.seconds = {"read": 0.0, "decode": 0.0}
        self._source = source
        self._decoder = Decoder(policy)
        self._batch_size = batch_size
        self._ahead: deque[Read] = deque()
        if position is not None:
            source.seek(position)

    def __iter__(self) -> Iterator[Read | None]:
        """Raises SourceError where the input breaks, after all that could be read was handed over."""
        broken: SourceError | None = None
        while True:
            try:
                chunk = self._read()
            except SourceError as error:
                broken, chunk = error, None
            if chunk is None:
                break
            quiet = not len(chunk) and not chunk.dead
            if not quiet:
                self._ahead.append(self._decode(chunk))
            # A followed file may be quiet for hours: what is there is judged without waiting for what confirms it.
            # A broker's clock needs nothing to confirm it.
            timed = chunk.ingest is not None
            while self._ahead and (quiet or timed or self._known_after_first() >= CONFIRMING):
                yield self._next()
            if quiet:
                yield None
        while self._ahead:
            yield self._next()
        if broken is not None:
            raise broken

    def unfinished(self) -> dict[str, int]:
        """`Source.unfinished`."""
        return self._source.unfinished()

    def close(self) -> None:
        self._source.close()

    def _read(self) -> Chunk | None:
        started = perf_counter()
        chunk = self._source.read(self._batch_size)
        self.seconds["read"] += perf_counter() - started
        return chunk

    def _decode(self, chunk: Chunk) -> Read:
        started = perf_counter()
        origin = Sources(chunk.names, chunk.index)
        if chunk.kind == "records":
            decoded = decode_records(chunk.records, chunk.offsets, origin, self._decoder, chunk.ingest)
        else:
            decoded = decode_table(chunk.table, chunk.offsets, origin, self._decoder, chunk.text)
        self.seconds["decode"] += perf_counter() - started
        return Read(decoded, chunk.dead, chunk.payload, self._source.position(), _NOTHING, chunk.forged)

    def _known_after_first(self) -> int:
        return sum(len(read.decoded) for read in list(self._ahead)[1:])

    def _next(self) -> Read:
        read = self._ahead.popleft()
        read.following = np.concatenate([event_times(ahead.decoded) for ahead in self._ahead] or [_NOTHING])[
            :CONFIRMING
        ]
        return read


def times_of(policy: Policy, chunk: Chunk) -> Milliseconds:
    """Event times of a chunk's records: what a folder is merged by."""
    decoder = Decoder(policy)
    return (
        record_times(chunk.records, decoder)
        if chunk.kind == "records"
        else table_times(chunk.table, decoder, chunk.text)
    )
