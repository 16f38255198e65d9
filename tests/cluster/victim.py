"""A run on Kafka that kills itself: the real job, with SIGKILL at a chosen step of the commit protocol."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from integration.kafka.outputs import TransactionalOutputs
from integration.rocks_state import RocksState
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan
from operators.store import Changes
from tests.chaos.victim import Death, die
from tests.cluster.embedded_world import until_read

STEPS = (
    "opened",  # what the run before left open is aborted or committed
    "settled",  # its changes are dropped or applied
    "sending",  # some records of a batch are sent
    "sent",
    "before_pending",
    "after_pending",  # the changes are on the disk, the transaction is open
    "before_end",  # all records and offsets are in the transaction
    "in_end",  # nobody knows whether it was committed
    "after_end",  # it was, and the changes are not applied
    "applied",
)


class DyingState(RocksState):
    death: Death

    def commit(self, changes: Changes) -> None:
        pending = bool(changes.documents.get("pending"))
        if pending:
            self.death.pass_by("before_pending")
        super().commit(changes)
        self.death.pass_by("after_pending" if pending else "applied")


class DyingTopics(TransactionalOutputs):
    death: Death

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.death.pass_by("opened")
        end = self._producer.commit_transaction

        def dying_end() -> None:
            self.death.pass_by("before_end")
            if self.death.at("in_end"):
                threading.Thread(target=end, daemon=True).start()
                time.sleep(0.002 * (time.monotonic_ns() % 5))  # the answer to the request is not waited for
                die()
            end()
            self.death.pass_by("after_end")

        self._producer.commit_transaction = dying_end

    def write(self, topic: str, documents: Any) -> None:
        if documents and self.death.at("sending"):
            super().write(topic, documents[: len(documents) // 2 + 1])
            self._producer.flush()
            die()
        super().write(topic, documents)
        self.death.pass_by("sent")


def run(job_plan: JobPlan, wanted: Mapping[int, int], step: str, count: int) -> None:
    """Runs until `wanted` is read; dies at the `count`-th time that it comes to `step`, never with 0."""
    DyingState.death = DyingTopics.death = Death(step, count)
    job = EmbeddedJob(job_plan, open_state=DyingState, open_topics=DyingTopics)
    DyingState.death.pass_by("settled")
    job.run(until_read(job, dict(wanted)))
    job.close()
