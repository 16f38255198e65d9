"""Documents as rows of the Kafka tables: key, value and headers."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pyflink.common import Row, Types
from pyflink.datastream import OutputTag

from integration.kafka.headers import headers, record_key
from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.meters import Meters
from operators.documents import Json

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
KEYED = Types.ROW([Types.STRING(), BYTES])
"""(key, packet): what `topology.keyed` takes."""
RECORD = Types.ROW_NAMED(
    ["k", "v", "topic", "headers"], [BYTES, BYTES, Types.STRING(), Types.MAP(Types.STRING(), BYTES)]
)

RECORDS = OutputTag("records", RECORD)
STATUS = OutputTag("status", RECORD)
STAMPED = OutputTag("stamped", KEYED)
WAITING = OutputTag("waiting", KEYED)
HITS = OutputTag("hits", KEYED)


def key_of(context: Any) -> str:
    """The key of the element at hand: what stood before its packet."""
    key: str = context.get_current_key()
    return key


def rows(job: JobFacts, policy: str, topic: str, documents: Iterable[Json]) -> Iterator[Any]:
    """A row for each document. `topic` is its name without prefix."""
    written_ms = int(time.time() * 1000)
    full = job.topic(topic)
    for document in documents:
        body = orjson.dumps(document)
        yield Row(record_key(topic, document), body, full, headers(topic, document, body, policy, written_ms))


def status_rows(job: JobFacts, policy: str, here: Subtask, meters: Meters, documents: Iterable[Json]) -> Iterator[Any]:
    """Rows of status documents, which say who writes them, for the side output; counted by kind."""
    documents = list(documents)
    for kind, number in Counter(str(document["kind"]) for document in documents).items():
        meters.count("status_total", number, kind=kind)
    for row in rows(
        job, policy, "status", (document | {"subtask": here.index, "of": here.of} for document in documents)
    ):
        yield STATUS, row
