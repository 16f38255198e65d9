"""The Kafka tables of a job, as SQL."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.flink_job.batcher import SOURCE
from jobs.flink_job.facts import JobFacts

DATA_TOPICS = ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow", "deadletter")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a job without a savepoint begins to read: `earliest`, `latest`, or a time in ms."""

    at: str | int = "earliest"

    def options(self) -> dict[str, str]:
        if isinstance(self.at, int):
            return {"scan.startup.mode": "timestamp", "scan.startup.timestamp-millis": str(self.at)}
        return {"scan.startup.mode": f"{self.at}-offset"}


def events_table(job: JobFacts, start: Start, group: str) -> str:
    """CREATE TABLE events: records as bytes, with place and time."""
    options = _connection(job) | start.options() | {"topic": ";".join(job.events), "properties.group.id": group}
    # Flink's 5 minutes are long for a partition that was added, and for a topic that is gone.
    options["scan.topic-partition-discovery.interval"] = "10 s"
    columns = (
        "v BYTES, `topic` STRING METADATA VIRTUAL, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL, "
        # Ingest times of a partition never fall, so its last one is its watermark, which tells what can be swept.
        "`timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL, WATERMARK FOR `timestamp` AS `timestamp`"
    )
    return f"CREATE TABLE events ({columns}) WITH ({_with(options | {'value.format': 'raw'})})"


def packets_query(job: JobFacts, limit: int) -> str:
    """Batches the events: one row a packet. A record over `limit` bytes comes as its size, sum and beginning only."""
    text = "DECODE(v, 'ISO-8859-1')"  # one character a byte
    large = f"CHAR_LENGTH({text}) > {limit}"
    note = f"CONCAT_WS(' ', CAST(CHAR_LENGTH({text}) AS STRING), SHA256(v), SUBSTRING({text} FROM 1 FOR 512))"
    origin = "CAST(`partition` AS BIGINT)"
    if len(job.events) > 1:
        cases = " ".join(f"WHEN {_quoted(topic)} THEN {i}" for i, topic in enumerate(job.events))
        origin = f"{SOURCE} * CAST(CASE `topic` {cases} END AS BIGINT) + {origin}"
    arguments = f"CASE WHEN {large} THEN CAST(NULL AS BYTES) ELSE v END, CASE WHEN {large} THEN {note} END, {origin}"
    batched = f"SELECT batcher({arguments}, `offset`, `timestamp`) AS packet FROM events"
    return f"SELECT packet FROM ({batched}) WHERE packet IS NOT NULL"


def config_table(job: JobFacts, group: str) -> str:
    """CREATE TABLE config: always from its first record, so that its place needs no care."""
    options = _connection(job) | Start().options() | {"topic": job.topic("config"), "properties.group.id": group}
    # A watermark of a time to come, since config records never hold back that of the events.
    columns = (
        "v BYTES, `offset` BIGINT METADATA VIRTUAL, `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL, "
        "WATERMARK FOR `timestamp` AS `timestamp` + INTERVAL '100' YEAR(3)"
    )
    return f"CREATE TABLE config ({columns}) WITH ({_with(options | {'value.format': 'raw'})})"


CONFIG_QUERY = "SELECT `offset`, DATE_FORMAT(`timestamp`, 'yyyy-MM-dd HH:mm:ss.SSS'), v FROM config"


def records_table(name: str, job: JobFacts, group: str) -> str:
    """CREATE TABLE of lists or labels: from its first record where there is no state."""
    options = _connection(job) | Start().options() | {"topic": job.topic(name), "properties.group.id": group}
    options |= {"key.format": "raw", "key.fields": "k", "value.format": "raw", "value.fields-include": "EXCEPT_KEY"}
    columns = (
        "k BYTES, v BYTES, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL, "
        "`timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL"
    )
    return f"CREATE TABLE {name} ({columns}) WITH ({_with(options)})"


def records_query(name: str) -> str:
    """Batches lists or labels by the function `NAME_batcher`: one row a packet."""
    batched = f"SELECT {name}_batcher(k, v, `partition`, `offset`, `timestamp`) AS packet FROM {name}"
    return f"SELECT packet FROM ({batched}) WHERE packet IS NOT NULL"


def sink_table(name: str, job: JobFacts, topics: tuple[str, ...], guarantee: Mapping[str, str]) -> str:
    """CREATE TABLE of a sink. For several topics each row names its own; for one the connector has no such column."""
    options = {
        "topic": ";".join(job.topic(topic) for topic in topics),
        "key.format": "raw",
        "key.fields": "k",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
    }
    topic = "`topic` STRING METADATA, " if len(topics) > 1 else ""
    columns = f"k BYTES, v BYTES, {topic}headers MAP<STRING, BYTES> METADATA"
    return f"CREATE TABLE {name} ({columns}) WITH ({_with(_connection(job) | options | dict(guarantee))})"


def exactly_once(prefix: str, timeout_ms: int) -> dict[str, str]:
    """Options of a transactional sink. `prefix` must be its own in the whole Kafka cluster."""
    return {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": prefix,
        "sink.transaction-naming-strategy": "pooling",
        "properties.transaction.timeout.ms": str(timeout_ms),
    }


AT_LEAST_ONCE = {"sink.delivery-guarantee": "at-least-once"}


def _connection(job: JobFacts) -> dict[str, str]:
    options = {"connector": "kafka", "properties.bootstrap.servers": job.kafka}
    return options | (job.properties.flink_options() if job.properties else {})


def _with(options: Mapping[str, str]) -> str:
    return ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in options.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
