"""The memory of labels: what makes repeats and corrections of a label idempotent, and what models are fitted on later.

One record a (label, event). It is kept for as long after the event as a window can reach, 90 days at least; a label of an older event is not
counted, as it could not be told from a repeat. What comes out are changes: `old` to `new` for one event's entities.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from operators.store import Store

MOST_UNWRITTEN = 65_536
"""Labels that may wait for a checkpoint."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A label as it stands. Times in ms; `at_ms` is when windows were last told of it."""

    event_ms: int
    known_ms: int
    at_ms: int
    value: float | None
    amount: float | None
    source: str | None
    keys: dict[str, str | list[str]]


@dataclass(slots=True)
class Changes:
    """What labels change, in the order in which they became known; arrays are aligned.

    `at_ms` is when (on the ingest clock), `event_ms` the event's time, `old` and `new` the values (NaN: none), `told_ms`
    when windows were last told of `old`: a window that is younger has never counted it. `keys`: texts or lists of texts by kind.
    """

    event: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    event_ms: list[int] = field(default_factory=list)
    told_ms: list[int] = field(default_factory=list)
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    keys: list[Mapping[str, str | list[str]]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.name)

    def add(
        self, event: str, name: str, at_ms: int, label: Kept, old: float | None, new: float | None, told_ms: int
    ) -> None:
        self.event.append(event)
        self.name.append(name)
        self.at_ms.append(at_ms)
        self.event_ms.append(label.event_ms)
        self.told_ms.append(told_ms)
        self.old.append(np.nan if old is None else old)
        self.new.append(np.nan if new is None else new)
        self.keys.append(label.keys)


class LabelDesk:
    """Takes labels in the order in which they become known. Keyed by event, so it may be cut into shards."""

    def __init__(self, store: Store, memory_ms: int) -> None:
        self.memory_ms = memory_ms
        self._store = store
        self._unwritten: dict[bytes, Kept] = {}

    def take(self, labels: pl.DataFrame, kinds: Sequence[str]) -> tuple[Changes, Counter[str]]:
        """What the labels change, and how many of them were what: `labels` in all, of which `labels_repeated`,
        `labels_corrected`, `labels_stale` (older than what is known of the event) and `labels_expired`.

        `labels` has the columns of the decoder and `at_ms`, when each is counted. One look-up in the store, then Python
        for each label.
        """
        counts: Counter[str] = Counter(labels=labels.height)
        changes = Changes()
        events = labels["event_id"].to_list()
        idents = [f"{name}\0{event}".encode() for name, event in zip(labels["name"], events, strict=True)]
        known = self._known(idents)
        columns = ["name", "value", "event_ms", "known_ms", "at_ms", "amount", "source"]
        keys = labels.select(f"key:{kind}" for kind in kinds).rows()
        for event, ident, row, texts in zip(events, idents, labels.select(columns).iter_rows(), keys, strict=True):
            name, value, event_ms, known_ms, at_ms, amount, source = row
            if at_ms - event_ms > self.memory_ms:
                counts["labels_expired"] += 1
                continue
            named = {kind: key for kind, key in zip(kinds, texts, strict=True) if key is not None}
            before = known.get(ident)
            if before is not None and at_ms - before.event_ms > self.memory_ms:
                before = None
            if before is not None and known_ms < before.known_ms:
                counts["labels_stale"] += 1
                continue
            moved = before is not None and (before.event_ms, before.keys) != (event_ms, named)
            label = Kept(event_ms, known_ms, at_ms, value, amount, source, named)
            known[ident] = self._unwritten[ident] = label
            if before is not None:
                same = not moved and before.value == value
                counts["labels_repeated" if same else "labels_corrected"] += 1
            if moved and before is not None:
                changes.add(event, name, at_ms, before, before.value, None, before.at_ms)
                before = None
            # A repeat changes nothing, but where the entity was not known before it is counted now.
            old, told_ms = (None, at_ms) if before is None else (before.value, before.at_ms)
            changes.add(event, name, at_ms, label, old, value, told_ms)
        return changes, counts

    def _known(self, idents: list[bytes]) -> dict[bytes, Kept]:
        wanted = list(dict.fromkeys(idents))
        found = {ident: self._unwritten[ident] for ident in wanted if ident in self._unwritten}
        asked = [ident for ident in wanted if ident not in found]
        for ident, stored in zip(asked, self._store.get_many(asked), strict=True):
            if stored is not None:
                found[ident] = read_label(stored)
        return found

    @property
    def needs_flush(self) -> bool:
        """True when many labels wait to be written."""
        return len(self._unwritten) > MOST_UNWRITTEN

    def take_dirty(self) -> tuple[list[bytes], list[bytes | None]]:
        """Keys and values of the labels that changed since the last call."""
        keys = list(self._unwritten)
        values: list[bytes | None] = [_written(label) for label in self._unwritten.values()]
        self._unwritten = {}
        return keys, values

    def expired(self, values: Sequence[bytes], now_ms: int) -> npt.NDArray[np.bool_]:
        """Which stored labels can be deleted."""
        return np.array([now_ms - read_label(value).event_ms > self.memory_ms for value in values], np.bool_)


def read_label(stored: bytes) -> Kept:
    """A label from the form in which it is stored."""
    return Kept(*orjson.loads(stored))


def _written(label: Kept) -> bytes:
    return orjson.dumps(
        [label.event_ms, label.known_ms, label.at_ms, label.value, label.amount, label.source, label.keys]
    )
