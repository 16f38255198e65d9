"""The embedded runtime: the five stages in one process, files in and files out, exactly once.

A checkpoint is: outputs durable (fsync), then ONE durable WriteBatch with changed rows, source positions and output
lengths. A run that starts on a state cuts its outputs back to the committed lengths and reads on from the committed
position, so that being killed at any step changes nothing in the end.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson
import structlog

from integration.config_file import ConfigFile
from integration.config_seen import Seen, SeenRule, write_seen
from integration.outputs import FileOutputs
from integration.rocks_state import RocksState
from integration.sources import open_source
from jobs.engine import Document, Engine
from jobs.entity_lists import EntityLists
from jobs.reading import Position, Reader, times_of
from jobs.sweep import Sweep
from operators.clock import AHEAD_MS
from operators.config_records import Choose
from operators.judge import Emit
from operators.plan import Program
from operators.scoring import NoScorers, Scorers
from operators.store import Changes, State
from schemas.cloudevents import iso

log = structlog.get_logger("watchgate")

CompilePolicy = Callable[[dict[str, object]], Program]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to run. Durations in ms, sizes in bytes."""

    program: Program
    compile_policy: CompilePolicy
    source: str
    output: Path
    state: Path
    lists: Path
    config: Path | None = None
    emit: Emit = "hits"
    follow: bool = False
    checkpoint_ms: int = 1_000
    batch_size: int = 16_384
    cache_bytes: int = 256 << 20
    pii_key: bytes | None = None
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


@dataclass(slots=True)
class Summary:
    """What a run did, for the table at its end. Counts are of the whole state, `events` of this run."""

    events: int
    stopped: bool
    counts: dict[str, int]
    rules: dict[tuple[str, str], int]
    modes: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)


class EmbeddedJob:
    """One run. `wall` gives seconds since 1970: it bounds what may be believed as a time, and paces checkpoints.

    `open_state` and `open_outputs` may be given by a test that wants to fail at a step of the protocol.
    """

    def __init__(
        self,
        plan: JobPlan,
        *,
        wall: Callable[[], float] = time.time,
        open_state: Callable[[Path, list[str]], State] = RocksState,
        open_outputs: Callable[[Path, Mapping[str, int] | None], FileOutputs] = FileOutputs,
    ) -> None:
        self.plan = plan
        self.wall = wall
        self.config: ConfigFile | None = None
        if plan.config is not None:
            self.config = ConfigFile(plan.config)
        families = [f"rows:{name}" for name, kind in plan.program.kinds.items() if kind.stateful]
        self.state = open_state(plan.state, [*families, "cooldowns", "ids", "lists"])
        with ExitStack() as opened:  # a job that cannot begin keeps no lock and no file
            opened.callback(self.state.close)
            self._open(open_outputs, opened)
            opened.pop_all()

    def _open(self, open_outputs: Callable[[Path, Mapping[str, int] | None], FileOutputs], opened: ExitStack) -> None:
        """All that may find the state, the outputs or the input unfit."""
        plan = self.plan
        saved = orjson.loads(self.state.document("job") or b"{}")
        self._positions: dict[str, Position] = saved.get("positions", {})
        self._lengths: dict[str, dict[str, int]] = saved.get("outputs", {})
        self._pii_key = bytes.fromhex(saved["pii_key"]) if "pii_key" in saved else secrets.token_bytes(32)
        self.engine = Engine(
            plan.program,
            self.state,
            plan.compile_policy,
            timeline_id=self.config.timeline if self.config else None,
            emit=plan.emit,
            pii_key=plan.pii_key or self._pii_key,
            cache_bytes=plan.cache_bytes,
            scorers=plan.scorers,
            choose=plan.choose,
        )
        if self.config is not None:
            self.config.offset = saved.get("config_offset") or 0
        self.lists = EntityLists(plan.program, self.state, plan.lists)
        self._input = plan.source if plan.source == "-" else str(Path(plan.source).resolve())
        self._target = str(plan.output.resolve())
        self.outputs = open_outputs(plan.output, self._lengths.get(self._target))
        opened.callback(self.outputs.close)
        if self._target not in self._lengths:
            # From here on a run that dies before its first checkpoint is known to have written these files.
            self._lengths[self._target] = dict(self.outputs.lengths)
            self.state.commit(Changes(documents={"job": self._document()}))
        policy = plan.program.policy
        source = open_source(
            plan.source, follow=plan.follow, time_of=partial(times_of, policy), horizon_ms=self._horizon()
        )
        self.reader = Reader(source, policy, plan.batch_size, self._positions.get(self._input))
        self.sweep = Sweep(self.state, self.engine)
        file = Path(plan.source)
        size = file.stat().st_size if file.is_file() and file.suffix == ".jsonl" else None
        self.progress = Progress(clock_ms=self.engine.clock, bytes=size)
        self._notices: list[Document] = [*self.engine.notices, *self.lists.load(self.engine)]

    def run(
        self, stop: Callable[[], bool] = lambda: False, report: Callable[[Progress], None] = lambda _: None
    ) -> Summary:
        """Reads to the end of the input, or until `stop`, and leaves a checkpoint either way.

        Raises what sources, outputs and state raise; the checkpoint before stays valid.
        """
        self._status(self._notices)
        self._read_config()
        written = time.monotonic()
        position = self.reader.position
        dirty = bool(self._notices)
        stopped = False
        for item in self.reader:
            self._read_config()
            if item is not None:
                position = item.position
                self.engine.intake.horizon_ms = self._horizon()
                outcome = self.engine.process(item.decoded, item.following, item.payload, item.broken, item.forged)
                for topic, documents in outcome.documents.items():
                    self.outputs.write(topic, documents)
                self.progress.events += len(item.decoded) + len(item.decoded.dead) + len(item.broken)
                self.progress.clock_ms = self.engine.clock
                self.progress.byte = int(position.get("byte") or 0)
                dirty = True
                report(self.progress)
            if dirty and (
                self.engine.needs_checkpoint or (time.monotonic() - written) * 1000 >= self.plan.checkpoint_ms
            ):
                self.checkpoint(position)
                written, dirty = time.monotonic(), False
            if stop():
                stopped = True
                break
        self.checkpoint(position)
        return Summary(
            self.progress.events,
            stopped,
            dict(self.engine.counts),
            dict(self.engine.rules),
            self.modes(),
            {**self.reader.seconds, **self.engine.seconds},
        )

    def checkpoint(self, position: Position | None) -> None:
        """Makes everything up to `position` durable, all or nothing."""
        started = time.perf_counter()
        self._lengths[self._target] = self.outputs.sync()
        changes = self.engine.changes()
        self.lists.add_changes(changes)
        self.sweep.add_changes(changes)
        if position is not None:
            self._positions[self._input] = position
        changes.documents["job"] = self._document()
        self.state.commit(changes)
        if self.plan.config is not None and self.config is not None:
            self._write_seen(self.plan.config, self.config.timeline)
        self.engine.seconds["checkpoint"] = self.engine.seconds.get("checkpoint", 0.0) + time.perf_counter() - started

    def _document(self) -> bytes:
        return orjson.dumps(
            {
                "positions": self._positions,
                "outputs": self._lengths,
                "config_offset": self.config.offset if self.config else None,
                "pii_key": self._pii_key.hex(),
            }
        )

    def close(self) -> None:
        self.reader.close()
        self.outputs.close()
        self.state.close()

    def _horizon(self) -> int:
        """No event lies after this: the wall clock, and what clocks may differ."""
        return int(self.wall() * 1000) + AHEAD_MS

    def _read_config(self) -> None:
        if self.config is None:
            return
        records = self.config.read_new()
        if records:
            self._status(self.engine.offer_config(records))

    def _status(self, documents: list[Document]) -> None:
        self.outputs.write("status", documents)
        for document in documents:
            log.info(str(document["message"]), kind=document["kind"], subject=document["subject"])

    def modes(self) -> dict[str, str]:
        """The mode of each rule at the clock's time, in words."""
        return self.engine.modes_now()

    def _write_seen(self, config: Path, timeline: str) -> None:
        counts = self.engine.rules
        modes = self.modes()
        rules = {
            rule.name: SeenRule(
                rule.digest,
                modes.get(rule.name, rule.mode),
                counts[rule.name, "live"],
                counts[rule.name, "shadow"],
                counts[rule.name, "acted"],
                counts[rule.name, "shadow_acted"],
            )
            for rule in self.engine.program.rules
        }
        clock = self.engine.clock
        try:
            write_seen(
                config,
                Seen(
                    self.engine.program.name,
                    timeline,
                    None if clock is None else iso(clock),
                    self.engine.counts["judged"],
                    rules,
                ),
            )
        except OSError as error:
            log.warning("the note beside the config file was not written", error=error.strerror)
