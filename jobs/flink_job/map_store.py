"""Flink's MapState as a store of rows, under one key of an operator or under many."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jobs.flink_job.shards import shard_names
from operators.calibration import homes
from operators.shards import SHARDS, split


def walks_last(runtime_context: Any) -> bool:
    """Whether a walk over a map goes on after something was written to it. RocksDB's finds its place again; one over a
    map in Java's heap fails."""
    backend = runtime_context.get_keyed_state_backend()._keyed_state_backend
    name: str = backend.getClass().getSimpleName()
    return name.startswith(("RocksDB", "ForSt"))


class KeySwitch:
    """Under which key an operator reads and writes its keyed state.

    Flink sets the key of an element before it hands it over. An operator whose element concerns several shards of its
    own subtask sets the others itself, by the backend that PyFlink's state objects stand on; it may not name a key of
    another subtask.
    """

    def __init__(self, runtime_context: Any) -> None:
        from pemja import findClass  # there is one inside a TaskManager only

        self._row = findClass("org.apache.flink.types.Row")
        self._backend = runtime_context.get_keyed_state_backend()._keyed_state_backend
        self._keys: dict[str, Any] = {}
        self._current = ""

    def begin(self) -> None:
        """A new element has come, with its key."""
        self._current = ""

    def to(self, name: str) -> None:
        """From here on state is that of this key."""
        if name == self._current:
            return
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = self._row(1)
            key.setField(0, name)
        self._backend.setCurrentKey(key)
        self._current = name


class PlainMap:
    """A MapState of text to bytes without PyFlink's converters, which pickle each value: a third of what a row costs."""

    def __init__(self, state: Any) -> None:
        """`state`: PyFlink's MapState of pickled bytes, of which the values are then no pickles."""
        java = state._state
        self.get: Callable[[str], bytes | None] = java.get
        self.put_all: Callable[[dict[str, bytes]], None] = java.putAll
        self.remove: Callable[[str], None] = java.remove
        self.keys: Callable[[], Iterator[str]] = state.keys


class KeyedMap:
    """The MapState of one key, whatever key is set."""

    def __init__(self, state: Any, switch: Callable[[str], None], name: str) -> None:
        self._state = state
        self._switch = switch
        self._name = name

    def get(self, key: str) -> bytes | None:
        self._switch(self._name)
        value: bytes | None = self._state.get(key)
        return value

    def keys(self) -> list[str]:
        self._switch(self._name)
        return list(self._state.keys())

    def put_all(self, rows: Mapping[str, bytes]) -> None:
        self._switch(self._name)
        self._state.put_all(dict(rows))

    def remove(self, keys: Iterable[str]) -> None:
        self._switch(self._name)
        for key in keys:
            self._state.remove(key)


class ShardedStore:
    """The rows of one entity kind, each under the key of its shard. One call into Java for a read of a row, one for all
    writes of a shard.

    Keys of rows are Latin-1 text: Java compares byte arrays by identity.
    """

    def __init__(self, kind: str, state: Any, switch: Callable[[str], None]) -> None:
        self._names = shard_names(kind)
        self._state = state
        self._switch = switch

    def walk(self, shards: Iterable[str], lasting: bool) -> Iterator[bytes]:
        """The keys of all rows of some shards. `lasting`: see `walks_last`; else a shard's are read at once."""
        for name in shards:
            self._switch(name)
            yield from _keys(self._state, lasting)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(keys)
        get = self._state.get
        for shard, at in self._split(keys):
            self._switch(self._names[shard])
            for row in at:
                found[row] = get(keys[row].decode("latin-1"))
        return found

    def put_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for shard, at in self._split(keys):
            self._switch(self._names[shard])
            self._state.put_all({keys[row].decode("latin-1"): values[row] for row in at})

    def remove_many(self, keys: Sequence[bytes]) -> None:
        for shard, at in self._split(keys):
            self._switch(self._names[shard])
            for row in at:
                self._state.remove(keys[row].decode("latin-1"))

    def _split(self, keys: Sequence[bytes]) -> list[tuple[int, list[int]]]:
        if not len(keys):
            return []
        return [(shard, at.tolist()) for shard, at in split(homes(keys), SHARDS)]


class MapStore:
    """The rows of the key that is set."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def walk(self, lasting: bool) -> Iterator[bytes]:
        """The keys of all rows. `lasting`: see `walks_last`; else they are read at once."""
        return _keys(self.state, lasting)

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
        self.remove_many([key for key, value in changed if value is None])

    def remove_many(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.state.remove(key.decode("latin-1"))


def _keys(state: Any, lasting: bool) -> Iterator[bytes]:
    """Keys of the map of the key that is set when the first one is asked for."""
    for key in state.keys() if lasting else list(state.keys()):
        yield key.encode("latin-1")
