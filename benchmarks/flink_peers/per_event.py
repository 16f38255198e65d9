"""The usual PyFlink job, an event at a time, in thread mode: three features of one entity kind. Arguments: broker,
prefix of topics."""

import json
import sys

from pyflink.common import Configuration, SimpleStringSchema, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

PANES = 12
WINDOWS = {"events_1m": 60_000, "amount_1h": 3_600_000, "ips_1d": 86_400_000}
MOST = 16


class Velocity(KeyedProcessFunction):
    """Pane counts and sums, and the newest values of a distinct count, as one pickled state of a key."""

    def open(self, runtime_context):
        self.state = runtime_context.get_state(ValueStateDescriptor("entity", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, event, ctx):
        at = event["at"]
        state = self.state.value() or {"events_1m": {}, "amount_1h": {}, "ips": {}}
        for name, add in (("events_1m", 1), ("amount_1h", round(event["amount"] * 100))):
            pane, panes = at // (WINDOWS[name] // PANES), state[name]
            panes[pane] = panes.get(pane, 0) + add
            for old in [old for old in panes if old < pane - PANES]:
                del panes[old]
        ips = state["ips"]
        ips[event["ip"]] = at
        for old in [ip for ip, seen in ips.items() if seen <= at - WINDOWS["ips_1d"]]:
            del ips[old]
        if len(ips) > MOST:
            del ips[min(ips, key=ips.get)]
        self.state.update(state)
        events, amount = sum(state["events_1m"].values()), sum(state["amount_1h"].values()) / 100
        if event["amount"] >= 995 and (amount >= 3_000 or len(ips) < 3 or events >= 40):
            yield json.dumps({"id": event["id"], "account": event["account"], "events_1m": events, "amount_1h": amount})


kafka, prefix = sys.argv[1:]
configuration = Configuration()
configuration.set_string("python.execution-mode", "thread")
configuration.set_string("execution.checkpointing.interval", "2s")
env = StreamExecutionEnvironment.get_execution_environment(configuration)
env.set_parallelism(1)
source = (
    KafkaSource.builder()
    .set_bootstrap_servers(kafka)
    .set_topics(f"{prefix}.events")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_value_only_deserializer(SimpleStringSchema())
    .build()
)
sink = (
    KafkaSink.builder()
    .set_bootstrap_servers(kafka)
    .set_delivery_guarantee(DeliveryGuarantee.EXACTLY_ONCE)
    .set_transactional_id_prefix(f"pyflink-{prefix}")
    .set_property("transaction.timeout.ms", "600000")
    .set_record_serializer(
        KafkaRecordSerializationSchema.builder()
        .set_topic(f"{prefix}.verdicts")
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    .build()
)
(
    env.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    .map(json.loads)
    .key_by(lambda event: event["account"], key_type=Types.STRING())
    .process(Velocity(), output_type=Types.STRING())
    .name("velocity")
    .uid("velocity")
    .sink_to(sink)
)
env.execute("pyflink")
