"""The fuse: a rule that acts more often than its budget stops acting until a person sets its mode again.

Counted exactly, per namespace (`live`, `shadow`) and rule, on the ingest clock: a fuse with `500/1h` trips at the hit
that would be the 501st act within an hour. It stays tripped for as long as the rule's `fuse_key` is the same.
"""

from collections import deque
from dataclasses import dataclass, field

import orjson

FORMAT = 1


@dataclass(slots=True)
class _Fuse:
    acts: deque[list[int]] = field(default_factory=deque)
    """[ingest ms, how many acts], oldest first."""
    count: int = 0
    tripped: set[str] = field(default_factory=set)
    """Fuse keys that it tripped for: an event of another source may still come with an older one."""


class Fuses:
    """Budgets of rules. State by rule, so a runtime may spread rules over processes. Memory O(acts within a window)."""

    def __init__(self) -> None:
        self._fuses: dict[tuple[str, str], _Fuse] = {}

    def tripped(self, namespace: str, rule: str, fuse_key: str) -> bool:
        """Whether the rule may not act any more under this `fuse_key`."""
        fuse = self._fuses.get((namespace, rule))
        return fuse is not None and fuse_key in fuse.tripped

    def spend(self, namespace: str, rule: str, fuse_key: str, budget: tuple[int, int], ingest_ms: int) -> bool:
        """Takes one act from the budget (count, ms); False if there is none left, and then the fuse is tripped.

        Acts count whatever the key was, so setting a mode again does not double the budget of a rule that is within it;
        the key after a trip begins with a whole one. An ingest time before an earlier one (another source) counts as
        that earlier one. O(1) amortised.
        """
        fuse = self._fuses.setdefault((namespace, rule), _Fuse())
        if fuse_key in fuse.tripped:
            return False
        acts = fuse.acts
        now = max(ingest_ms, acts[-1][0]) if acts else ingest_ms
        most, window_ms = budget
        while acts and acts[0][0] <= now - window_ms:
            fuse.count -= acts.popleft()[1]
        if fuse.count >= most:
            fuse.tripped.add(fuse_key)
            fuse.acts, fuse.count = deque(), 0
            return False
        if acts and acts[-1][0] == now:
            acts[-1][1] += 1
        else:
            acts.append([now, 1])
        fuse.count += 1
        return True

    def snapshot(self) -> bytes:
        """All fuses as JSON; O(acts within a window)."""
        fuses = [
            {"namespace": namespace, "rule": rule, "tripped": sorted(fuse.tripped), "acts": list(fuse.acts)}
            for (namespace, rule), fuse in sorted(self._fuses.items())
        ]
        return orjson.dumps({"format": FORMAT, "fuses": fuses})

    def restore(self, data: bytes) -> None:
        """Takes the state of a snapshot. Raises ValueError for a format that this version does not know."""
        document = orjson.loads(data)
        if document.get("format") != FORMAT:
            raise ValueError(
                f"the state's fuses have format {document.get('format')}, this version reads {FORMAT}: "
                "use the version of watchgate that wrote them"
            )
        self._fuses = {}
        for entry in document["fuses"]:
            acts = deque(entry["acts"])
            self._fuses[entry["namespace"], entry["rule"]] = _Fuse(acts, sum(n for _, n in acts), set(entry["tripped"]))
