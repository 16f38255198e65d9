"""The options that the commands on Kafka share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.shared import mendable

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
    from integration.kafka.properties import load_client_properties

    with mendable():
        return load_client_properties(path) if path else None
