import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * The work of benchmarks/policy.yaml by hand: nine features of three entity kinds in sawtooth panes, three rules, a
 * verdict as JSON for what fires. No cooldowns, no modes that change, no dead letters, no repeats. Arguments: broker,
 * prefix of topics.
 */
public class Job {
    static final int PANES = 12;
    static final int CAP = 16;
    static final long MINUTE = 60_000L, HOUR = 3_600_000L, DAY = 86_400_000L;

    public static class Event {
        public String id, account, ip, device;
        public long at;
        public long cents;
        public double accountEvents, accountAmount, accountIps;
        public double ipEvents, ipMean, ipAccounts;
        public double deviceEvents, deviceAmount, deviceAccounts;

        public Event() {}
    }

    /** A record's bytes to an event. */
    static class Decode extends RichFlatMapFunction<byte[], Event> {
        private transient ObjectMapper mapper;

        @Override
        public void open(OpenContext context) {
            mapper = new ObjectMapper();
        }

        @Override
        public void flatMap(byte[] record, Collector<Event> out) throws Exception {
            JsonNode node = mapper.readTree(record);
            Event event = new Event();
            event.id = node.get("id").asText();
            event.at = node.get("at").asLong();
            event.account = node.get("account").asText();
            event.ip = node.get("ip").asText();
            event.device = node.get("device").asText();
            event.cents = Math.round(node.get("amount").asDouble() * 100);
            out.collect(event);
        }
    }

    /** A ring of panes at `base` of a packed row: the newest pane's number, then a long for each pane. */
    static long ring(ByteBuffer row, int base, long over, long at, long add) {
        long pane = at / (over / PANES), newest = row.getLong(base);
        if (pane > newest) {
            for (long p = Math.max(newest + 1, pane - PANES); p <= pane; p++) {
                row.putLong(base + 8 + (int) (p % (PANES + 1)) * 8, 0L);
            }
            row.putLong(base, pane);
            newest = pane;
        }
        if (pane < newest - PANES) {
            return 0;
        }
        int place = base + 8 + (int) (pane % (PANES + 1)) * 8;
        row.putLong(place, row.getLong(place) + add);
        long sum = 0;
        for (long p = newest - PANES; p <= pane; p++) {
            if (p >= 0) {
                sum += row.getLong(base + 8 + (int) (p % (PANES + 1)) * 8);
            }
        }
        return sum;
    }

    static final int RING = 8 + (PANES + 1) * 8;

    /** The newest CAP values at `base` of a packed row, each a hash and when it was last seen. */
    static int distinct(ByteBuffer row, int base, long over, long at, String value) {
        long hash = hash(value);
        int oldest = base, live = 0;
        boolean known = false;
        for (int i = 0; i < CAP; i++) {
            int place = base + i * 16;
            long seen = row.getLong(place + 8);
            if (seen != 0 && row.getLong(place) == hash) {
                row.putLong(place + 8, Math.max(seen, at));
                seen = Math.max(seen, at);
                known = true;
            }
            if (seen > at - over) {
                live++;
            }
            if (row.getLong(place + 8) < row.getLong(oldest + 8)) {
                oldest = place;
            }
        }
        if (!known) {
            boolean expired = row.getLong(oldest + 8) <= at - over;
            row.putLong(oldest, hash);
            row.putLong(oldest + 8, at);
            live += expired ? 1 : 0;
        }
        return live;
    }

    static long hash(String text) {
        long hash = 0xcbf29ce484222325L;
        for (int i = 0; i < text.length(); i++) {
            hash = (hash ^ text.charAt(i)) * 0x100000001b3L;
        }
        return hash;
    }

    /** One entity kind: 0 account, 1 ip, 2 device. The state of a key is one packed row. */
    static class Velocity extends KeyedProcessFunction<String, Event, Event> {
        private final int kind;
        private transient ValueState<byte[]> state;

        Velocity(int kind) {
            this.kind = kind;
        }

        @Override
        public void open(OpenContext context) {
            state = getRuntimeContext().getState(
                new ValueStateDescriptor<>("row", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        }

        @Override
        public void processElement(Event event, Context context, Collector<Event> out) throws Exception {
            byte[] bytes = state.value();
            if (bytes == null) {
                bytes = new byte[3 * RING + CAP * 16];
            }
            ByteBuffer row = ByteBuffer.wrap(bytes);
            int table = 3 * RING;
            if (kind == 0) {
                event.accountEvents = ring(row, 0, MINUTE, event.at, 1);
                event.accountAmount = ring(row, RING, HOUR, event.at, event.cents) / 100.0;
                event.accountIps = distinct(row, table, DAY, event.at, event.ip);
            } else if (kind == 1) {
                event.ipEvents = ring(row, 0, 10 * MINUTE, event.at, 1);
                long sum = ring(row, RING, DAY, event.at, event.cents);
                event.ipMean = sum / 100.0 / ring(row, 2 * RING, DAY, event.at, 1);
                event.ipAccounts = distinct(row, table, HOUR, event.at, event.account);
            } else {
                event.deviceEvents = ring(row, 0, HOUR, event.at, 1);
                event.deviceAmount = ring(row, RING, DAY, event.at, event.cents) / 100.0;
                event.deviceAccounts = distinct(row, table, DAY, event.at, event.account);
            }
            state.update(bytes);
            out.collect(event);
        }
    }

    /** The three rules; a verdict for an event on which one fires. */
    static class Rules extends RichFlatMapFunction<Event, byte[]> {
        private transient ObjectMapper mapper;

        @Override
        public void open(OpenContext context) {
            mapper = new ObjectMapper();
        }

        @Override
        public void flatMap(Event e, Collector<byte[]> out) throws Exception {
            double amount = e.cents / 100.0;
            List<String> fired = new ArrayList<>(0);
            if (amount >= 995 && (e.accountAmount >= 3000 || e.accountIps < 3 || e.accountEvents >= 40)) {
                fired.add("large");
            }
            if (amount < 3 && (e.ipAccounts >= 6 || e.ipEvents < 3 || e.ipMean < 400)) {
                fired.add("probing");
            }
            if (amount >= 500 && amount <= 503
                && (e.deviceAccounts >= 4 || e.deviceEvents < 3 || e.deviceAmount < 1200)) {
                fired.add("round_trip");
            }
            if (fired.isEmpty()) {
                return;
            }
            ObjectNode verdict = mapper.createObjectNode();
            verdict.put("event_id", e.id).put("event_time", e.at).put("amount", amount);
            fired.forEach(verdict.putArray("rules")::add);
            ObjectNode features = verdict.putObject("features");
            features.put("account_events_1m", e.accountEvents).put("account_amount_1h", e.accountAmount);
            features.put("account_ips_1d", e.accountIps).put("ip_events_10m", e.ipEvents);
            features.put("ip_amount_mean_1d", e.ipMean).put("ip_accounts_1h", e.ipAccounts);
            features.put("device_events_1h", e.deviceEvents).put("device_amount_1d", e.deviceAmount);
            features.put("device_accounts_1d", e.deviceAccounts);
            out.collect(mapper.writeValueAsString(verdict).getBytes(StandardCharsets.UTF_8));
        }
    }

    static class Bytes implements SerializationSchema<byte[]> {
        @Override
        public byte[] serialize(byte[] record) {
            return record;
        }
    }

    static class Records extends AbstractDeserializationSchema<byte[]> {
        @Override
        public byte[] deserialize(byte[] record) {
            return record;
        }
    }

    public static void main(String[] arguments) throws Exception {
        String kafka = arguments[0], prefix = arguments[1];
        Configuration configuration = new Configuration();
        configuration.setString("execution.checkpointing.interval", "2s");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        env.setParallelism(1);
        env.getConfig().enableObjectReuse();
        KafkaSource<byte[]> source = KafkaSource.<byte[]>builder()
            .setBootstrapServers(kafka)
            .setTopics(prefix + ".events")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new Records())
            .build();
        KafkaSink<byte[]> sink = KafkaSink.<byte[]>builder()
            .setBootstrapServers(kafka)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix("java-" + prefix)
            .setProperty("transaction.timeout.ms", "600000")
            .setRecordSerializer(KafkaRecordSerializationSchema.<byte[]>builder()
                .setTopic(prefix + ".verdicts").setValueSerializationSchema(new Bytes()).build())
            .build();
        SingleOutputStreamOperator<Event> events =
            env.fromSource(source, WatermarkStrategy.noWatermarks(), "events").flatMap(new Decode()).name("decode");
        events.keyBy(e -> e.account).process(new Velocity(0)).name("account").uid("account")
            .keyBy(e -> e.ip).process(new Velocity(1)).name("ip").uid("ip")
            .keyBy(e -> e.device).process(new Velocity(2)).name("device").uid("device")
            .flatMap(new Rules()).name("rules")
            .returns(PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO)
            .sinkTo(sink);
        env.execute("java");
    }
}
