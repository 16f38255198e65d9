"""The options and errors that the commands on Kafka share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.shared import CommandError

if TYPE_CHECKING:
    from integration.kafka.properties import ClientProperties

Kafka = Annotated[str, typer.Option("--kafka", help="Brokers: HOST:PORT, several with commas.")]
Prefix = Annotated[str, typer.Option("--prefix", help="What the topics' names begin with: shop gives shop.verdicts.")]
Properties = Annotated[
    Path | None,
    typer.Option("--client-properties", help="Security settings for all Kafka clients, a Java-style properties file."),
]


def load_properties(path: Path | None) -> "ClientProperties | None":
    """The settings of --client-properties. Raises CommandError."""
    from integration.kafka.properties import PropertiesError, load_client_properties

    try:
        return load_client_properties(path) if path else None
    except PropertiesError as error:
        raise CommandError(f"error: {error}") from None


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turns the errors of Kafka, Flink and their jars that a person can mend into a text without a traceback."""
    from integration.flink.settings import ClusterError
    from integration.jars import JarsError
    from integration.java import JavaError
    from integration.kafka.broker import BrokerError
    from integration.kafka.client import KafkaError
    from integration.kafka.properties import PropertiesError

    try:
        yield
    except (BrokerError, ClusterError, JarsError, JavaError, KafkaError, PropertiesError) as error:
        raise CommandError(f"error: {error}") from None
