"""Before events are judged under a new epoch its models must be there: checked and loaded, or known to be refused."""

from operators.documents import Json
from operators.scoring import Scorers
from operators.timeline import Timeline


def settle_models(timeline: Timeline, scorers: Scorers, upto_ms: int) -> list[Json]:
    """Waits for the models of every record in force at `upto_ms` that were not waited for yet; returns status records.

    A record whose model is refused is set aside before any event is judged under it: what was in force before stays. A
    model that is not there in time is not waited for again: rules over it are shadow until it is.
    """
    notes: list[Json] = []
    for index, versions in timeline.unsettled(upto_ms):
        refused = {(n, v): why for n, v in sorted(versions) if (why := scorers.settle(n, v)) is not None}
        told = "; ".join(f"{name}@{version}: {why}" for (name, version), why in refused.items())
        notes += timeline.settled(index, told or None)
    return notes
