"""What the stages and runtimes need of a state store; runtimes bring their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Store(Protocol):
    """Rows by key. Reads see what was written before."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The stored value of each key, None where there is none; O(keys), one call into the store."""
        ...

    def put_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Writes all pairs in one call."""
        ...


@dataclass(slots=True)
class Changes:
    """What one checkpoint writes, all or nothing: rows by family (None deletes a row), and named documents."""

    rows: dict[str, tuple[list[bytes], list[bytes | None]]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)


class State(Protocol):
    """Everything a job remembers: families of rows, and documents by name."""

    def family(self, name: str) -> Store: ...

    def scan(self, name: str, after: bytes, most: int) -> Iterator[tuple[bytes, bytes]]:
        """Up to `most` rows of a family in key order, from the first key above `after`."""
        ...

    def document(self, name: str) -> bytes | None: ...

    def estimate(self, name: str) -> int:
        """About how many rows a family has."""
        ...

    def commit(self, changes: Changes) -> None:
        """Writes all of it or nothing, and returns when it is on the disk."""
        ...

    def close(self) -> None: ...


class DictStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return list(map(self.rows.get, keys))

    def put_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        self.rows.update(zip(keys, values, strict=True))


class MemoryState:
    """A state that ends with the process: for `features`, `rules test`, `rules explain`."""

    def __init__(self) -> None:
        self.families: dict[str, DictStore] = {}
        self.documents: dict[str, bytes] = {}

    def family(self, name: str) -> DictStore:
        return self.families.setdefault(name, DictStore())

    def scan(self, name: str, after: bytes, most: int) -> Iterator[tuple[bytes, bytes]]:
        rows = self.family(name).rows
        return iter([(key, rows[key]) for key in sorted(k for k in rows if k > after)[:most]])

    def document(self, name: str) -> bytes | None:
        return self.documents.get(name)

    def estimate(self, name: str) -> int:
        return len(self.family(name).rows)

    def commit(self, changes: Changes) -> None:
        for name, (keys, values) in changes.rows.items():
            rows = self.family(name).rows
            for key, value in zip(keys, values, strict=True):
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        self.documents.update(changes.documents)

    def close(self) -> None:
        pass
