"""The whole job: sources, operators, sinks, and what goes from where to where."""

from typing import Any

from pyflink.common import Duration, Types, WatermarkStrategy
from pyflink.datastream import DataStream, KeyedStream, OutputTag, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.expressions import col
from pyflink.table.udf import udf

from jobs.flink_job.act import Act
from jobs.flink_job.batcher import Batcher
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.ids import Ids
from jobs.flink_job.judge import Judge
from jobs.flink_job.label_feed import Desk, Labels, labels_reader
from jobs.flink_job.list_feed import Lists, lists_reader
from jobs.flink_job.observe import Observe
from jobs.flink_job.record_batcher import RecordBatcher
from jobs.flink_job.records import BYTES, HITS, KEYED, RECORD, RECORDS, STAMPED, STATUS, WAITING
from jobs.flink_job.scatter import Scatter
from jobs.flink_job.stamp import TIMELINE, Stamp
from jobs.flink_job.tables import (
    AT_LEAST_ONCE,
    CONFIG_QUERY,
    DATA_TOPICS,
    Start,
    config_table,
    events_table,
    packets_query,
    records_query,
    records_table,
    sink_table,
)


def build(
    env: StreamExecutionEnvironment, job: JobFacts, *, start: Start, name: str, delivery: dict[str, str], limit: int
) -> None:
    """Lays the job out in `env`. `delivery`: options of the data sink; `limit`: bytes of the longest record."""
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set_local_timezone("UTC")
    tables.execute_sql(events_table(job, start, name))
    tables.execute_sql(config_table(job, name))
    tables.execute_sql(records_table("lists", job, name))
    tables.execute_sql(records_table("labels", job, name))
    tables.execute_sql(sink_table("records", job, DATA_TOPICS, delivery))
    tables.execute_sql(sink_table("status", job, ("status",), AT_LEAST_ONCE))
    batchers = {"lists_batcher": RecordBatcher(job, lists_reader), "labels_batcher": RecordBatcher(job, labels_reader)}
    for function, batcher in {"batcher": Batcher(job), **batchers}.items():
        made = udf(batcher, result_type=DataTypes.BYTES(), func_type="pandas")
        tables.create_temporary_function(function, made)
    packets = tables.to_append_stream(tables.sql_query(packets_query(job, limit)), Types.ROW([BYTES]))
    config = tables.to_append_stream(tables.sql_query(CONFIG_QUERY), Types.ROW([Types.LONG(), Types.STRING(), BYTES]))
    listed, labels = (
        idle(tables.to_append_stream(tables.sql_query(records_query(topic)), Types.ROW([BYTES])))
        for topic in ("lists", "labels")
    )

    stamped = _named(packets.connect(config.broadcast(TIMELINE)).process(Stamp(job), KEYED), "stamp")
    sighted = _named(keyed(stamped).process(Ids(job), KEYED), "ids")
    shares = _named(keyed(side(stamped, STAMPED).union(sighted)).process(Scatter(job), KEYED), "scatter")
    members = _named(listed.process(Lists(job), KEYED), "lists")
    labelled = _named(labels.process(Labels(job), KEYED), "labels")
    changes = _named(keyed(labelled).process(Desk(job), KEYED), "desk")
    answers = _named(keyed(shares.union(members, changes)).process(Observe(job), KEYED), "observe")
    verdicts = _named(keyed(side(shares, WAITING).union(answers)).process(Judge(job), RECORD), "judge")
    enforcement = _named(keyed(side(verdicts, HITS)).process(Act(job), RECORD), "act")

    sinks = tables.create_statement_set()
    records = side(shares, RECORDS).union(side(labelled, RECORDS), verdicts, enforcement)
    told = [side(stream, STATUS) for stream in (stamped, members, answers, verdicts, enforcement)]
    status = told[0].union(*told[1:])
    sinks.add_insert("records", tables.from_data_stream(records))
    sinks.add_insert("status", tables.from_data_stream(status).drop_columns(col("topic")))
    sinks.attach_as_datastream()


def keyed(stream: DataStream) -> KeyedStream:
    """(key, packet) to packets of a key. Not by `key_by`, which puts one more Python function in the way."""
    selector = get_gateway().jvm.KeyByKeySelector()
    by_key = stream._j_data_stream.keyBy(selector, Types.ROW([Types.STRING()]).get_java_type_info())
    return KeyedStream(by_key, BYTES, stream)


def side(stream: DataStream, tag: OutputTag) -> DataStream:
    """A side output. Not by `get_side_output`, which puts a Python function that does nothing in the way."""
    return DataStream(stream._j_data_stream.getSideOutput(tag.get_java_output_tag()))


def idle(stream: DataStream) -> DataStream:
    """A stream that never holds back the watermark of the events, not even before its first record."""
    strategy = WatermarkStrategy.no_watermarks().with_idleness(Duration.of_millis(1))
    return stream.assign_timestamps_and_watermarks(strategy)


def _named(stream: DataStream, stage: str) -> Any:
    return stream.name(stage).uid(stage)
