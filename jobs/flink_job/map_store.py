"""Flink's MapState as a store: rows of the current key."""

from collections.abc import Sequence
from typing import Any


class MapStore:
    """Keys are kept as Latin-1 text: Java compares byte arrays by identity. One call into Java for a read of a key, one
    for all writes."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self.state.get
        return [get(key.decode("latin-1")) for key in keys]

    def put_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        if keys:
            self.state.put_all({key.decode("latin-1"): value for key, value in zip(keys, values, strict=True)})

    def change(self, changed: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Writes rows, and deletes those that are None."""
        kept = {key.decode("latin-1"): value for key, value in changed if value is not None}
        if kept:
            self.state.put_all(kept)
        for key, value in changed:
            if value is None:
                self.state.remove(key.decode("latin-1"))
