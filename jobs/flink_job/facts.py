"""What every operator of a job is told when the job is submitted."""

from dataclasses import dataclass, field
from typing import Any

from integration.kafka.properties import ClientProperties
from integration.kafka.topics import topic_name
from jobs.flink_job.lists import Members
from jobs.flink_job.programs import Programs
from operators.judge import Emit


@dataclass(frozen=True)
class JobFacts:
    """Travels inside the operators. `policy` is the text of the file `policy_name`; `pii_key` at most 64 bytes."""

    policy: str = field(repr=False)
    policy_name: str
    timeline: str
    kafka: str
    prefix: str
    events: tuple[str, ...]
    emit: Emit = "hits"
    pii_key: bytes = field(default=b"", repr=False)
    properties: ClientProperties | None = None
    registry: str | None = None
    """Folder of models, as the TaskManagers see it."""
    lists: Members = field(default_factory=dict, repr=False)

    def programs(self) -> Programs:
        """The compiled policy, and those that come by the config topic."""
        return Programs(self.policy, self.policy_name, self.registry)

    def topic(self, name: str) -> str:
        """Full name of a topic of the job."""
        return topic_name(self.prefix, name)


@dataclass(frozen=True, slots=True)
class Subtask:
    """Which of how many an operator is."""

    index: int
    of: int

    @classmethod
    def here(cls, context: Any) -> "Subtask":
        """Of a function's runtime context. PyFlink's own getters fail in thread mode, so Java is asked."""
        info = context._runtime_context.getTaskInfo()
        return cls(info.getIndexOfThisSubtask(), info.getNumberOfParallelSubtasks())
