"""The metrics of a run: the names of docs/metrics.md, with the numbers of the table at its end."""

import socket
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from jobs.cli.programs import compile_document, load_program
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan, Summary
from jobs.metrics import JobMetrics, served
from tests.deploy.test_dashboard import documented
from tests.e2e.conftest import Done, Shop, crowd, spoiled, write_lines

Samples = dict[tuple[str, tuple[str, ...]], float]


def run(shop: Shop, metrics: JobMetrics, config: str | None = None) -> tuple[Summary, Samples]:
    plan = JobPlan(
        program=load_program(shop.policy),
        compile_policy=compile_document,
        source=str(shop.folder / "events.jsonl"),
        output=str(shop.folder / "out"),
        state=shop.folder / "state",
        lists=shop.folder,
        batch_size=50,
        config=config,
    )
    job = EmbeddedJob(plan)
    metrics.follow(job)
    try:
        return job.run(), samples(metrics)
    finally:
        job.close()


def samples(metrics: JobMetrics) -> Samples:
    registry = CollectorRegistry()
    registry.register(metrics)
    return {
        (sample.name.removeprefix("watchgate_"), tuple(sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def total(found: Samples, name: str, *labels: str) -> float:
    return sum(value for (n, given), value in found.items() if n == name and set(labels) <= set(given))


def test_counts_are_those_of_the_run_and_go_on_with_the_next_job(shop: Shop) -> None:
    events = crowd(400)
    write_lines(shop.folder / "events.jsonl", spoiled(events[:200]))
    metrics = JobMetrics()
    assert samples(metrics) == {}
    summary, found = run(shop, metrics)
    assert found["events_total", ()] == summary.counts["judged"] > 100
    assert total(found, "dead_letters_total") == summary.counts["dead"] > 0
    assert total(found, "dead_letters_total", "broken_json") > 0
    assert found["repeated_total", ()] == summary.counts["repeated"] > 0
    for rule in ("burst", "copied"):
        for mode in ("live", "shadow"):
            assert total(found, "hits_total", rule, mode) == summary.rules.get((rule, mode), 0)
        assert total(found, "actions_total", rule, "live") == summary.rules.get((rule, "acted"), 0)
    assert found["batches_total", ()] >= 4 and found["checkpoints_total", ()] >= 1
    assert total(found, "stage_microseconds_total", "judge") > 0
    assert total(found, "state_rows", "account") > 0 and total(found, "cached_rows", "account") > 0
    assert found["epoch", ()] == 0 and found["config_unavailable", ()] == 0

    # The next job on the same state, as after an outage: nothing is counted twice.
    write_lines(shop.folder / "events.jsonl", [*spoiled(events[:200]), *events[200:]])
    after, found = run(shop, metrics)
    assert found["events_total", ()] == after.counts["judged"] > summary.counts["judged"]


def test_every_name_of_the_page_is_there_and_no_other(shop: Shop) -> None:
    write_lines(shop.folder / "events.jsonl", spoiled(crowd(300)))
    metrics = JobMetrics()
    _, found = run(shop, metrics)
    names = {name for name, _ in found}
    assert names == set(documented()) - {"lag_records"}  # of topics only


def test_they_are_served_while_the_block_runs(shop: Shop) -> None:
    write_lines(shop.folder / "events.jsonl", crowd(50))
    metrics = JobMetrics()
    run(shop, metrics)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(metrics, port), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"watchgate_events", "watchgate_ingest_clock_seconds"} <= families


def test_a_port_that_is_taken(shop: Shop, watchgate: Callable[..., Done]) -> None:
    write_lines(shop.folder / "events.jsonl", crowd(10))
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = shop.run(shop.folder / "events.jsonl", "out", "--metrics-port", port, ends=2)
    assert done.err.strip().endswith(
        f"error: metrics cannot be served on port {port}: Address already in use. Name another one with --metrics-port."
    )
