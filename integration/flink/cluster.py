"""A real Flink cluster on this machine: the standalone one of the pip package, for `watchgate local` and for tests.

One JobManager, TaskManagers of one slot each, and a ZooKeeper so that jobs survive their JobManager; all listen on
127.0.0.1. A folder is one cluster: `conf`, `log`, `checkpoints`, and `cluster.json` with the ports and the processes,
by which a later command finds it. Only processes of that file are ever ended.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from integration.flink.settings import ClusterError, Ports, environment, flink_home, write_conf
from integration.jars import Jars
from integration.java import find_java
from integration.processes import Started, free_ports, port_is_free, start, tail_of

_STATE = "cluster.json"
_READY_S = 180


@dataclass(slots=True)
class Cluster:
    """A cluster that was started. `taskmanagers` holds the dead ones too until they are replaced."""

    folder: Path
    ports: Ports
    zookeeper: Started | None = None
    jobmanager: Started | None = None
    taskmanagers: list[Started] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What clients take as the JobManager's HOST:PORT (its REST port)."""
        return f"127.0.0.1:{self.ports.rest}"

    @property
    def alive(self) -> bool:
        return self.jobmanager is not None and self.jobmanager.alive

    @property
    def processes(self) -> list[Started]:
        """All of them, dead or alive, in the order in which they are ended."""
        return [each for each in (*self.taskmanagers, self.jobmanager, self.zookeeper) if each]

    @property
    def environment(self) -> dict[str, str]:
        """For `flink run` and other commands against this cluster."""
        return environment(self.folder, find_java())

    @property
    def flink(self) -> Path:
        """Flink's own command line."""
        return flink_home() / "bin" / "flink"

    def get(self, path: str) -> dict[str, Any]:
        """An answer of the REST API, e.g. of `/jobs/overview`. Raises ClusterError."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
                document: dict[str, Any] = json.load(answer)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise ClusterError(f"the cluster at {self.address} does not answer {path}: {error}") from None
        return document

    def get_list(self, path: str) -> list[dict[str, Any]]:
        """An answer of the REST API that is a list, e.g. of metrics. Raises ClusterError."""
        document: Any = self.get(path)
        return list(document)

    def start_zookeeper(self) -> None:
        # Without Flink's script, which would stay between us and the JVM.
        log4j = f"-Dlog4j.configurationFile={self.folder / 'conf' / 'log4j-console.properties'}"
        options = ["-Xmx128m", log4j, f"-Dlog.file={self.folder / 'log' / 'zookeeper.log'}"]
        main = "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer"
        java = [str(find_java().executable), *options, "-cp", str(flink_home() / "lib" / "*"), main]
        arguments = ["--zkConfigFile", str(self.folder / "conf" / "zoo.cfg"), "--peerId", "1"]
        self.zookeeper = self._start("zookeeper", *java, *arguments)

    def start_jobmanager(self) -> None:
        """After a kill too: it takes up the jobs that ran, from their last checkpoints."""
        self._forget_failed_starts()
        self.jobmanager = self._start("jobmanager", str(flink_home() / "bin" / "jobmanager.sh"), "start-foreground")

    def start_taskmanager(self) -> Started:
        """One more, or one in place of a dead one."""
        self.taskmanagers = [each for each in self.taskmanagers if each.alive]
        script = str(flink_home() / "bin" / "taskmanager.sh")
        made = self._start(f"taskmanager-{len(self.taskmanagers)}", script, "start-foreground")
        self.taskmanagers.append(made)
        self.save()
        return made

    def wait_ready(self, taskmanagers: int, seconds: float = _READY_S) -> None:
        """Returns when the JobManager answers and knows this many TaskManagers. Raises ClusterError."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.get("/overview").get("taskmanagers") == taskmanagers:
                    return
            except ClusterError:
                pass  # not up yet
            dead = any(not process.alive for process in self.processes)
            if dead or time.monotonic() > deadline:
                why = (
                    "a process ended" if dead else f"{taskmanagers} TaskManagers were not there within {seconds:.0f} s"
                )
                raise ClusterError(
                    f"the Flink cluster did not start: {why}. Logs are in {self.folder / 'log'}:\n{self._ends()}"
                )
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends all its processes in order; jobs, checkpoints and ports stay for the next start."""
        for process in self.processes:
            process.stop(10)
        self.taskmanagers = []
        self.save()

    def save(self) -> None:
        """Writes the state file."""
        state: dict[str, Any] = {"ports": asdict(self.ports), "taskmanagers": list(map(asdict, self.taskmanagers))}
        for name, process in (("zookeeper", self.zookeeper), ("jobmanager", self.jobmanager)):
            state[name] = asdict(process) if process else None
        (self.folder / _STATE).write_text(json.dumps(state))

    def _forget_failed_starts(self) -> None:
        """Removes what jobs have left whose start failed, such as one from a savepoint that is not there: Flink 2.3 keeps
        their result without the id of an application, and no JobManager that finds one of those starts again."""
        for entry in (self.folder / "ha" / "job-result-store").glob("*/*_DIRTY.json"):
            if "application-id" not in json.loads(entry.read_bytes())["result"]:
                entry.unlink()

    def _start(self, name: str, *command: str) -> Started:
        try:
            return start(command, self.folder / "log" / f"{name}.out", self.environment, self.folder)
        except OSError as error:
            raise ClusterError(f"{command[0]} does not start: {error}") from None

    def _ends(self) -> str:
        logs = sorted((self.folder / "log").glob("*.out")) + sorted((self.folder / "log").glob("*.log"))
        return "\n".join(f"-- {log.name}\n{tail_of(log, 5)}" for log in logs if log.stat().st_size)


def start_cluster(
    folder: Path,
    jars: Jars,
    *,
    taskmanagers: int = 1,
    rest_port: int = 0,
    settings: Mapping[str, str] | None = None,
) -> Cluster:
    """Starts a cluster and returns when all TaskManagers are there, about 12 s; a running one gets those that it lacks.

    `rest_port` 0: the one of the last start in this folder, else a free one. `settings` are lines of config.yaml that
    override ours. Raises ClusterError with the ends of the logs.
    """
    found = find_cluster(folder)
    if found and found.alive:
        cluster = found
    else:
        if found:
            found.stop()  # what is left of a cluster whose JobManager died
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        cluster = Cluster(folder, _ports(rest_port, found.ports if found else None))
        write_conf(folder, cluster.ports, jars.connector, settings or {})
        cluster.start_zookeeper()
        cluster.start_jobmanager()
        cluster.save()
    living = sum(each.alive for each in cluster.taskmanagers)
    try:
        for _ in range(taskmanagers - living):
            cluster.start_taskmanager()
        cluster.wait_ready(max(taskmanagers, living))
    except ClusterError:
        if not living:
            cluster.stop()
        raise
    return cluster


def find_cluster(folder: Path) -> Cluster | None:
    """The cluster that was last started in a folder, alive or not; None when there never was one."""
    try:
        state = json.loads((folder / _STATE).read_text())
        zookeeper, jobmanager = (
            Started(**state[name]) if state[name] else None for name in ("zookeeper", "jobmanager")
        )
        taskmanagers = [Started(**each) for each in state["taskmanagers"]]
        return Cluster(folder.absolute(), Ports(**state["ports"]), zookeeper, jobmanager, taskmanagers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{folder / _STATE} cannot be read: {error}. Remove it if no cluster of it runs.") from None


def _ports(rest: int, last: Ports | None) -> Ports:
    if last and rest in (0, last.rest) and all(map(port_is_free, (last.rest, last.rpc, last.zookeeper))):
        return last
    free = free_ports(3)
    if rest and not port_is_free(rest):
        raise ClusterError(f"port {rest} of 127.0.0.1 is taken. Name another one, or leave it out to get a free one.")
    return Ports(rest or free[0], free[1], free[2])
