"""Flink SQL: count and sum of the last minute by one entity kind. Arguments: broker, prefix of topics."""

import sys

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

kafka, prefix = sys.argv[1:]
configuration = Configuration()
configuration.set_string("execution.checkpointing.interval", "2s")
env = StreamExecutionEnvironment.get_execution_environment(configuration)
env.set_parallelism(1)
tables = StreamTableEnvironment.create(env)
tables.execute_sql(f"""
    CREATE TABLE events (
        id STRING, `at` BIGINT, account STRING, ip STRING, device STRING, amount DOUBLE,
        seen AS TO_TIMESTAMP_LTZ(`at`, 3), WATERMARK FOR seen AS seen - INTERVAL '1' SECOND
    ) WITH (
        'connector' = 'kafka', 'topic' = '{prefix}.events', 'properties.bootstrap.servers' = '{kafka}',
        'scan.startup.mode' = 'earliest-offset', 'format' = 'json'
    )""")
tables.execute_sql(f"""
    CREATE TABLE hits (id STRING, posts BIGINT, spent DOUBLE) WITH (
        'connector' = 'kafka', 'topic' = '{prefix}.verdicts', 'properties.bootstrap.servers' = '{kafka}',
        'format' = 'json', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'sql-{prefix}',
        'properties.transaction.timeout.ms' = '600000'
    )""")
statements = tables.create_statement_set()
statements.add_insert_sql("""
    INSERT INTO hits SELECT id, posts, spent FROM (
        SELECT id, amount, COUNT(*) OVER minute_of AS posts, SUM(amount) OVER minute_of AS spent FROM events
        WINDOW minute_of AS (
            PARTITION BY account ORDER BY seen RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)
    ) WHERE amount >= 990""")
statements.attach_as_datastream()
env.execute("sql")
