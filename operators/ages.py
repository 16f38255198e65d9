"""How far a stream has come: what each lane of a job knows of it by its own events, and how lanes are put together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

NEVER = -(2**63)
"""Before any event."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Times are ingest times in ms.

    `first_ms`: when the stream began, None before its first event; `seen`: events of its beginning; `clock_ms`: the
    ingest clock; `since`: by fingerprint of a feature of the base program, from when on it has been in the stream.
    """

    first_ms: int | None = None
    seen: int = 0
    clock_ms: int = NEVER
    since: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def joined(cls, lanes: Iterable["Ages"]) -> "Ages":
        """What lanes know together: the stream began with the first of them, and has come as far as the last."""
        known = list(lanes)
        since: dict[str, int] = {}
        for lane in known:
            for name, ms in lane.since.items():
                since[name] = min(ms, since.get(name, ms))
        first = min((lane.first_ms for lane in known if lane.first_ms is not None), default=None)
        seen = max((lane.seen for lane in known), default=0)
        return cls(first, seen, max((lane.clock_ms for lane in known), default=NEVER), since)

    def to_bytes(self) -> bytes:
        """JSON."""
        return orjson.dumps([self.first_ms, self.seen, self.clock_ms, dict(sorted(self.since.items()))])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ages":
        return cls(*orjson.loads(data))
