"""Who is on which list by records that come while a job runs, as of an ingest time.

A record counts for the events from its time on, a member with an end is off again for the events from that on. So
whether an event's entity was listed depends on ingest times alone, not on when the record was read, as long as it was
read before the event.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from operators.documents import Json, status

NO_END = 0
"""`until_ms` of a member that stays."""
_OFF = -1
_END = -2
"""In the queue: the end of a member, unless it was given another one since."""

Key = tuple[str, bytes]
"""A list and an entity's key."""


@dataclass(slots=True)
class Turn:
    """What changes at one moment, by list and key: whether it is on from then on."""

    at_ms: int
    lists: dict[str, dict[bytes, bool]]


def turn_lists(
    turn: Turn, mark: Callable[[str, list[bytes], list[bytes]], None], stands: Callable[[str, bytes], bool]
) -> Iterator[Json]:
    """Makes the changes of a moment by `mark` (list, on, off), and says them in a status document for each list.

    An entity that `stands` on a list anyway stays on it.
    """
    for name, keys in turn.lists.items():
        on = [key for key, is_on in keys.items() if is_on]
        off = [key for key, is_on in keys.items() if not is_on and not stands(name, key)]
        kept = len(keys) - len(on) - len(off)
        mark(name, on, off)
        message = f"list {name}: {len(on)} put on, {len(off)} taken off"
        message += f", {kept} stay because the policy's list file names them" if kept else ""
        detail: Json = {"added": len(on), "removed": len(off), "kept": kept}
        yield status("lists_changed", name, message, at_ms=turn.at_ms, detail=detail)


class Members:
    """`now` is who is on: list and key -> end (`NO_END`: none), as of the last `advance`."""

    def __init__(self) -> None:
        self.now: dict[Key, int] = {}
        self._changed: set[Key] = set()
        self._due: list[tuple[int, int, str, bytes, int]] = []
        self._count = 0

    def restore(self, now: dict[Key, int], coming: list[tuple[int, str, bytes, int]]) -> None:
        """Goes on from `now` and what `coming` gave. Only on a new object."""
        self.now = now
        for (name, key), until in now.items():
            if until != NO_END:
                self._push(until, name, key, _END)
        for at_ms, name, key, until in coming:
            self._push(at_ms, name, key, until)

    def offer(self, at_ms: int, name: str, key: bytes, until_ms: int | None, on: bool) -> None:
        """A record that counts from `at_ms` on; O(log n). `until_ms` None: it stays. Calls are in the order of records."""
        self._push(at_ms, name, key, _OFF if not on else until_ms if until_ms is not None else NO_END)

    def coming(self) -> list[tuple[int, str, bytes, int]]:
        """Records that do not count yet, in order: what `restore` takes. Ends of members are not among them."""
        return [(at, name, key, until) for at, _, name, key, until in sorted(self._due) if until != _END]

    def take_changed(self) -> list[Key]:
        """The keys that went on or off, or have another end, since the last call; in order."""
        changed, self._changed = self._changed, set()
        return sorted(changed)

    def due(self, upto_ms: int) -> list[int]:
        """The moments up to `upto_ms` at which something may change, ascending; ends included."""
        if self._first() > upto_ms:
            return []
        moments = {moment for at, _, _, _, until in self._due for moment in (at, until)}
        return sorted(moment for moment in moments if 0 < moment <= upto_ms)

    def advance(self, upto_ms: int) -> Iterator[Turn]:
        """Makes `now` that of `upto_ms`; one turn for each moment at which something changed. O(changes * log n)."""
        while self._first() <= upto_ms:
            turn = Turn(self._first(), {})
            while self._first() == turn.at_ms:
                self._apply(turn, *heapq.heappop(self._due)[2:])
            if turn.lists:
                yield turn

    def _apply(self, turn: Turn, name: str, key: bytes, until: int) -> None:
        if until == _END and self.now.get((name, key)) != turn.at_ms:
            return
        if until in (_OFF, _END) or 0 < until <= turn.at_ms:
            if self.now.pop((name, key), None) is not None:
                self._changed.add((name, key))
                turn.lists.setdefault(name, {})[key] = False
            return
        self.now[name, key] = until
        self._changed.add((name, key))
        turn.lists.setdefault(name, {})[key] = True
        if until != NO_END:
            self._push(until, name, key, _END)

    def _first(self) -> int:
        return self._due[0][0] if self._due else 2**63 - 1

    def _push(self, at_ms: int, name: str, key: bytes, until: int) -> None:
        heapq.heappush(self._due, (at_ms, self._count, name, key, until))
        self._count += 1
