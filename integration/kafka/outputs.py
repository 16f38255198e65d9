"""The six output topics of the embedded runtime: one transaction a checkpoint.

The transaction carries the records, the offsets of the input (for whoever looks at the group's lag), and a marker: the
number of the checkpoint, as the group's offset and metadata on partition 0 of the status topic. Whether a transaction
whose end was not seen was committed is read from the marker.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from integration.kafka.address import KafkaPlace
from integration.kafka.client import admin_client, arguments, explained, opened
from integration.kafka.existing import existing_topics
from integration.kafka.headers import as_pairs, headers, record_key
from integration.kafka.properties import ClientProperties
from integration.kafka.topics import OUTPUTS, topic_name
from operators.documents import status

_OVERHEAD = 512
"""Bytes of a record beside key, value and headers, and of the batch around it, amply."""
_TIMEOUT_MS = 60_000
"""Consumers of committed records wait for so long at most when a job dies with a transaction open."""
_CLOSE_S = 2
_UNSENT_BYTES = 32 << 20
"""kafka-python keeps everything that is not sent yet: it is waited for beyond this."""


class TransactionalOutputs:
    """Writes documents into an open transaction; `commit` ends it. `ident` names the transactions and the group: it is
    the state's for ever, so that a run that takes the state up settles what the one before it left open.

    Raises KafkaError; a run that meets one ends without tidying up, and the next one settles it.
    """

    def __init__(
        self,
        place: KafkaPlace,
        ident: str,
        policy: str,
        properties: ClientProperties | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        from kafka import KafkaProducer

        self.place = place
        self._ident = ident
        self._policy = policy
        self._properties = properties
        self._wall = wall
        self._topics = {spec.name: topic_name(place.name, spec.name) for spec in OUTPUTS}
        specs = {topic_name(place.name, spec.name): spec for spec in OUTPUTS}
        self.cluster = existing_topics(place.brokers, specs, properties).cluster
        self._most = _sizes(place.brokers, list(specs), properties)
        self._open = False
        self._unsent = 0
        with explained(place.brokers):
            self._producer = KafkaProducer(
                **arguments(place.brokers, properties)
                | {"acks": "all", "transactional_id": ident, "transaction_timeout_ms": _TIMEOUT_MS, "linger_ms": 20}
                | {"batch_size": 131_072, "max_request_size": max(self._most.values()) + 65_536}
            )
            self._producer.init_transactions()

    def marker(self) -> int | None:
        """The number of the last checkpoint whose transaction was committed; None when there is none, or none any more.

        The broker forgets it when the group has been idle for offsets.retention.minutes.
        """
        from kafka import KafkaConsumer

        settings = {"group_id": self._ident, "isolation_level": "read_committed", "enable_auto_commit": False}
        with explained(self.place.brokers):
            client = opened(KafkaConsumer, **arguments(self.place.brokers, self._properties) | settings)
            try:
                found = client.committed(self._marker, metadata=True)
            finally:
                client.close(autocommit=False)
        return None if found is None else int(found.metadata)

    def write(self, topic: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """Sends documents to the topic of that name, without waiting for the broker; about 20 us a record."""
        if not documents:
            return
        with explained(self.place.brokers):
            self._begin()
            for document in documents:
                self._send(topic, document)

    def commit(self, number: int, offsets: Mapping[tuple[str, int], int]) -> None:
        """Ends the transaction with the marker `number` and the input's offsets by (topic, partition).

        Returns when it is committed. After an exception it is open, aborted or committed: `marker` of a new object
        tells.
        """
        from kafka import OffsetAndMetadata, TopicPartition

        marks = {
            TopicPartition(*place): OffsetAndMetadata(offset, str(number), -1) for place, offset in offsets.items()
        }
        marks[self._marker] = OffsetAndMetadata(number, str(number), -1)
        with explained(self.place.brokers):
            self._begin()
            self._producer.flush()
            self._producer.send_offsets_to_transaction(marks, self._ident)
            self._producer.commit_transaction()
        self._open, self._unsent = False, 0

    def close(self) -> None:
        """Leaves an open transaction to the next run of this state, or to its timeout."""
        from kafka import errors

        with suppress(errors.KafkaError):
            self._producer.close(timeout=_CLOSE_S)

    @property
    def _marker(self) -> Any:
        from kafka import TopicPartition

        return TopicPartition(self._topics["status"], 0)

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _send(self, topic: str, document: Mapping[str, Any]) -> None:
        body = orjson.dumps(document)
        found = headers(topic, document, body, self._policy, int(self._wall() * 1000))
        key = record_key(topic, document)
        size = len(body) + len(key) + sum(len(name) + len(value) for name, value in found.items()) + _OVERHEAD
        if size > self._most[topic]:
            self._refuse(topic, document, size)
            return
        self._producer.send(self._topics[topic], key=key, value=body, headers=as_pairs(found))
        self._unsent += size
        if self._unsent > _UNSENT_BYTES:
            self._producer.flush()
            self._unsent = 0

    def _refuse(self, topic: str, document: Mapping[str, Any], size: int) -> None:
        """A record that the broker would not take would stop the job for ever: without `include` it may fit."""
        fits = bool(document.get("include"))
        what = "was written without its include" if fits else "was not written"
        message = (
            f"a record of {topic} has {size:,} bytes, and the topic takes {self._most[topic]:,}: it {what}. Raise the "
            "topic's max.message.bytes, or include fewer fields"
        )
        detail = {"topic": topic, "ce_id": document.get("ce_id"), "bytes": size, "limit": self._most[topic]}
        self._send(
            "status", status("record_cut" if fits else "record_refused", topic, message, at_ms=None, detail=detail)
        )
        if fits:
            self._send(topic, {**document, "include": {}})


def _sizes(kafka: str, topics: list[str], properties: ClientProperties | None) -> dict[str, int]:
    """By topic without prefix: the largest record that it takes."""
    from kafka.admin import ConfigResource, ConfigResourceType

    with admin_client(kafka, properties) as admin:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        found = admin.describe_configs(resources, config_filter="all")["topic"]
    names = [spec.name for spec in OUTPUTS]
    return {
        name: int(found[topic].get("max.message.bytes", {}).get("value") or 1_000_000)
        for name, topic in zip(names, topics, strict=True)
    }
