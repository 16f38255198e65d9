"""watchgate produce: the records of a file into a Kafka topic."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from integration.logs import configure_logs
from jobs.cli.kafka_options import Kafka, Properties, load_properties
from jobs.cli.shared import CommandError, mendable
from schemas.counted import counted

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from integration.kafka.properties import ClientProperties
    from integration.sources import Source

EXAMPLE = "Example: `watchgate produce events.jsonl --kafka 127.0.0.1:9092 --topic events --rate 2000`"

_CHUNK = 2_000
_TICKS_A_SECOND = 20


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="A .jsonl, .jsonl.gz, .csv or .parquet file, a folder of them, or - for standard input."
        ),
    ],
    kafka: Kafka,
    topic: Annotated[str, typer.Option(help="Full name of the topic.")],
    rate: Annotated[float | None, typer.Option(help="Records a second; as fast as it goes unless given.")] = None,
    client_properties: Properties = None,
) -> None:
    """Write each record of a file to a topic, in order. Lines of .jsonl go as they are, rows of tables as JSON objects.

    Records have no key: on a topic of several partitions they are in order within a partition only. Ends with status 1
    when a record could not be written.
    """
    from integration.kafka.client import producer
    from integration.sources import open_source

    if rate is not None and not rate > 0:
        raise CommandError("error: --rate must be more than 0")
    configure_logs("warning")
    properties = load_properties(client_properties)
    began = time.monotonic()
    with mendable():
        opened = open_source(source)
        _check_topic(kafka, topic, properties)
        with producer(kafka, properties, linger_ms=5, batch_size=262_144) as client:
            sent, refused = _send(opened, client, topic, rate)
    seconds = max(time.monotonic() - began, 1e-9)
    print(f"{counted(sent, 'record')} to {topic} in {seconds:.1f} s ({sent / seconds:,.0f}/s)")
    if refused:
        raise CommandError(
            f"{counted(len(refused), 'record was', 'records were')} not written, the first is record {refused[0][0]} of {source}: "
            f"{refused[0][1]}. Records over 1 MB need a topic and a broker that take them (max.message.bytes).",
            status=1,
        )


def _check_topic(kafka: str, topic: str, properties: "ClientProperties | None") -> None:
    from integration.kafka.client import KafkaError, admin_client
    from integration.kafka.inputs import refuse_made_topic

    with admin_client(kafka, properties) as admin:
        there = admin.list_topics()
    if topic not in there:
        raise KafkaError(f"there is no topic {topic} at {kafka}. Make it with `watchgate topics create`.")
    refuse_made_topic(topic, there)


def _send(
    source: "Source", client: "KafkaProducer", topic: str, rate: float | None
) -> tuple[int, list[tuple[int, str]]]:
    """How many were written, and number and reason of those that were not."""
    refused: list[tuple[int, str]] = []
    sent = 0
    began = time.monotonic()
    step = _CHUNK if rate is None else max(1, min(_CHUNK, round(rate / _TICKS_A_SECOND)))
    while (chunk := source.read(step)) is not None:
        futures = []
        for position in range(len(chunk)):
            number = int(chunk.offsets[position])
            try:
                futures.append((number, client.send(topic, value=chunk.payload(position))))
            except Exception as error:  # a record that is too large fails here, before it is sent
                refused.append((number, _reason(error)))
        client.flush()
        for number, future in futures:
            if future.exception is not None:
                refused.append((number, _reason(future.exception)))
            else:
                sent += 1
        if rate is not None:
            time.sleep(max(0.0, began + (sent + len(refused)) / rate - time.monotonic()))
    return sent, refused


def _reason(error: BaseException) -> str:
    return type(error).__name__
