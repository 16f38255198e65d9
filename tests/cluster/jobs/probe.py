"""A small job of the kind that Watchgate's is: Kafka to Kafka with transactions, Python inside the TaskManager's JVM.

Arguments: source topic, sink topic, then options of the connector as KEY=VALUE.
"""

import sys

from pyflink.common import Configuration, Types
from pyflink.datastream import ProcessFunction, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

source, sink, *options = sys.argv[1:]
connection = ", ".join("'{}'='{}'".format(*option.replace("'", "''").split("=", 1)) for option in options)
bytes_type = Types.PRIMITIVE_ARRAY(Types.BYTE())


class Seen(ProcessFunction):  # type: ignore[misc]
    def process_element(self, row, ctx):  # type: ignore[no-untyped-def]
        import polars  # from this environment's packages

        from schemas.times import iso  # and from the project

        yield b"%b polars%b %b" % (bytes(row[0]), polars.__version__.encode()[:1], iso(0).encode())


configuration = Configuration()
configuration.set_string("python.execution-mode", "thread")
configuration.set_string("execution.checkpointing.interval", "1s")
env = StreamExecutionEnvironment.get_execution_environment(configuration)
env.set_parallelism(2)  # on both TaskManagers: a second job meets JVMs that have had Python in them
tables = StreamTableEnvironment.create(env)
tables.execute_sql(
    f"CREATE TABLE source (v BYTES) WITH ('connector'='kafka', 'topic'='{source}', 'value.format'='raw', "
    f"'scan.startup.mode'='earliest-offset', 'scan.bounded.mode'='latest-offset', {connection})"
)
tables.execute_sql(
    f"CREATE TABLE sink (v BYTES) WITH ('connector'='kafka', 'topic'='{sink}', 'value.format'='raw', "
    "'sink.delivery-guarantee'='exactly-once', 'sink.transactional-id-prefix'='probe', "
    f"'sink.transaction-naming-strategy'='pooling', 'properties.transaction.timeout.ms'='60000', {connection})"
)
stream = tables.to_append_stream(tables.sql_query("SELECT v FROM source"), Types.ROW([bytes_type]))
seen = stream.process(Seen(), output_type=bytes_type).uid("seen")
statements = tables.create_statement_set()
statements.add_insert("sink", tables.from_data_stream(seen))
statements.attach_as_datastream()
env.execute("probe")
