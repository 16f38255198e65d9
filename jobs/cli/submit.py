"""watchgate submit: the job on a Flink cluster."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from integration.flink.rest import TIMELINE, FlinkApi
from integration.kafka.address import SCHEME
from integration.kafka.topics import CONFIG, topic_name
from jobs.cli.config_log import published
from jobs.cli.flink_options import JobManager, address
from jobs.cli.kafka_options import Kafka, Prefix, Properties, load_properties
from jobs.cli.programs import load_program
from jobs.cli.shared import CommandError, RegistryOption, mendable
from jobs.flink_job.arguments import DELIVERIES, start_at
from jobs.flink_job.arguments import checkpoint_interval as interval_ms
from jobs.flink_job.fitness import check_job_topics
from jobs.policies import Policies
from models.registry import Registry
from operators.config_records import RefusedError, same_policy
from operators.plan import Program

if TYPE_CHECKING:
    from integration.kafka.properties import ClientProperties

EXAMPLE = "Example: `watchgate submit policy.yaml --kafka 127.0.0.1:9092 --prefix shop --jobmanager 127.0.0.1:8081`"

_SCRIPT = Path(__file__).parents[1] / "flink.py"


def command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    kafka: Kafka,
    events: Annotated[
        list[str] | None, typer.Option(help="Topic to read; may be repeated. PREFIX.events unless given.")
    ] = None,
    prefix: Prefix = "",
    client_properties: Properties = None,
    start: Annotated[
        str, typer.Option("--from", help="Where to begin without a savepoint: earliest, latest, or a time (ISO 8601).")
    ] = "earliest",
    jobmanager: JobManager = None,
    parallelism: Annotated[int, typer.Option(min=1, max=128, help="Subtasks of each stage, a slot each.")] = 1,
    delivery: Annotated[
        str, typer.Option(help="exactly-once, or at-least-once: sooner, and some records twice after a failure.")
    ] = "exactly-once",
    emit: Annotated[str, typer.Option(help="hits: verdicts where a rule fired; all: one for every event.")] = "hits",
    lists: Annotated[
        Path | None, typer.Option(help="Folder of the policy's list files; the policy's own folder unless given.")
    ] = None,
    registry: RegistryOption = None,
    from_savepoint: Annotated[str | None, typer.Option(help="Go on from this savepoint or checkpoint.")] = None,
    checkpoint_interval: Annotated[
        str | None,
        typer.Option(help="How often output is committed: 2s unless given, 30s with --delivery at-least-once."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job; watchgate-POLICY unless given.")] = None,
) -> None:
    """Check policy and topics, start the job on the cluster, and wait until it runs. Prints the job's id.

    The TaskManagers need Watchgate in their Python; those of `watchgate local up` have it.
    """
    _check(start, delivery, emit, checkpoint_interval)
    with mendable():
        program = load_program(policy)
        if registry is not None:
            Registry(registry).names()
    named = name or f"watchgate-{program.name}"
    properties = load_properties(client_properties)
    api = FlinkApi(address(jobmanager))
    savepoint = ["-s", _savepoint(from_savepoint, api.address)] if from_savepoint else []
    with mendable():
        timeline = check_job_topics(kafka, prefix, events or (), properties)
        _refuse_other_policy(kafka, prefix, program, properties)
        _refuse_cluster(api, parallelism, named, timeline)
    options = ["--policy", str(policy.absolute()), "--kafka", kafka, "--prefix", prefix, "--from", start]
    options += ["--parallelism", str(parallelism), "--delivery", delivery, "--emit", emit, "--name", named]
    if checkpoint_interval is not None:
        options += ["--checkpoint-interval", checkpoint_interval]
    for topic in events or ():
        options += ["--events", topic]
    if client_properties:
        options += ["--client-properties", str(client_properties.absolute())]
    if lists:
        options += ["--lists", str(lists.absolute())]
    if registry:
        options += ["--registry", str(registry.absolute())]
    with mendable():
        job = _flink_run(api.address, savepoint, options)
        why = api.wait_started(job)
        if why:
            api.cancel(job)
            raise CommandError(f"error: {named} did not start, and was cancelled: {why}")
    print(f"{named} runs as job {job} at http://{api.address}")


def _refuse_other_policy(kafka: str, prefix: str, program: Program, properties: "ClientProperties | None") -> None:
    """On the config topic of another policy a job would run, and reject every record."""
    config = topic_name(prefix, CONFIG.name)
    before = published(f"{SCHEME}{kafka}/{config}", properties, Policies())
    if before is None:
        return
    try:
        same_policy(program, before)
    except RefusedError as error:
        raise CommandError(
            f"error: nothing was started, a job on {config} would refuse this policy: {error}, with another --prefix"
        ) from None


def _refuse_cluster(api: FlinkApi, parallelism: int, name: str, timeline: str) -> None:
    """All that speaks against the job where it is to run. Last: nobody should stop a job for one that cannot start."""
    second = _second(api, name, timeline)
    # Flink would look for slots for two minutes. Nobody gives them back while the other job runs.
    lacking = api.lacking_slots(parallelism, seconds=0) if second else api.lacking_slots(parallelism)
    if lacking:
        lacking = (
            f"error: a job of --parallelism {parallelism} takes as many slots of the cluster at {api.address}, and "
            f"{lacking}: start more TaskManagers, stop another job, or give this one less"
        )
    if said := [each for each in (lacking, second) if each]:
        raise CommandError("\n".join(said))


def _second(api: FlinkApi, name: str, timeline: str) -> str | None:
    """What is said of a running job beside which this one must not start. Two jobs of one name would share the ids of
    their Kafka transactions, and fence each other for ever; two on the same topics would both write every verdict."""
    running = [job for job in api.jobs() if not job.ended]
    for job in running:
        if job.name == name:
            return (
                f"error: job {name} runs already ({job.id}). Stop it with `watchgate stop {name} --savepoint DIR`, "
                "or give this one another --name and --prefix"
            )
    for job in running:
        if api.parameters(job.id).get(TIMELINE) == timeline:
            return (
                f"error: job {job.name} ({job.id}) runs on the topics of this --prefix already: every verdict would be there "
                f"twice. Stop it with `watchgate stop {job.name} --savepoint DIR`, or give this one another --prefix"
            )
    return None


def _check(start: str, delivery: str, emit: str, interval: str | None) -> None:
    """What the job's script would say much later, and by names that are not the command's."""
    if delivery not in DELIVERIES:
        raise CommandError(f"error: --delivery takes {' or '.join(DELIVERIES)}, not {delivery!r}")
    if emit not in ("hits", "all"):
        raise CommandError(f"error: --emit takes hits or all, not {emit!r}")
    try:
        start_at(start)
    except ValueError as error:
        raise CommandError(f"error: --from {start}: {error}") from None
    try:
        _ = interval is None or interval_ms(interval)
    except ValueError as error:
        raise CommandError(f"error: --checkpoint-interval {interval}: {error}") from None


def _savepoint(named: str, jobmanager: str) -> str:
    """A savepoint as the cluster shall be asked for it. One on this machine is looked for first: a JobManager that was
    asked for one that is not there could not be started again (Flink 2.3 with high availability)."""
    folder = Path(named.removeprefix("file://").removeprefix("file:")).absolute()
    if re.match(r"(?!file:)\w+:", named) or jobmanager.partition(":")[0] not in ("127.0.0.1", "localhost"):
        return named
    if not (folder / "_metadata").exists() and not folder.is_file():
        raise CommandError(
            f"error: there is no savepoint or checkpoint at {named}: a folder of one has a file _metadata. A checkpoint "
            "gives way to the next one while the job runs; `watchgate stop NAME --savepoint DIR` makes a savepoint"
        )
    return folder.as_uri()


def _flink_run(jobmanager: str, options: list[str], arguments: list[str]) -> str:
    """Runs the job's script by Flink's own client, and returns the job's id."""
    from integration.flink.settings import QUICK_START, flink_home, python_path
    from integration.java import find_java

    home = flink_home()
    with tempfile.TemporaryDirectory(prefix="watchgate-submit-") as logs:
        environment = dict(os.environ) | {
            "JAVA_HOME": str(find_java().home),
            "FLINK_HOME": str(home),
            "FLINK_LOG_DIR": logs,
            "PYTHONPATH": python_path(),
            "JVM_ARGS": f"{QUICK_START} {os.environ.get('JVM_ARGS', '')}",
        }
        command = [str(home / "bin" / "flink"), "run", "-d", "-m", jobmanager, *options]
        command += ["-pyclientexec", sys.executable, "-py", str(_SCRIPT), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    found = re.search(r"JobID (\w{32})", done.stdout)
    if done.returncode or not found:
        raise CommandError(_said(done.stdout + done.stderr))
    return found[1]


def _said(output: str) -> str:
    """What the script said, or else the innermost Java error."""
    own = re.search(
        r"^((?:error: |usage: |\S+:\d+:\d+: ).*?)(?=^\s*at org\.apache|^org\.apache|\Z)", output, re.M | re.S
    )
    if own:
        return own[1].strip()
    causes = re.findall(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): .*$", output, re.M)
    return f"error: Flink did not take the job: {causes[-1] if causes else output.strip()[-500:]}"
