"""watchgate jobs: what runs on a Flink cluster."""

from datetime import UTC, datetime

from integration.flink.rest import FlinkApi
from jobs.cli.flink_options import JobManager, address
from jobs.cli.shared import mendable

EXAMPLE = "Example: `watchgate jobs --jobmanager 127.0.0.1:8081`"


def command(jobmanager: JobManager = None) -> None:
    """The jobs of the cluster: state, since when, how many tasks run, and why one failed last."""
    api = FlinkApi(address(jobmanager))
    with mendable():
        found = api.jobs()
        for job in found:
            print(f"{job.id}  {job.state:10}  {_seconds(job.started_ms)}  {job.running}/{job.tasks} tasks  {job.name}")
            failure = None if job.state in ("FINISHED", "CANCELED") else api.failure(job.id)
            if failure:
                print(f"    last failure, {_seconds(failure.at_ms)}: {failure.why}")
    if not found:
        print("no jobs")


def _seconds(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
