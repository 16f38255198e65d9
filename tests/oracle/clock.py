"""The ingest clock of a file, one event at a time."""

NO_TIME = -(2**63)
AHEAD = 300_000


def admit(times: list[int], clock: int | None, horizon: int) -> tuple[list[int], list[bool]]:
    """The ingest time of each event, and whether it is refused as one of the future."""
    ingest, future = [], []
    for place, time in enumerate(times):
        after = [t for t in times[place + 1 :] if t <= horizon]
        confirmed = _more_than_half(after[:16], time)
        if time > horizon:
            refused = True
        elif clock is not None:
            refused = time > clock + AHEAD and not confirmed
        else:
            refused = not confirmed and len(after) > 1 and _more_than_half(after[1:16], after[0])
        # A small step that 16 events contradict is let in, and does not move the clock.
        moves = confirmed or clock is None or len(after) < 16
        if not refused and moves:
            clock = time if clock is None else max(clock, time)
        ingest.append(NO_TIME if clock is None else clock)
        future.append(refused)
    return ingest, future


def _more_than_half(after: list[int], time: int) -> bool:
    return not after or 2 * sum(t >= time - AHEAD for t in after) > len(after)
