"""watchgate jobs, stop: what runs on a Flink cluster, and ending it so that it can go on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.flink_options import JobManager, address
from jobs.cli.kafka_options import kafka_errors

JOBS_EXAMPLE = "Example: `watchgate jobs --jobmanager 127.0.0.1:8081`"
STOP_EXAMPLE = "Example: `watchgate stop watchgate-shop --savepoint /var/lib/watchgate/savepoints`"


def jobs(jobmanager: JobManager = None) -> None:
    """The jobs of the cluster: state, since when, how many tasks run, and why one failed last."""
    from integration.flink.rest import FlinkApi

    api = FlinkApi(address(jobmanager))
    with kafka_errors():
        found = api.jobs()
        for job in found:
            since = datetime.fromtimestamp(job.started_ms / 1000, UTC).isoformat(timespec="seconds")
            print(f"{job.id}  {job.state:10}  {since}  {job.running}/{job.tasks} tasks  {job.name}")
            failure = None if job.state in ("FINISHED", "CANCELED") else api.failure(job.id)
            if failure:
                print(f"    last failure: {failure}")
    if not found:
        print("no jobs")


def stop(
    job: Annotated[str, typer.Argument(help="Name or id of the job.")],
    savepoint: Annotated[str, typer.Option(help="Folder for the savepoint, as the cluster sees it: a path or a URI.")],
    jobmanager: JobManager = None,
) -> None:
    """End a job with a savepoint, from which `submit --from-savepoint` goes on. All output is committed."""
    from integration.flink.rest import FlinkApi

    api = FlinkApi(address(jobmanager))
    with kafka_errors():
        found = api.find(job)
        location = api.stop(found.id, savepoint if "://" in savepoint else Path(savepoint).absolute().as_uri())
    print(f"stopped {found.name}; go on with: watchgate submit POLICY ... --from-savepoint {location}")
