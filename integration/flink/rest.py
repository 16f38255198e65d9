"""Flink's REST API, as far as jobs are concerned: which there are, and stopping one with a savepoint."""

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from integration.flink.settings import ClusterError

_ENDED = ("CANCELED", "FAILED", "FINISHED")


_ABSENT = re.compile(r"Failed to get metadata for topics \[([^\]]+)\].*UnknownTopicOrPartitionException", re.DOTALL)
"""A source that misses a topic. The innermost error does not say which."""
TIMELINE = "watchgate.timeline"
"""The job parameter that tells on which topics a job runs, whatever it is called: the id in its config topic."""
_PATIENCE_S = 2.0
_SILENT_S = 5.0
_NO_SLOTS = "Could not acquire the minimum required resources"
"""What Flink says of a job that waited in vain for slots: true, but not how many it lacks."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the cluster. `started_ms`: wall clock, since 1970."""

    id: str
    name: str
    state: str
    started_ms: int
    tasks: int
    running: int

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


@dataclass(frozen=True, slots=True)
class Failure:
    """What the innermost error of a failure says, and when it was. `at_ms`: wall clock, since 1970."""

    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class FlinkApi:
    """The API of a JobManager at HOST:PORT. Every call raises ClusterError where it does not answer or refuses."""

    address: str

    def jobs(self) -> list[Job]:
        """All jobs that the cluster still knows, the newest first."""
        found = [
            Job(j["jid"], j["name"], j["state"], j["start-time"], j["tasks"]["total"], j["tasks"]["running"])
            for j in self._call("GET", "/jobs/overview")["jobs"]
        ]
        return sorted(found, key=lambda job: -job.started_ms)

    def find(self, job: str, ended: bool = False) -> Job:
        """The job of this id, or the running one of this name; with `ended` the last one where none runs."""
        known = self.jobs()
        named = [j for j in known if j.id == job] or [j for j in known if j.name == job and not j.ended]
        if not named and ended:
            named = [j for j in known if j.name == job][:1]
        if not named:
            running = ", ".join(j.name for j in known if not j.ended) or "none"
            raise ClusterError(f"no job {job} runs at {self.address}. Running are: {running}.")
        if len(named) > 1:
            ids = ", ".join(j.id for j in named)
            raise ClusterError(f"{len(named)} jobs are called {job}: name one of them by its id ({ids}).")
        return named[0]

    def parameters(self, job: str) -> dict[str, str]:
        """What a job says of itself, for whoever looks at it (Flink's global job parameters)."""
        said = self._call("GET", f"/jobs/{job}/config").get("execution-config", {}).get("user-config", {})
        return {str(key): str(value) for key, value in said.items()}

    def failure(self, job: str) -> Failure | None:
        """A job's latest failure, None when it never failed."""
        entries = self._call("GET", f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return Failure(entries[0]["timestamp"], innermost(entries[0]["stacktrace"])) if entries else None

    def completed_checkpoints(self, job: str) -> int:
        """How many checkpoints of a job are complete, since it was submitted."""
        counts = self._call("GET", f"/jobs/{job}/checkpoints").get("counts", {})
        return int(counts.get("completed", 0))

    def last_checkpoint(self, job: str) -> str | None:
        """Where a job's latest checkpoint or savepoint lies, None when there is none from which a job can go on."""
        latest = self._call("GET", f"/jobs/{job}/checkpoints").get("latest", {})
        found = [each for each in (latest.get("completed"), latest.get("savepoint"), latest.get("restored")) if each]
        newest: dict[str, Any] = max(found, key=lambda each: int(each["id"]), default={})
        where: str | None = newest.get("external_path")
        # Without a folder for checkpoints it is `<checkpoint-not-externally-addressable>`.
        return None if where is None or where.startswith("<") or newest.get("discarded") else where

    def keeps_checkpoints(self, job: str) -> bool:
        """Whether the checkpoints of a job are there when it was cancelled."""
        kept = self._call("GET", f"/jobs/{job}/checkpoints/config")["externalization"]
        return bool(kept["enabled"]) and not kept["delete_on_cancellation"]

    def free_slots(self) -> int:
        """Slots in which nothing runs."""
        return int(self._call("GET", "/overview")["slots-available"])

    def lacking_slots(self, wanted: int, seconds: float = 10) -> str | None:
        """None when so many slots are free within `seconds` (a job that ended gives them back a little later), else how
        many there are. Clusters that start TaskManagers as jobs need them, or fit jobs to what there is, are not asked."""
        settings = {str(each["key"]): str(each["value"]) for each in self._call("GET", "/jobmanager/config")}
        if any(key.startswith(("kubernetes.", "yarn.")) for key in settings):
            return None
        if "adaptive" in settings.get("jobmanager.scheduler", "").lower() or "scheduler-mode" in settings:
            return None
        deadline = time.monotonic() + seconds
        while (found := self._call("GET", "/overview"))["slots-available"] < wanted:
            if time.monotonic() > deadline:
                return f"{found['slots-available']} of its {found['slots-total']} slots are free"
            time.sleep(0.3)
        return None

    def wait_started(self, job: str, seconds: float = 180) -> str | None:
        """Returns None when all of a job runs and two checkpoints are complete, else what keeps it from that. A job that
        takes one more rarely than every 2 s is told to.

        Two, because the first one may be taken before a job has read the first record of its config topic, which it
        refuses if that is not the topic that its state belongs to.
        """
        started = asked = time.monotonic()
        while self.completed_checkpoints(job) < 2:
            passed = time.monotonic() - started
            failure = self.failure(job)
            if failure and _NO_SLOTS not in failure.why:
                return failure.why
            found = self.find(job)
            if failure or passed > seconds:
                free = self.free_slots()
                return (
                    f"{found.running} of its {found.tasks} tasks run after {passed:.0f} s, and {free} slots are free. "
                    "A job takes as many slots as its --parallelism: start more TaskManagers, or give it less"
                )
            if found.running == found.tasks and time.monotonic() - asked > _PATIENCE_S:
                self._call("POST", f"/jobs/{job}/checkpoints", {"checkpointType": "CONFIGURED"})
                asked = time.monotonic()
            time.sleep(0.3)
        return None

    def cancel(self, job: str, seconds: float = 60) -> None:
        """Ends a job without a savepoint, and returns when it has ended; its checkpoints stay where they are. A cluster
        of application mode ends with its job, and does not answer any more: that counts as an end too."""
        self._call("PATCH", f"/jobs/{job}?mode=cancel")
        deadline = time.monotonic() + seconds
        silent_since: float | None = None
        while True:
            try:
                if self._call("GET", f"/jobs/{job}")["state"] in _ENDED:
                    return
                silent_since = None
            except ClusterError:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > _SILENT_S:
                    return
            if time.monotonic() > deadline:
                raise ClusterError(f"job {job} was told to end, and has not after {seconds:.0f} s: look at its logs")
            time.sleep(0.2)

    def stop(self, job: str, savepoint: str, seconds: float = 300) -> str:
        """Ends a job with a savepoint in folder `savepoint`, and returns where it lies."""
        asked = self._call("POST", f"/jobs/{job}/stop", {"targetDirectory": savepoint, "drain": False})
        deadline = time.monotonic() + seconds
        while True:
            found = self._call("GET", f"/jobs/{job}/savepoints/{asked['request-id']}")
            if found["status"]["id"] == "COMPLETED":
                break
            if time.monotonic() > deadline:
                raise ClusterError(f"the savepoint of job {job} is not complete after {seconds:.0f} s; it goes on")
            time.sleep(0.3)
        operation = found["operation"]
        if "location" not in operation:
            why = innermost(operation["failure-cause"]["stack-trace"])
            raise ClusterError(
                f"job {job} could not be stopped with a savepoint, and goes on: {why.rstrip('.')}. If it fails, it takes none: "
                "`watchgate jobs` says why it failed last, `watchgate doctor --kafka HOST:PORT` whether its topics are there. "
                f"`watchgate stop {job} --cancel` ends it at its last checkpoint"
            )
        return str(operation["location"])

    def _call(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                document: Any = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise ClusterError(f"the cluster at {self.address} refuses {path}: {_said(error)}") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise ClusterError(
                f"the cluster at {self.address} does not answer {path}: {getattr(why, 'strerror', None) or why}. Name HOST:PORT of the "
                "JobManager's REST API with --jobmanager, or start a cluster here: watchgate local up"
            ) from None
        return document


def innermost(trace: str) -> str:
    """What the innermost error of a Java stack trace says, with the Python error in it if there is one."""
    absent = _ABSENT.search(trace)
    if absent:
        return f"not all of these topics are there: {absent[1]}. `watchgate doctor --kafka HOST:PORT` says how to make them"
    lines = [line.strip() for line in trace.splitlines()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line and not line.startswith(("at ", "... "))]
    python = [line.partition("PythonException: ")[2] for line in causes if "PythonException: " in line]
    said = python[-1] if python else next((line for line in reversed(causes) if ": " in line), causes[-1])
    return re.sub(r"^(<class '[\w.]+'>|[\w.$]+(Exception|Error)): ", "", said)


def _said(error: urllib.error.HTTPError) -> str:
    try:
        lines = json.load(error)["errors"]
        return str(lines[0]).splitlines()[0] if lines else str(error)
    except (ValueError, KeyError, IndexError):
        return str(error)
