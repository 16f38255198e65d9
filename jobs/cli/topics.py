"""watchgate topics: the Kafka topics of a job, set up as its answers depend on it."""

from typing import Annotated

import typer

from jobs.cli.kafka_options import Kafka, Prefix, Properties, load_properties
from jobs.cli.shared import CommandError, mendable
from schemas.counted import counted

app = typer.Typer(help="Make the Kafka topics of a job.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `create` a command of its own name while it is the only one."""


@app.command(epilog="Example: `watchgate topics create --kafka 127.0.0.1:9092 --prefix shop --partitions 8`")
def create(
    kafka: Kafka,
    prefix: Prefix = "",
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Partitions of each topic that it makes; config always has one. As many as the other topics of the prefix have unless given, 4 for new ones.",
        ),
    ] = None,
    replication: Annotated[
        int,
        typer.Option(help="Copies of each partition; -1 takes the broker's default. From 3 on, two must be in sync."),
    ] = -1,
    client_properties: Properties = None,
) -> None:
    """Make the topics that are missing, with the settings that they need, and name the timeline in the config topic.

    Topics that are there stay as they are. What is not as it must be is reported with its repair, with status 1.
    """
    from integration.kafka.topics import create_topics

    if replication < 1 and replication != -1:
        raise CommandError(
            f"error: --replication {replication} is no number of copies: from 1 on, or -1 for the broker's default"
        )
    properties = load_properties(client_properties)
    with mendable():
        done = create_topics(kafka, prefix, partitions=partitions, replication=replication, properties=properties)
    for name in done.made:
        print(f"made   {name}")
    for name, count in done.found.items():
        stays = f", not {partitions}: it stays as it is" if name in done.uneven else ""
        print(f"found  {name}  {counted(count, 'partition')}{stays}")
    print(f"timeline {done.timeline}")
    if done.differences:
        raise CommandError("\n".join(["", "not as it must be:", *map(str, done.differences)]), status=1)
