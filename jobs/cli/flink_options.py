"""The option that the commands on a Flink cluster share."""

from typing import Annotated

import typer

from jobs.cli.local import folder_of
from jobs.cli.shared import CommandError, mendable

JobManager = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of Flink's REST API; the cluster of `watchgate local up` unless given."),
]


def address(jobmanager: str | None) -> str:
    """HOST:PORT of the JobManager that was named, else of the local cluster. Raises CommandError."""
    from integration.flink.cluster import find_cluster

    if jobmanager:
        return jobmanager.removeprefix("http://").rstrip("/")
    with mendable():
        cluster = find_cluster(folder_of(None) / "flink")
    if cluster is None or not cluster.alive:
        raise CommandError("error: no cluster runs here: start one with `watchgate local up`, or name it: --jobmanager")
    return cluster.address
