"""A run that kills itself: the real job over files and RocksDB, with SIGKILL at a chosen step of the commit protocol."""

import os
import signal
from pathlib import Path

from integration.outputs import FileOutputs
from integration.rocks_state import RocksState
from jobs.cli.programs import compile_document, load_program
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan
from operators.store import Changes

STEPS = (
    "started",  # the outputs were cut back to what was committed
    "before_write",
    "torn_write",  # half of a line is in the file
    "after_write",
    "before_sync",
    "after_sync",  # outputs are durable, state is not
    "before_commit",
    "after_commit",
    "before_close",
)


class Death:
    """Counts how often a step was reached, and ends the process without any chance to tidy up."""

    def __init__(self, step: str, count: int) -> None:
        self.step = step
        self.left = count

    def at(self, step: str) -> bool:
        if step != self.step or self.left == 0:
            return False
        self.left -= 1
        return self.left == 0

    def pass_by(self, step: str) -> None:
        if self.at(step):
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingOutputs(FileOutputs):
    death: Death

    def write(self, topic: str, documents: list[object]) -> None:  # type: ignore[override]
        if not documents:
            return
        self.death.pass_by("before_write")
        if self.death.at("torn_write"):
            super().write(topic, documents[: len(documents) // 2])
            os.write(self._files[topic], b'{"ce_id":"torn')
            die()
        super().write(topic, documents)
        self.death.pass_by("after_write")

    def sync(self) -> dict[str, int]:
        self.death.pass_by("before_sync")
        lengths = super().sync()
        self.death.pass_by("after_sync")
        return lengths


class DyingState(RocksState):
    death: Death

    def commit(self, changes: Changes) -> None:
        self.death.pass_by("before_commit")
        super().commit(changes)
        self.death.pass_by("after_commit")


def run(world: Path, output: Path, step: str, count: int) -> None:
    """Runs the world's job; dies at the `count`-th time that it comes to `step`, never with 0."""
    death = Death(step, count)
    DyingState.death = DyingOutputs.death = death
    plan = JobPlan(
        program=load_program(world / "policy.yaml"),
        compile_policy=compile_document,
        source=str(world / "events.jsonl"),
        output=str(output),
        state=output / "state",
        lists=world,
        config=str(world / "config.jsonl"),
        labels=str(world / "labels.jsonl"),
        checkpoint_ms=0,
        batch_size=97,
        pii_key=b"chaos",
    )
    job = EmbeddedJob(plan, open_state=DyingState, open_files=DyingOutputs)
    death.pass_by("started")
    job.run()
    death.pass_by("before_close")
    job.close()
