"""watchgate doctor: whether this machine and the Kafka cluster are fit for a job, and what to do where they are not."""

from typing import Annotated

import typer
from rich.console import Console

from jobs.cli.kafka_options import Prefix, Properties, load_properties
from jobs.cli.shared import CommandError
from schemas.counted import counted

EXAMPLE = "Example: `watchgate doctor --kafka 127.0.0.1:9092 --prefix shop`"

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def command(
    kafka: Annotated[str | None, typer.Option(help="Brokers to look at too: HOST:PORT, several with commas.")] = None,
    prefix: Prefix = "",
    events: Annotated[
        list[str] | None, typer.Option(help="Topic that a job will read; may be repeated. PREFIX.events unless given.")
    ] = None,
    client_properties: Properties = None,
) -> None:
    """Check Python, Java, the jars and what Flink's Python needs; with --kafka also the broker and the topics.

    Changes nothing and fetches nothing. Ends with status 1 when something would keep a job from running or being right.
    """
    from integration.checks import check_kafka, check_machine

    properties = load_properties(client_properties)
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    checks = [check_machine()]
    if kafka:
        checks.append(check_kafka(kafka, prefix, events or (), properties))
    for check in (each for group in checks for each in group):
        failed += check.level == "fail"
        console.print(f"[{_COLOURS[check.level]}]{check.level:4}[/]", end="  ")
        console.print(check.what, markup=False)
        if check.todo:
            console.print(f"      -> {check.todo}", markup=False)
    if failed:
        raise CommandError(counted(failed, "check fails", "checks fail"), status=1)
