"""Metrics of the embedded runtime for Prometheus: the names of docs/metrics.md, read from the job when they are asked for.

Nothing is counted twice: the engine's own counts are what is exported, less what the state already held at the start.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from jobs.embedded import EmbeddedJob
from operators.ages import NEVER
from schemas.mendable import MendableError

PREFIX = "watchgate_"
_COUNTS = {
    "events": ("judged", "events judged"),
    "repeated": ("repeated", "records dropped because they came before, the same id and the same bytes"),
    "late": ("late", "events too late for a window that they belong to"),
}
_LABELS = ("repeated", "corrected", "stale", "expired", "unknown", "late", "unread", "keyless")
_WHAT = {
    "hits": ({"live": "live", "shadow": "shadow"}, "verdicts of a rule"),
    "actions": ({"acted": "live", "shadow_acted": "shadow"}, "enforcement records of a rule, after cooldown and fuse"),
}


class JobMetrics(Collector):
    """A collector of the job that runs now; `follow` names the next one after an outage, and counters go on."""

    def __init__(self) -> None:
        self._job: EmbeddedJob | None = None
        self._counts: Counter[str] = Counter()
        self._rules: Counter[tuple[str, str]] = Counter()
        self._facts: Counter[tuple[str, str]] = Counter()
        self._micros: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._before: tuple[Counter[str], Counter[tuple[str, str]]] = (Counter(), Counter())

    def follow(self, job: EmbeddedJob) -> None:
        """From now on this job's numbers are added to what was counted before."""
        self._fold()
        self._job = job
        self._before = (Counter(job.engine.counts), Counter(job.engine.rules))

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus' thread: reads numbers that one thread writes, each whole."""
        job = self._job
        if job is None:
            return
        counts, rules, facts, micros, turns = self._now()
        for name, (count, text) in _COUNTS.items():
            yield _counter(name, text, (), [((), counts[count])])
        read = [(("read",), counts["labels"]), *(((what,), counts[f"labels_{what}"]) for what in _LABELS)]
        yield _counter("labels", "labels, and what became of some of them", ("outcome",), read)
        dead = [((reason,), number) for (kind, reason), number in facts.items() if kind == "dead"]
        yield _counter("dead_letters", "records that could not become events", ("reason",), dead)
        for name, (outcomes, text) in _WHAT.items():
            samples = [((rule, outcomes[what]), number) for (rule, what), number in rules.items() if what in outcomes]
            yield _counter(name, text, ("rule", "mode"), samples)
        told = [((kind,), number) for (sort, kind), number in facts.items() if sort == "status"]
        yield _counter("status", "status records", ("kind",), told)
        swept = [((kind,), facts["swept", kind]) for kind in (*job.engine.observers, "cooldowns", "labels")]
        yield _counter("swept", "rows deleted, which read as new anyway", ("kind",), swept)
        stages = [((stage,), number) for stage, number in micros.items()]
        yield _counter("stage_microseconds", "time spent in each stage", ("stage",), stages)
        yield _counter("batches", "batches judged", (), [((), turns["batches"])])
        yield _counter("checkpoints", "checkpoints that are durable", (), [((), turns["checkpoints"])])
        yield from self._gauges(job)

    def _gauges(self, job: EmbeddedJob) -> Iterator[Metric]:
        engine = job.engine
        clock = engine.clock
        epoch = engine.timeline.at(NEVER if clock is None else clock).id
        yield _gauge("batch_size", "events in the last batch", (), [((), engine.batch_size)])
        yield _gauge("epoch", "config records folded", (), [((), int(epoch.rpartition(":")[2]))])
        waits = engine.waits_for_config
        yield _gauge("config_unavailable", "1 while no config has been read", (), [((), int(waits))])
        yield _gauge("fuses_tripped", "rules whose fuse is out", (), [((), engine.fuses_tripped())])
        if clock is not None:
            yield _gauge("ingest_clock_seconds", "the ingest clock", (), [((), clock // 1000)])
        if job.topic is not None:
            lag = [((str(partition),), records) for partition, records in job.topic.lag().items()]
            yield _gauge("lag_records", "records of the input that were not read yet", ("partition",), lag)
        rows = [((kind,), job.state.estimate(f"rows:{kind}")) for kind in engine.observers]
        yield _gauge("state_rows", "entities with a row in the state, estimated", ("kind",), rows)
        cached = [((kind,), observer.cached) for kind, observer in engine.observers.items()]
        yield _gauge("cached_rows", "entities with a row in memory", ("kind",), cached)

    def _fold(self) -> None:
        if self._job is not None:
            self._counts, self._rules, self._facts, self._micros, self._turns = self._now()
            self._job = None

    def _now(
        self,
    ) -> tuple[Counter[str], Counter[tuple[str, str]], Counter[tuple[str, str]], Counter[str], Counter[str]]:
        job = self._job
        assert job is not None
        counts, rules = Counter(job.engine.counts), Counter(job.engine.rules)
        counts.subtract(self._before[0])
        rules.subtract(self._before[1])
        seconds = {**job.reader.seconds, **job.engine.seconds, "write": job.write_seconds}
        micros = Counter({stage: int(spent * 1_000_000) for stage, spent in seconds.items()})
        return (
            self._counts + counts,
            self._rules + rules,
            self._facts + job.facts,
            self._micros + micros,
            self._turns + Counter({"batches": job.engine.batches, "checkpoints": job.checkpoints_made}),
        )


class MetricsError(MendableError):
    """Metrics cannot be served; the text says why and what to do."""


@contextmanager
def served(metrics: JobMetrics, port: int | None) -> Iterator[None]:
    """Answers http://HOST:port/metrics on all addresses, in a thread, while the block runs; None: does not.

    Raises MetricsError when the port is taken.
    """
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        raise MetricsError(
            f"metrics cannot be served on port {port}: {error.strerror}. Name another one with --metrics-port."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
