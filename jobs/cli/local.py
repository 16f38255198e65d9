"""watchgate local: a real Kafka broker and a real Flink cluster on this machine."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.shared import CommandError, mendable

if TYPE_CHECKING:
    from integration.flink.cluster import Cluster
    from integration.kafka.broker import Broker

app = typer.Typer(
    help="A Kafka broker and a Flink cluster on this machine, for trying things out.", no_args_is_help=True
)

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Where data, logs and checkpoints go; ~/.local/state/watchgate/local unless given."),
]
_PORT_MAX = 65535


@app.command(epilog="Example: `watchgate local up --taskmanagers 2`")
def up(
    taskmanagers: Annotated[
        int, typer.Option(min=1, max=64, help="TaskManagers of one slot each: the parallelism that a job can have.")
    ] = 1,
    folder: Folder = None,
    kafka_port: Annotated[
        int, typer.Option(min=0, max=_PORT_MAX, help="Port of the broker; 0 takes the last one, else a free one.")
    ] = 0,
    rest_port: Annotated[
        int, typer.Option(min=0, max=_PORT_MAX, help="Port of Flink's web page; 0 takes the last one, else a free one.")
    ] = 0,
) -> None:
    """Start both and wait until they answer. What already runs stays; topics and jobs of the last time are there again.

    Needs Java 17 or 21, and Maven once to fetch the jars. Everything listens on 127.0.0.1 only.
    """
    from integration.flink.cluster import start_cluster
    from integration.jars import resolve_jars
    from integration.kafka.broker import start_broker

    where = folder_of(folder)
    with mendable():
        jars = resolve_jars()
        broker = start_broker(where / "kafka", jars, port=kafka_port)
        cluster = start_cluster(where / "flink", jars, taskmanagers=taskmanagers, rest_port=rest_port)
    _print(broker, cluster, folder)


@app.command(epilog="Example: `watchgate local down`")
def down(folder: Folder = None) -> None:
    """End the processes that `up` started, and no others. Topics, checkpoints and ports stay for the next time."""
    where = folder_of(folder)
    broker, cluster = _found(where)
    running = (broker and broker.alive) or (cluster and any(process.alive for process in cluster.processes))
    for each in (cluster, broker):
        if each:
            each.stop()
    print(f"stopped; data stays in {where}" if running else f"nothing of {where} runs")


@app.command(epilog="Example: `watchgate local status`")
def status(folder: Folder = None) -> None:
    """What runs and on which ports. Ends with status 1 unless both run."""
    broker, cluster = _found(folder_of(folder))
    _print(broker, cluster, folder)
    if not (broker and broker.alive and cluster and cluster.alive):
        raise CommandError(f"start it with: watchgate local up{_there(folder)}", status=1)


def folder_of(chosen: Path | None) -> Path:
    """Where the local broker and cluster keep what they have: the chosen folder, else the usual one."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = (chosen or state / "watchgate" / "local").expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"error: --dir {folder} is a file. Name a folder, or one that shall be made")
    return folder


def _found(where: Path) -> "tuple[Broker | None, Cluster | None]":
    from integration.flink.cluster import find_cluster
    from integration.kafka.broker import find_broker

    with mendable():
        return find_broker(where / "kafka"), find_cluster(where / "flink")


def _there(folder: Path | None) -> str:
    """The option that names the same folder again."""
    return f" --dir {shlex.quote(str(folder))}" if folder else ""


def _print(broker: "Broker | None", cluster: "Cluster | None", folder: Path | None) -> None:
    if broker and broker.alive:
        print(f"Kafka  {broker.address}  (log: {broker.log})")
    else:
        print("Kafka  is not running")
    if cluster and cluster.alive:
        count = sum(each.alive for each in cluster.taskmanagers)
        print(f"Flink  {cluster.address}  http://{cluster.address}  TaskManagers: {count}")
        print(f"       (logs: {cluster.folder / 'log'})")
    else:
        print("Flink  is not running")
    if broker and broker.alive and cluster and cluster.alive:
        print(
            "\nnext:\n"
            f"  watchgate topics create --kafka {broker.address}\n"
            f"  watchgate submit POLICY --kafka {broker.address} --events events --jobmanager {cluster.address}\n"
            f"  watchgate produce EVENTS.jsonl --kafka {broker.address} --topic events\n"
            f"  watchgate tail verdicts --kafka {broker.address}\n"
            f"  watchgate local down{_there(folder)}"
        )
