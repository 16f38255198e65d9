"""What a config log is to a job, be it a file or a topic."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One record's bytes. `appended_ms`: when the broker took it; None in a file, which keeps no such time."""

    data: bytes
    appended_ms: int | None = None


class ConfigLog(Protocol):
    """Records in the order in which they were appended, without the one that names the timeline."""

    timeline: str
    offset: int
    """How far it has read: bytes of a file, the next offset of a topic."""

    def read_to_end(self) -> list[ConfigLine]:
        """Everything after `offset` that is there now."""
        ...

    def read_new(self) -> list[ConfigLine]:
        """What is new, without waiting for any."""
        ...

    def close(self) -> None: ...
