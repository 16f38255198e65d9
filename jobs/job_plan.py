"""What a run of the embedded runtime is told, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from integration.kafka.properties import ClientProperties
from jobs.config_feed import WAIT_S
from operators.config_records import Choose
from operators.judge import Emit
from operators.plan import Program
from operators.scoring import NoScorers, Scorers

CompilePolicy = Callable[[dict[str, object]], Program]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to run. Durations in ms, sizes in bytes.

    `source`, `output` and `config` are paths or `kafka://HOST:PORT/NAME`: a topic, for `output` the prefix of its topics.
    `lists` is the folder of the policy's list files.
    """

    program: Program
    compile_policy: CompilePolicy
    source: str
    output: str
    state: Path
    lists: Path
    config: str | None = None
    labels: str | None = None
    emit: Emit = "hits"
    follow: bool = False
    checkpoint_ms: int = 1_000
    batch_size: int = 16_384
    cache_bytes: int = 256 << 20
    pii_key: bytes | None = None
    properties: ClientProperties | None = None
    allow_create_time: bool = False
    members: str | None = None
    """Place of the lists topic."""
    config_wait_s: float = WAIT_S
    scorers: Scorers = field(default_factory=NoScorers)
    choose: Choose | None = None


@dataclass(slots=True)
class Progress:
    """How far a job is: events read in this run, and the event time that ingest reached."""

    events: int = 0
    clock_ms: int | None = None
    byte: int = 0
    bytes: int | None = None
    """How far into how many bytes reading is; None where the input does not say (a pipe, a compressed file, a folder)."""


def input_bytes(source: str) -> int | None:
    """`Progress.bytes` of an input."""
    file = Path(source)
    return file.stat().st_size if file.suffix == ".jsonl" and file.is_file() else None


@dataclass(slots=True)
class Summary:
    """What a run did, for the table at its end. Counts are of the whole state, `events` of this run."""

    events: int
    stopped: bool
    counts: dict[str, int]
    rules: dict[tuple[str, str], int]
    modes: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    labels_waiting: tuple[int, int | None] = (0, None)
    """Labels that the run has not come to, and from when on the first of them is known, in ms."""
    unfinished: dict[str, int] = field(default_factory=dict)
    """By path, the bytes of a last line that was left, since it was not written to its end."""
