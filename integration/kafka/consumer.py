"""Reading what a job writes, from another Python service: typed records, each handled before its offset is committed.

    from integration.kafka.consumer import Consumer
    from schemas.enforcement import Enforcement

    with Consumer("127.0.0.1:9092", "shop.enforcement", Enforcement, group="account-limits") as records:
        for record in records:
            limit(record.document.target.key, until=record.document.expires_at)

Only committed records are read. A record counts as handled when the next one is asked for, or when the block ends
without an exception; its offset is committed after that, at most every second. So after a crash, or when the group
changes, the last second comes again: at least once. Repeats are dropped by ce_id among the last `remember` records of
this process, not across its restarts: what must never happen twice should be idempotent by `record.event.id`.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ValidationError

from integration.kafka.client import arguments, explained, opened
from integration.kafka.headers import CloudEvent, HeaderError, parse_headers
from integration.kafka.properties import ClientProperties

Document = TypeVar("Document", bound=BaseModel)

_POLL_MS = 500
_POLL_RECORDS = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record(Generic[Document]):
    """One record: the document, what its headers say, and where it stands."""

    document: Document
    event: CloudEvent
    key: str | None
    topic: str
    partition: int
    offset: int


class UnreadableRecord(Exception):  # noqa: N818 - it is a fact about the record
    """A record that is no document of the expected kind. Its offset is not committed: asking for the next record goes
    past it, a restart meets it again. The text names its place and never its content."""

    def __init__(self, topic: str, partition: int, offset: int, why: str) -> None:
        super().__init__(f"record {offset} of {topic}, partition {partition}, cannot be read: {why}.")
        self.topic, self.partition, self.offset = topic, partition, offset


class Consumer(Generic[Document]):
    """An iterator of records of one topic; a context manager that commits at the end. Not for several threads."""

    def __init__(
        self,
        kafka: str,
        topic: str,
        model: type[Document],
        group: str,
        *,
        properties: ClientProperties | None = None,
        start: str = "earliest",
        remember: int = 100_000,
        commit_every_s: float = 1.0,
        idle_s: float | None = None,
    ) -> None:
        """`topic` is the full name. `start` (earliest or latest) is for a group that has no offset yet. `idle_s`: end
        the iteration when nothing came for this long; None: wait for ever. Raises KafkaError."""
        from kafka import KafkaConsumer

        self._kafka = kafka
        self._model = model
        self._remember = remember
        self._commit_every_s = commit_every_s
        self._idle_s = idle_s
        self.repeated = 0
        """Records dropped because their ce_id had been seen."""
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._waiting: deque[Any] = deque()
        self._in_hand: Any = None
        self._handled: dict[tuple[str, int], int] = {}
        self._committed_at = time.monotonic()
        fixed = {"group_id": group, "isolation_level": "read_committed", "enable_auto_commit": False}
        with explained(kafka):
            settings = arguments(kafka, properties) | fixed | {"auto_offset_reset": start}
            self._client = opened(KafkaConsumer, topic, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(handled=kind is None)

    def __iter__(self) -> Iterator[Record[Document]]:
        return self

    def __next__(self) -> Record[Document]:
        """The next record; the one before it counts as handled. Raises UnreadableRecord, KafkaError."""
        self._finish_in_hand()
        idle_since = time.monotonic()
        while True:
            if time.monotonic() - self._committed_at >= self._commit_every_s:
                self._commit()
            while self._waiting:
                raw = self._in_hand = self._waiting.popleft()
                record = self._read(raw)
                if self._is_new(record.event.id):
                    return record
                self.repeated += 1
                self._finish_in_hand()
            if self._idle_s is not None and time.monotonic() - idle_since > self._idle_s:
                raise StopIteration
            with explained(self._kafka):
                polled = self._client.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            for records in polled.values():
                self._waiting.extend(records)

    def close(self, handled: bool = True) -> None:
        """Commits what was handled and leaves the group. `handled` False: the record in hand was not; it comes again.

        Raises KafkaError.
        """
        if handled:
            self._finish_in_hand()
        self._in_hand = None
        self._commit()
        self._client.close(autocommit=False)

    def _read(self, raw: Any) -> Record[Document]:
        place = (raw.topic, raw.partition, raw.offset)
        if raw.value is None:
            raise UnreadableRecord(*place, "it has no value (a tombstone)")
        try:
            event = parse_headers(raw.headers)
            document = self._model.model_validate_json(raw.value, extra="ignore")  # later versions may add keys
        except HeaderError as error:
            raise UnreadableRecord(*place, str(error)) from None
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            why = f"it is not a {self._model.__name__}: {where}: {first['type']}"
            raise UnreadableRecord(*place, why) from None
        key = raw.key.decode(errors="replace") if raw.key is not None else None
        return Record(document, event, key, *place)

    def _is_new(self, ident: str) -> bool:
        if ident in self._seen:
            return False
        self._seen[ident] = None
        if len(self._seen) > self._remember:
            self._seen.popitem(last=False)
        return True

    def _finish_in_hand(self) -> None:
        if self._in_hand is not None:
            self._handled[self._in_hand.topic, self._in_hand.partition] = self._in_hand.offset + 1
            self._in_hand = None

    def _commit(self) -> None:
        from kafka import OffsetAndMetadata, TopicPartition, errors

        self._committed_at = time.monotonic()
        ours = self._client.assignment()  # another member may have got on with a partition that was taken from us
        handled = {TopicPartition(*place): OffsetAndMetadata(after, "", -1) for place, after in self._handled.items()}
        offsets = {place: offset for place, offset in handled.items() if place in ours}
        self._handled = {}
        if not offsets:
            return
        try:
            self._client.commit(offsets)
        except (errors.CommitFailedError, errors.RebalanceInProgressError, errors.UnknownMemberIdError):
            # The group gave the partitions to another member, which starts from the last commit.
            log.warning("offsets were not committed: the group changed. The records after the last commit come again.")
