"""Flink's settings for a job: those that it must have, and better defaults than Flink's."""

from collections.abc import Mapping
from pathlib import Path

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from jobs.flink_job.shards import MAX_PARALLELISM

_BATCH = 16_384
"""Rows of a batch at most. Below that the time of a bundle decides: an event waits for up to twice as long."""
_BUNDLE_MS = {"exactly-once": 200, "at-least-once": 60}
"""Larger batches cost less, and where output waits for a checkpoint nobody sees that it waits for its batch as well."""
_CHECKPOINT_MS = {"exactly-once": 2_000, "at-least-once": 30_000}
"""How often, unless it is said: what exactly-once delivery waits for. All else waits for as long as one is taken."""

REQUIRED = {
    "python.execution-mode": "thread",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "execution.checkpointing.unaligned.enabled": "false",
    "pipeline.max-parallelism": str(MAX_PARALLELISM),
    "table.local-time-zone": "UTC",
}
DEFAULTS = {
    "python.fn-execution.arrow.batch.size": str(_BATCH),
    # With equal sizes the source waits while a bundle is worked on.
    "python.fn-execution.bundle.size": str(4 * _BATCH),
    "execution.buffer-timeout.interval": "5 ms",
    # So that a job that fails can be cancelled and go on.
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    # Flink's own would let a job that was restarted ten times within an hour wait for a minute, and events with it.
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.max-backoff": "10 s",
    "restart-strategy.exponential-delay.reset-backoff-threshold": "10 min",
    # Watermarks only tell what can be swept. A partition without records does not hold them back for longer.
    "pipeline.auto-watermark-interval": "1 s",
    "table.exec.source.idle-timeout": "1 min",
}


def settings_of(env: StreamExecutionEnvironment) -> dict[str, str]:
    """What is in effect: the cluster's configuration with -D options of `flink run`."""
    found: dict[str, str] = dict(env._j_stream_execution_environment.getConfiguration().toMap())
    return found


def connector_in_lib() -> bool:
    """Whether this Flink has the Kafka connector in its lib folder, as our image does; then the job need not bring it."""
    loader = get_gateway().jvm.java.lang.ClassLoader.getSystemClassLoader()
    return loader.getResource("org/apache/flink/connector/kafka/source/KafkaSource.class") is not None


def configure(
    env: StreamExecutionEnvironment,
    given: Mapping[str, str],
    delivery: str,
    checkpoint_ms: int | None,
    parallelism: int | None,
    jar: Path | None,
    parameters: Mapping[str, str],
) -> None:
    """Sets what a job must have, and what nobody has set (`given`). `parameters`: what it tells of itself on the web page
    and to `watchgate submit`, beside those of the cluster's configuration."""
    configuration = Configuration()
    defaults = DEFAULTS | {"python.fn-execution.bundle.time": str(_BUNDLE_MS[delivery])}
    interval = _CHECKPOINT_MS[delivery] if checkpoint_ms is None else checkpoint_ms
    for key, value in (defaults | REQUIRED | {"execution.checkpointing.interval": f"{interval} ms"}).items():
        if key not in given or key not in defaults:
            configuration.set_string(key, value)
    env.configure(configuration)
    told: dict[str, str] = dict(env._j_stream_execution_environment.getConfig().getGlobalJobParameters().toMap())
    env.get_config().set_global_job_parameters({**told, **parameters})
    if jar is not None:
        # Not pipeline.jars, which would take flink-python out of a job that is submitted.
        env.add_jars(jar.absolute().as_uri())
    if parallelism is not None:
        env.set_parallelism(parallelism)
