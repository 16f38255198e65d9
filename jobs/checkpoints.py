"""The two commit protocols: what makes outputs and state agree after any crash.

Files: outputs durable (fsync), then ONE durable WriteBatch with changed rows, source positions and output lengths. A run
cuts the files back to the committed lengths.

Kafka: the changes are first kept as *pending* with the checkpoint's number; the transaction carries the outputs and that
number; then the changes are applied. A run settles a transaction whose outcome is not known by opening its own, reads
the number that was committed, and applies or drops what is pending.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from integration.kafka.outputs import TransactionalOutputs
from integration.outputs import FileOutputs
from jobs.pending import DOCUMENT, Pending, encode, pending_of
from operators.documents import Json, status
from operators.store import Changes, State
from schemas.mendable import MendableError

Job = dict[str, Any]
"""The state's document `job`: positions by input, and `outputs`, by target what was committed there."""
Offsets = Mapping[tuple[str, int], int]


class CheckpointError(MendableError):
    """State and outputs do not belong together; the text says why and what to do."""


class Checkpoints(Protocol):
    """Where documents go, and how they become durable together with the changes of the state."""

    def write(self, topic: str, documents: Sequence[Json]) -> None: ...

    def commit(self, changes: Changes, job: Job, offsets: Offsets) -> None:
        """All or nothing. `job` is written with the changes and gets what was committed; `offsets` are the input's."""
        ...

    def close(self) -> None: ...


class FileCheckpoints:
    """Outputs in a folder; `target` is what the state calls it."""

    def __init__(self, state: State, outputs: FileOutputs, target: str, job: Job) -> None:
        refuse_pending(state, target)
        self._state = state
        self._outputs = outputs
        self._target = target
        if target not in job["outputs"]:
            # From here on a run that dies before its first checkpoint is known to have written these files.
            job["outputs"][target] = dict(outputs.lengths)
            state.commit(Changes(documents={"job": orjson.dumps(job)}))

    def write(self, topic: str, documents: Sequence[Json]) -> None:
        self._outputs.write(topic, documents)

    def commit(self, changes: Changes, job: Job, offsets: Offsets) -> None:
        job["outputs"][self._target] = self._outputs.sync()
        changes.documents["job"] = orjson.dumps(job)
        self._state.commit(changes)

    def close(self) -> None:
        self._outputs.close()


class TransactionCheckpoints:
    """Outputs in topics. Settles what an earlier run left open before anything of the state is read.

    Raises CheckpointError where state and topics cannot have come from the same runs.
    """

    def __init__(self, state: State, outputs: TransactionalOutputs, target: str) -> None:
        self._state = state
        self._outputs = outputs
        self._target = target
        self.notices: list[Json] = []
        """Status records about what was found."""
        self._number = self._settle(outputs.marker())

    def write(self, topic: str, documents: Sequence[Json]) -> None:
        self._outputs.write(topic, documents)

    def commit(self, changes: Changes, job: Job, offsets: Offsets) -> None:
        number = self._number + 1
        job["outputs"][self._target] = {"checkpoint": number}
        changes.documents["job"] = orjson.dumps(job)
        pending = encode(Pending(self._target, number, changes))
        self._state.commit(Changes(documents={DOCUMENT: pending}))
        self._outputs.commit(number, offsets)
        changes.documents[DOCUMENT] = b""
        self._state.commit(changes)
        self._number = number

    def close(self) -> None:
        self._outputs.close()

    def _settle(self, marker: int | None) -> int:
        """The number of the last checkpoint, when state and topics agree on it."""
        refuse_pending(self._state, self._target)
        pending = pending_of(self._state)
        if pending is None:
            return self._agreed(marker)
        if marker == pending.number:
            pending.changes.documents[DOCUMENT] = b""
            self._state.commit(pending.changes)
            return pending.number
        if (marker or 0) == pending.number - 1:
            self._state.commit(Changes(documents={DOCUMENT: b""}))
            return pending.number - 1
        raise CheckpointError(
            f"checkpoint {pending.number} of this state was not finished, and {self._outputs.place.brokers} knows "
            f"{'nothing' if marker is None else f'checkpoint {marker}'} of it: whether its output was written cannot "
            "be told. Another process went on from a copy of this state, or the state was left for longer than the "
            "broker's offsets.retention.minutes. Start with an empty --state; consumers drop repeats by ce_id."
        )

    def _agreed(self, marker: int | None) -> int:
        job = orjson.loads(self._state.document("job") or b"{}")
        number = int(job.get("outputs", {}).get(self._target, {}).get("checkpoint", 0))
        if marker is None and number:
            message = (
                f"Kafka no longer knows checkpoint {number} of this state (offsets.retention.minutes): if the state "
                "folder is an old copy, output comes again, with the same ce_id"
            )
            self.notices.append(status("checkpoint_unconfirmed", self._target, message, at_ms=None))
        elif (marker or 0) != number:
            raise CheckpointError(
                f"this state is at checkpoint {number} and the output at {self._outputs.place.brokers} at checkpoint "
                f"{marker}: the state folder is {'an old copy' if (marker or 0) > number else 'newer than the topics'}. "
                "Give the state folder that the last run used, or an empty one."
            )
        return number


def refuse_pending(state: State, target: str) -> None:
    """Raises CheckpointError when a transaction with another output is not settled."""
    pending = pending_of(state)
    if pending is not None and pending.target != target:
        raise CheckpointError(
            f"the last run with this state was writing to {pending.target} when it ended, and that is not settled. Run "
            "it once more with that --output, then change it."
        )
