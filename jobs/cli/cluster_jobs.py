"""watchgate jobs, stop: what runs on a Flink cluster, and ending it so that it can go on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.flink_options import JobManager, address
from jobs.cli.kafka_options import kafka_errors
from jobs.cli.shared import CommandError

JOBS_EXAMPLE = "Example: `watchgate jobs --jobmanager 127.0.0.1:8081`"
STOP_EXAMPLE = "Example: `watchgate stop watchgate-shop --savepoint /var/lib/watchgate/savepoints`"
_ONE_OF = "error: say --savepoint DIR, or --cancel for a job that cannot take a savepoint any more"


def jobs(jobmanager: JobManager = None) -> None:
    """The jobs of the cluster: state, since when, how many tasks run, and why one failed last."""
    from integration.flink.rest import FlinkApi

    api = FlinkApi(address(jobmanager))
    with kafka_errors():
        found = api.jobs()
        for job in found:
            print(f"{job.id}  {job.state:10}  {_seconds(job.started_ms)}  {job.running}/{job.tasks} tasks  {job.name}")
            failure = None if job.state in ("FINISHED", "CANCELED") else api.failure(job.id)
            if failure:
                print(f"    last failure, {_seconds(failure.at_ms)}: {failure.why}")
    if not found:
        print("no jobs")


def stop(
    job: Annotated[str, typer.Argument(help="Name or id of the job.")],
    savepoint: Annotated[
        str | None, typer.Option(help="Folder for the savepoint, as the cluster sees it: a path or a URI.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End it as it is, at its last checkpoint: for a job that fails.")
    ] = False,
    jobmanager: JobManager = None,
) -> None:
    """End a job with a savepoint, from which `submit --from-savepoint` goes on. All output is committed.

    A job that fails takes none. Cancelled, it can go on from its last checkpoint; what came after that is read again.
    """
    from integration.flink.rest import FlinkApi

    if cancel == (savepoint is not None):
        raise CommandError(_ONE_OF)
    api = FlinkApi(address(jobmanager))
    with kafka_errors():
        found = api.find(job)
        if savepoint is not None:
            folder = savepoint if "://" in savepoint else Path(savepoint).absolute().as_uri()
            location: str | None = api.stop(found.id, folder)
        else:
            api.cancel(found.id)
            location = api.last_checkpoint(found.id)
    if location is None:
        print(f"cancelled {found.name}, which had no checkpoint: it starts as new")
    else:
        ended = "cancelled" if cancel else "stopped"
        print(f"{ended} {found.name}; go on with: watchgate submit POLICY ... --from-savepoint {location}")


def _seconds(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
