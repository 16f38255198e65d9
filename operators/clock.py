"""The ingest clock of inputs that have no broker: it goes on with the events' own times, and no forged stamp moves it.

A file has no arrival times. Its clock is the running maximum of the event times, or of the policy's `ingest:` field.
One record with a stamp of next year would then make every later event a year late; so a jump ahead has to be confirmed
by what follows.
"""

from typing import Any

import numpy as np

from operators.decode_times import LAST_MS, NO_TIME, Milliseconds

AHEAD_MS = 300_000
"""How far an event's own time may lie ahead of the clock, and ahead of what confirms it."""
CONFIRMING = 16
"""How many dated events after a jump may confirm it: what `following` has to hold, unless the input ends."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class RunningClock:
    """`clock_ms`: the clock so far (None before the first event); `horizon_ms`: no event lies after it (None: no such
    bound).

    With neither broker nor `ingest:` field, an event of more than 5 minutes after the clock moves it only if more than
    half of the 16 events after it are at or after its time less 5 minutes, or if nothing follows at all: a few forged
    stamps that vouch for each other move nothing, neither in one jump nor in small steps. The first event, which has no clock to be ahead of, is refused only
    if it is not confirmed while the event after it is. Events after the horizon do not count among the 16. Answers do not depend on where the stream is cut, as long as
    `following` holds 16 events that are not after the horizon, or the rest of the input.
    """

    def __init__(self, clock_ms: int | None = None, horizon_ms: int | None = None) -> None:
        self.clock_ms = clock_ms
        self.horizon_ms = horizon_ms

    def admit(
        self,
        times: Milliseconds,
        following: Milliseconds,
        given: Milliseconds | None = None,
        forged: Mask | None = None,
    ) -> tuple[Milliseconds, Mask]:
        """Ingest times (int64[n], never falling) of events with these times, and which are `future_time` (their ingest
        time is the clock's, `NO_TIME` before the first event).

        `following`: the times of the next events of the stream, at least 16 of them unless it ends sooner. `given`: the
        times of a broker's clock or an `ingest:` field, `NO_TIME` for an event that has none. `forged`:
        what the source has found of the same question where it merges several streams, each of which confirms its own
        jumps; then only the horizon is looked at here. O(n), with a loop over unconfirmed jumps only.
        """
        horizon = np.iinfo(np.int64).max if self.horizon_ms is None else self.horizon_ms
        if given is not None and (given != NO_TIME).all():
            trusted = given <= horizon
            ingest = self._run(np.where(trusted, given, NO_TIME))
            return ingest, ~trusted | (times > horizon) | (times - ingest > AHEAD_MS)
        if given is not None:
            return self._mixed(times, given, horizon)
        possible = times <= horizon
        if forged is not None:
            return self._run(np.where(forged | ~possible, NO_TIME, times)), forged | ~possible
        known = np.concatenate([times[possible], following[following <= horizon][:CONFIRMING]])
        future = ~possible
        moves = np.zeros(len(times), dtype=np.bool_)
        future[possible], moves[possible] = self._refused(known, int(possible.sum()))
        return self._run(np.where(moves, times, NO_TIME)), future

    def _run(self, times: Milliseconds) -> Milliseconds:
        start = NO_TIME if self.clock_ms is None else self.clock_ms
        ingest = np.maximum.accumulate(np.maximum(times, start)) if len(times) else times
        if len(ingest) and ingest[-1] != NO_TIME:
            self.clock_ms = int(ingest[-1])
        return ingest

    def _refused(self, known: Milliseconds, count: int) -> tuple[Mask, Mask]:
        """Which of the first `count` times are jumps that nothing confirms, and which of the rest move the clock.

        The others of `known` follow them in the stream.
        """
        start = NO_TIME if self.clock_ms is None else self.clock_ms
        times, confirmed = known[:count], _confirmed(known)[:count]
        sure = np.maximum.accumulate(np.concatenate([[start], np.where(confirmed, times, NO_TIME)]))[:-1]
        refused = np.zeros(count, dtype=np.bool_)
        extra = start
        for place in np.flatnonzero(~confirmed & (times > sure)).tolist():
            clock, time = max(extra, int(sure[place])), int(times[place])
            refused[place] = _follower_confirmed(known[place:]) if clock == NO_TIME else time > clock + AHEAD_MS
            # A small step that what follows contradicts is let in and does not move the clock: many small steps
            # would be a jump. Near the end of what is known there is too little to contradict it.
            if not refused[place] and (clock == NO_TIME or len(known) - 1 - place < CONFIRMING):
                extra = max(clock, time)
                confirmed[place] = True
        return refused, confirmed

    def _mixed(self, times: Milliseconds, given: Milliseconds, horizon: int) -> tuple[Milliseconds, Mask]:
        """Some event types have an `ingest:` field: it is the clock, and the events of the others are measured by
        it."""
        own, trusted = given != NO_TIME, (given != NO_TIME) & (given <= horizon)
        moves = np.where(trusted, given, NO_TIME)
        usable = np.flatnonzero(trusted | (~own & (times <= horizon)))
        if self.clock_ms is None and len(usable) and not own[usable[0]]:
            # Nothing to measure the very first event by: the clock begins with its own time.
            moves[usable[0]] = times[usable[0]]
        ingest = self._run(moves)
        ahead = times > np.where(ingest == NO_TIME, horizon, np.minimum(ingest, LAST_MS) + AHEAD_MS)
        return ingest, (own & ~trusted) | (times > horizon) | ahead


def _confirmed(known: Milliseconds) -> Mask:
    """Whether more than half of the next 16 times are at or after each time less 5 minutes, or none follows."""
    support = np.zeros(len(known), dtype=np.int64)
    for step in range(1, min(CONFIRMING, len(known) - 1) + 1):
        support[:-step] += known[step:] >= known[:-step] - AHEAD_MS
    others = np.minimum(np.arange(len(known))[::-1], CONFIRMING)
    good: Mask = 2 * support > others
    good[-1:] = True
    return good


def _follower_confirmed(known: Milliseconds) -> bool:
    others = known[2 : CONFIRMING + 1]
    return 2 * int((others >= known[1] - AHEAD_MS).sum()) > len(others)
