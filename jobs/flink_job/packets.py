"""What passes between the operators, and its wire form.

A packet is a pickle: both ends are the same version of this program, and nothing from outside is ever unpickled.
"""

import copyreg
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from jobs.flink_job.programs import ProgramRef, Programs
from jobs.member_record import MemberEntry
from operators.batch import Batch
from operators.documents import Json
from operators.failing import Mask
from operators.kind_observer import PartAnswer
from operators.repeats import Hashes
from operators.scatter import Part
from operators.stamp import Stamped
from operators.timeline import Epoch, ModeInForce

Packet = TypeVar("Packet")

PAYLOAD = "__payload"
"""Column with each record's bytes, until no stage can refuse a row any more."""


def packed(packet: object) -> bytes:
    """Bytes of a packet."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = _REDUCED
    pickler.dump(packet)
    return buffer.getvalue()


def _reduced(frame: pl.DataFrame) -> tuple[Any, tuple[bytes]]:
    """A frame as an Arrow stream of the plain layouts: a twentieth of the time of polars' own pickle."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return _frame, (buffer.getvalue(),)


def _frame(stream: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(stream)


_REDUCED = copyreg.dispatch_table | {pl.DataFrame: _reduced}


def unpacked(data: object, kind: type[Packet]) -> Packet:
    """The packet in a Flink value. Raises TypeError where the topology is wired wrongly."""
    packet = pickle.loads(bytes(data))  # type: ignore[call-overload]
    if not isinstance(packet, kind):
        raise TypeError(f"a {type(packet).__name__} came where a {kind.__name__} belongs")
    return packet


@dataclass(slots=True)
class Arrived:
    """batcher -> stamp: decoded events with their ingest times, and dead letters as documents."""

    batch: Batch
    dead: list[Json]


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """An epoch without its program."""

    id: str
    modes: dict[str, ModeInForce]
    ceiling: bool
    in_force_ms: int
    since: dict[str, int]
    unavailable: bool


@dataclass(slots=True)
class Events:
    """A stretch of events that one program judges: `Stamped`, with the program by reference.

    `rank` grows with the age of the timeline: of two policies the one with the higher rank is newer.
    """

    frame: pl.DataFrame
    program: ProgramRef
    rank: int
    epochs: list[EpochFacts]
    epoch_index: npt.NDArray[np.int32]
    sources: tuple[tuple[str, int], ...]
    since: dict[str, int]
    failed: dict[str, Mask]
    errors: list[Json]

    @classmethod
    def of(cls, stamped: Stamped, program: ProgramRef, rank: int) -> "Events":
        used, index = np.unique(stamped.epoch_index, return_inverse=True)
        epochs = [_facts(stamped.epochs[i]) for i in used.tolist()]
        return cls(
            stamped.frame,
            program,
            rank,
            epochs,
            index.astype(np.int32),
            stamped.sources,
            dict(stamped.since),
            stamped.failed,
            stamped.errors,
        )

    def stamped(self, programs: Programs) -> Stamped:
        """Back to what the stages take."""
        program = programs.of(self.program)
        epochs = [Epoch(e.id, program, e.modes, e.ceiling, e.in_force_ms, e.since, e.unavailable) for e in self.epochs]
        return Stamped(
            self.frame, program, epochs, self.epoch_index, self.sources, self.since, self.failed, self.errors
        )


@dataclass(slots=True)
class IdShare:
    """stamp -> ids: hashes of the events of one batch whose ids one subtask remembers. `at`: rows of the batch."""

    lane: str
    sequence: int
    at: npt.NDArray[np.int64]
    ids: Hashes
    records: Hashes | None


@dataclass(slots=True)
class Sighted:
    """ids -> scatter: of each row of a share, whether its id is new, and if not, whether the record is the same."""

    sequence: int
    at: npt.NDArray[np.int64]
    first: Mask
    same: Mask


@dataclass(slots=True)
class Stretches:
    """stamp -> scatter: the stretches of one batch in order, dead letters as documents, and how many `Sighted` will
    come about its rows."""

    sequence: int
    shares: int
    stretches: list[Events]
    dead: list[Json]


@dataclass(frozen=True, slots=True)
class ListRecord:
    """A record of the lists topic: its place, when the broker took it, and what it says."""

    partition: int
    offset: int
    appended_ms: int
    entry: MemberEntry


@dataclass(slots=True)
class ListBatch:
    """lists' batcher -> lists: records, and of those that are refused partition, offset, when the broker took it, and why."""

    records: list[ListRecord]
    refused: list[tuple[int, int, int, str]]


@dataclass(slots=True)
class ListShare:
    """lists -> observe: records about entities of one kind whose shards one subtask has."""

    kind: str
    records: list[ListRecord]


@dataclass(slots=True)
class LabelBatch:
    """labels' batcher -> labels: decoded labels, and dead letters as documents."""

    labels: pl.DataFrame
    dead: list[Json]


@dataclass(slots=True)
class LabelShare:
    """labels -> desk: labels of the events that one shard remembers."""

    labels: pl.DataFrame


class LabelChange(NamedTuple):  # of which there are many, and which pickles faster than a dataclass
    """What a label changes for one entity, from `at_ms` on: `old` to `new`, NaN where there is none."""

    key: bytes
    name: str
    event: str
    at_ms: int
    event_ms: int
    old: float
    new: float


@dataclass(slots=True)
class ChangeShare:
    """desk -> observe: changes for entities of one kind whose shards one subtask has."""

    kind: str
    changes: list[LabelChange]


@dataclass(slots=True)
class Share:
    """What one subtask reads of one stretch for one kind. `at`: rows of the kind's whole part."""

    kind: str
    program: ProgramRef
    rank: int
    at: npt.NDArray[np.int64]
    part: Part


@dataclass(slots=True)
class Shares:
    """scatter -> observe: what one subtask reads of one stretch, for each kind of which it has an entity there."""

    lane: str
    sequence: int
    shares: list[Share]


@dataclass(slots=True)
class Asked:
    """What a stretch asked of one kind: the frame's row of each row of the whole part, and rows without an entity."""

    row: npt.NDArray[np.int64]
    nulls: int


@dataclass(slots=True)
class Waiting:
    """scatter -> judge: a stretch that waits for `shares` answers."""

    sequence: int
    shares: int
    asked: dict[str, Asked]
    events: Events


@dataclass(slots=True)
class Answer:
    """What the events of one share see. Features that the subtask does not keep any more are missing."""

    kind: str
    at: npt.NDArray[np.int64]
    answer: PartAnswer


@dataclass(slots=True)
class Answers:
    """observe -> judge: the answers to one subtask's shares of a stretch."""

    sequence: int
    answers: list[Answer]


def _facts(epoch: Epoch) -> EpochFacts:
    return EpochFacts(
        epoch.id, _plain(epoch.modes), epoch.ceiling, epoch.in_force_ms, _plain(epoch.since), epoch.unavailable
    )


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return dict(mapping)
