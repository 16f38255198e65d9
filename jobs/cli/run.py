"""watchgate run: the embedded runtime, on files and on Kafka."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import orjson
import structlog
import typer

from integration.kafka.address import is_kafka, kafka_place
from integration.kafka.inputs import refuse_own_topics
from integration.logs import configure_logs
from integration.pii_key import read_pii_key
from jobs.cli.kafka_options import Properties, load_properties
from jobs.cli.progress import show_progress
from jobs.cli.shared import CommandError, RegistryOption, mendable, parse_size
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan
from jobs.metrics import JobMetrics, served
from jobs.outages import run_through_outages
from jobs.policies import Policies
from jobs.report import summary_text
from schemas.duration import parse_duration

EXAMPLE = "Example: `watchgate run policy.yaml --input events.jsonl --output verdicts/ --config modes.jsonl`"

log = structlog.get_logger("watchgate")


def command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    input: Annotated[
        str,
        typer.Option(
            help="Events: .jsonl, .jsonl.gz, .csv, .parquet, a folder of them (merged by time), - for standard input, or kafka://HOST:PORT/TOPIC."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            help="Folder for verdicts, enforcement, dead letters and status, or kafka://HOST:PORT/PREFIX for the topics that `watchgate topics create` makes."
        ),
    ],
    state: Annotated[
        Path | None,
        typer.Option(help="Folder for state and positions; OUTPUT/state unless given. With topics it has to be given."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="Config log with modes, as written by `watchgate mode set`: a file or kafka://HOST:PORT/TOPIC."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels that say later what events were: .jsonl, .jsonl.gz, .csv or .parquet, by `known_at`."
        ),
    ] = None,
    lists: Annotated[
        str | None,
        typer.Option(
            help="Folder of the policy's list files, the policy's own unless given; or kafka://HOST:PORT/TOPIC for entities that `watchgate list` puts on lists, beside those of the files."
        ),
    ] = None,
    registry: RegistryOption = None,
    emit: Annotated[str, typer.Option(help="hits: verdicts where a rule fired; all: one for every event.")] = "hits",
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for lines that are appended to a .jsonl file.")
    ] = False,
    checkpoint_interval: Annotated[str, typer.Option(help="How often progress is made durable.")] = "1s",
    batch_size: Annotated[int, typer.Option(min=1, max=65_536, help="Events handled at once.")] = 16_384,
    cache_size: Annotated[str, typer.Option(help="Memory for the rows of hot entities.")] = "256MB",
    client_properties: Properties = None,
    allow_create_time: Annotated[
        bool,
        typer.Option(
            "--allow-create-time",
            help="Take a topic whose times are its producers': they then decide which modes hold.",
        ),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Serve metrics to Prometheus on this port, on all addresses: /metrics."),
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="Write the seconds spent in each stage to this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table at the end.")] = False,
) -> None:
    """Judge events from files or a topic, and go on where the same command stopped.

    A topic has no end: it is followed until Ctrl-C. Exit status 0 at the end of the input, 130 after Ctrl-C (with a
    checkpoint), 2 for what you can mend.
    """
    if emit not in ("hits", "all"):
        raise CommandError(f"error: --emit takes hits or all, not {emit!r}")
    try:
        interval = parse_duration(checkpoint_interval)
    except ValueError as error:
        raise CommandError(f"error: --checkpoint-interval: {error}") from None
    with mendable():
        in_topics = is_kafka(output)
        if in_topics and is_kafka(input):
            refuse_own_topics(kafka_place(output, "PREFIX").name, [kafka_place(input, "TOPIC").name])
    if state is None and in_topics:
        raise CommandError("error: --output is in Kafka, so --state has to name a folder for the state of this job.")
    if os.access(input, os.X_OK) and Path(input).is_dir() and Path(input).resolve() == Path(output).resolve():
        raise CommandError(
            f"error: {output} is the folder of the input, so what is written there would be read as events. Name another folder with --output."
        )
    if profile is not None and not profile.absolute().parent.is_dir():
        raise CommandError(f"error: --profile {profile}: there is no folder {profile.absolute().parent}. Make it first")
    configure_logs()
    with mendable():
        secret = read_pii_key(os.environ)
        policies = Policies.over(registry)
        program = policies.load(policy)
        policies.require(program)
        if program.pii and not secret:
            print(_NO_KEY, file=sys.stderr)
        plan = JobPlan(
            program=program,
            compile_policy=policies.of_document,
            choose=policies.choose,
            scorers=policies.scorers,
            source=input,
            output=output,
            state=state or Path(output) / "state",
            lists=policy.parent if lists is None or is_kafka(lists) else Path(lists),
            members=lists if lists is not None and is_kafka(lists) else None,
            config=config,
            labels=labels,
            emit="all" if emit == "all" else "hits",
            follow=follow,
            checkpoint_ms=interval,
            batch_size=batch_size,
            cache_bytes=parse_size(cache_size),
            pii_key=secret,
            properties=load_properties(client_properties),
            allow_create_time=allow_create_time,
        )
        metrics = JobMetrics()

        def opened() -> EmbeddedJob:
            job = EmbeddedJob(plan)
            metrics.follow(job)
            return job

        with served(metrics, metrics_port):
            job = opened()
            stop = _StopSignal()
            with show_progress() as report:
                summary = run_through_outages(job, opened, stop.asked, report)
    if summary is None:
        print("stopped while no broker answered; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(stop.status)
    if profile is not None:
        with mendable():
            profile.write_bytes(orjson.dumps({"events": summary.events, "seconds": summary.seconds}))
    if not quiet:
        print(summary_text(plan.program, summary), end="")
    if summary.stopped:
        print(
            f"stopped with a checkpoint after {summary.events:,} events; the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(stop.status)


_NO_KEY = (
    "warning: WATCHGATE_PII_KEY is not set, so `pii: hash` fields are hashed under the key of this --state alone: the "
    "hashes of another will be others. Set it to a secret that stays."
)
_TWICE_S = 2.0


class _StopSignal:
    """Ctrl-C and SIGTERM end a run after the batch at hand; one more, two seconds later or after that, ends it at once."""

    def __init__(self) -> None:
        self.status = 0
        self.first_s = 0.0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.status:
            self.status, self.first_s = 128 + number, time.monotonic()
        elif time.monotonic() - self.first_s >= _TWICE_S:  # supervisors tell a process and its group, which is one wish
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def asked(self) -> bool:
        return self.status != 0
