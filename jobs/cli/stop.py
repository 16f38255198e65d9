"""watchgate stop: ending a job on a Flink cluster so that it can go on."""

from pathlib import Path
from typing import Annotated

import typer

from integration.flink.rest import FlinkApi, Job
from integration.flink.settings import ClusterError
from jobs.cli.flink_options import JobManager, address
from jobs.cli.shared import CommandError, mendable

EXAMPLE = "Example: `watchgate stop watchgate-shop --savepoint /var/lib/watchgate/savepoints`"
_ONE_OF = "error: say --savepoint DIR, or --cancel for a job that cannot take a savepoint any more"


def command(
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
    if cancel and savepoint is not None:
        raise CommandError("error: --savepoint and --cancel are two ways to end a job: give one of them")
    if not cancel and savepoint is None:
        raise CommandError(_ONE_OF)
    api = FlinkApi(address(jobmanager))
    with mendable():
        found = api.find(job, ended=cancel)
        if savepoint is not None:
            folder = savepoint if "://" in savepoint else Path(savepoint).absolute().as_uri()
            location: str | None = api.stop(found.id, folder)
        else:
            location = _cancelled(api, found)
    done = f"{'stopped' if savepoint is not None else 'cancelled'} {found.name}"
    if found.ended:
        done = f"{found.name} had ended ({found.state})"
    if location is None:
        print(f"{done}; there is no checkpoint of it: it starts as new")
    else:
        print(f"{done}; go on with: watchgate submit POLICY ... --from-savepoint {location}")


def _cancelled(api: FlinkApi, job: Job) -> str | None:
    """Cancels a job unless it has ended, and returns where its last checkpoint lies."""
    location = api.last_checkpoint(job.id)
    if job.ended:
        return location
    if location is not None and not api.keeps_checkpoints(job.id):
        raise CommandError(
            f"error: {job.name} goes on: Flink would delete its checkpoints with it, for the cluster or the job sets "
            "execution.checkpointing.externalized-checkpoint-retention. Stop it with --savepoint DIR; if it fails and can "
            f"take none, copy {location} first and end it by Flink's own `flink cancel`"
        )
    api.cancel(job.id)
    try:
        return api.last_checkpoint(job.id)  # there may be a later one
    except ClusterError:
        return location  # the cluster ended with its job
