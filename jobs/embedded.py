"""The embedded runtime: the five stages in one process, files or Kafka in and out, exactly once.

A run reads, judges and writes; a checkpoint makes outputs, rows and position durable together (`jobs.checkpoints`). A
run that starts on a state goes on from the committed position, so that being killed at any step changes nothing in the
end.
"""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import orjson
import structlog

from integration.config_log import ConfigLine
from integration.kafka.address import is_kafka, kafka_place
from integration.kafka.events import KafkaEvents
from integration.kafka.member_topic import follow_members
from integration.kafka.outputs import TransactionalOutputs
from integration.outputs import FileOutputs, check_place
from integration.rocks_state import RocksState, has_state
from integration.sources import Source, open_source
from jobs.checkpoints import Checkpoints, FileCheckpoints, Job, TransactionCheckpoints
from jobs.config_feed import ConfigFeed
from jobs.engine import Document, Engine
from jobs.entity_lists import EntityLists, Members, read_lists
from jobs.job_plan import JobPlan, Progress, Summary, input_bytes
from jobs.label_feed import LabelFeed, check_labels
from jobs.member_feed import FAMILY as MEMBERS
from jobs.member_feed import MemberFeed, refuse_members
from jobs.reading import Position, Reader, times_of
from jobs.rules_seen import RulesNote
from jobs.sweep import Sweep
from operators.clock import AHEAD_MS
from operators.documents import status
from operators.plan import Program
from operators.store import Changes, State

log = structlog.get_logger("watchgate")

_WARNINGS = {"config_rejected", "config_unavailable", "fuse_tripped", "model_refused", "rule_error"}
"""Kinds of status that somebody should look at."""


class EmbeddedJob:
    """One run. `wall` gives seconds since 1970: it bounds what may be believed as a time, and stamps headers.

    `open_state`, `open_files` and `open_topics` may be given by a test that wants to fail at a step of a protocol.
    """

    def __init__(
        self,
        plan: JobPlan,
        *,
        wall: Callable[[], float] = time.time,
        open_state: Callable[[Path, list[str]], State] = RocksState,
        open_files: Callable[[Path, Mapping[str, int] | None], FileOutputs] = FileOutputs,
        open_topics: Callable[..., TransactionalOutputs] = TransactionalOutputs,
    ) -> None:
        self.plan = plan
        self.wall = wall
        families = [f"rows:{name}" for name, kind in plan.program.kinds.items() if kind.stateful]
        with ExitStack() as opened:  # a job that cannot begin keeps no lock and no file
            self.config: ConfigFeed | None = None
            if plan.config is not None and not is_kafka(plan.config):
                self.config = ConfigFeed(plan.config, None, needed=True)
            # First all that is only read: a mistake in the command must leave no folders behind.
            check_labels(plan.program, plan.labels is not None)
            members = read_lists(plan.program, plan.lists)
            source = self._open_source(opened)
            if plan.labels is not None:
                LabelFeed(plan.labels, plan.program, None, None).close()
            if not is_kafka(plan.output):
                check_place(Path(plan.output), fresh=not has_state(plan.state))
            self.state = open_state(plan.state, [*families, "cooldowns", "ids", "labels", "lists", MEMBERS])
            opened.callback(self.state.close)
            self._open(open_files, open_topics, source, members, opened)
            self._opened = opened.pop_all()

    def _open(
        self,
        open_files: Callable[[Path, Mapping[str, int] | None], FileOutputs],
        open_topics: Callable[..., TransactionalOutputs],
        source: Source,
        members: Members,
        opened: ExitStack,
    ) -> None:
        """All that may find the state and the outputs unfit, or the input unfit for the state."""
        plan = self.plan
        self._ident = self._identify()
        self._cluster: str | None = None
        self._notices: list[Document] = []
        self.facts: Counter[tuple[str, str]] = Counter()
        """Dead letters by reason and status records by kind, of this run."""
        if is_kafka(plan.output):
            # Before anything of the state is read: a transaction that was left open decides what the state is.
            self.checkpoints: Checkpoints = self._open_topics(open_topics, opened)
        self._job: Job = orjson.loads(self.state.document("job") or b"{}")
        self._open_config(opened)
        self.engine = Engine(
            plan.program,
            self.state,
            self._compile,
            timeline_id=self.config.found.timeline if self.config and self.config.found else None,
            emit=plan.emit,
            pii_key=plan.pii_key or bytes.fromhex(self._job["pii_key"]),
            cache_bytes=plan.cache_bytes,
            scorers=plan.scorers,
            choose=plan.choose,
        )
        if self.config is not None and self.config.found is None:
            self._notices += self.engine.config_missing()
        self.lists = EntityLists(plan.program, self.state, members)
        self.members = self._open_members(opened)
        if not is_kafka(plan.output):
            # As the way from the state to it, so that both can be moved or restored together.
            target = os.path.relpath(Path(plan.output).resolve(), plan.state.resolve())
            files = open_files(Path(plan.output), self._job["outputs"].get(target))
            opened.callback(files.close)
            self.checkpoints = FileCheckpoints(self.state, files, target, self._job)
        self._open_labels(opened)
        self.reader = Reader(source, plan.program.policy, plan.batch_size, self._job["positions"].get(self._input))
        self.sweep = Sweep(self.state, self.engine)
        self.progress = Progress(clock_ms=self.engine.clock, bytes=input_bytes(plan.source))
        self._notices += [
            *self.engine.notices,
            *self.lists.load(self.engine),
            *missing_records(self.topic, self.engine.clock),
        ]

    def _compile(self, document: dict[str, object]) -> Program:
        """The program of a policy record. Raises EngineError where it reads labels and this job has none."""
        program = self.plan.compile_policy(document)
        check_labels(program, self.plan.labels is not None)
        return program

    def _identify(self) -> str:
        """The name of this state in Kafka, the same for ever, and the key of its hashes; made at the first run."""
        job: Job = {"positions": {}, "outputs": {}} | orjson.loads(self.state.document("job") or b"{}")
        if "ident" not in job:
            job |= {"ident": secrets.token_hex(8)} | {"pii_key": job.get("pii_key") or secrets.token_hex(32)}
            self.state.commit(Changes(documents={"job": orjson.dumps(job)}))
        return str(job["ident"])

    def _open_topics(self, open_topics: Callable[..., TransactionalOutputs], opened: ExitStack) -> Checkpoints:
        place = kafka_place(self.plan.output, "PREFIX")
        policy = self.plan.program.name
        outputs = open_topics(place, f"watchgate-{policy}-{self._ident}", policy, self.plan.properties, self.wall)
        opened.callback(outputs.close)
        self._cluster = outputs.cluster
        checkpoints = TransactionCheckpoints(self.state, outputs, f"kafka:{outputs.cluster}/{place.name}")
        self._notices += checkpoints.notices
        return checkpoints

    def _open_config(self, opened: ExitStack) -> None:
        in_file = self.plan.config is not None and not is_kafka(self.plan.config)
        self.rules_note = RulesNote(Path(str(self.plan.config)) if in_file else None)
        if self.plan.config is None:
            return
        if self.config is None:
            saved = orjson.loads(self.state.document("engine") or b"{}")
            needed = saved.get("timeline") is not None
            self.config = ConfigFeed(self.plan.config, self.plan.properties, needed, self.plan.config_wait_s)
        opened.callback(self.config.close)
        if self.config.found is not None:
            self.config.found.offset = self._job.get("config_offset") or 0

    def _open_labels(self, opened: ExitStack) -> None:
        """The input of labels, where the last checkpoint left it."""
        plan = self.plan
        self.feed: LabelFeed | None = None
        if plan.labels is None:
            return
        self._labels = str(Path(plan.labels).resolve())
        at = self._job.setdefault("labels", {}).get(self._labels)
        self.engine.labels = self.feed = LabelFeed(plan.labels, plan.program, at, self._horizon(), plan.follow)
        opened.callback(self.feed.close)

    def _open_members(self, opened: ExitStack) -> MemberFeed | None:
        saved = self._job.get("members")
        if self.plan.members is None:
            refuse_members(saved)
            return None
        topic = follow_members(kafka_place(self.plan.members, "TOPIC"), self.plan.properties)
        opened.callback(topic.close)
        feed = MemberFeed(self.plan.program, self.state, topic, saved)
        self.lists.also = feed.by_list()
        self.engine.follow_members(feed.members, self.lists.holds)
        return feed

    def _open_source(self, opened: ExitStack) -> Source:
        plan = self.plan
        if is_kafka(plan.source):
            place = kafka_place(plan.source, "TOPIC")
            topic = KafkaEvents(place, plan.properties, allow_create_time=plan.allow_create_time)
            opened.callback(topic.close)
            self._input = f"kafka:{topic.cluster}/{place.name}"
            self.topic: KafkaEvents | None = topic
            """The input, if it is a topic."""
            return topic
        self._input = plan.source if plan.source == "-" else str(Path(plan.source).resolve())
        self.topic = None
        policy = plan.program.policy
        source = open_source(
            plan.source, follow=plan.follow, time_of=partial(times_of, policy), horizon_ms=self._horizon()
        )
        opened.callback(source.close)
        return source

    def run(
        self, stop: Callable[[], bool] = lambda: False, report: Callable[[Progress], None] = lambda _: None
    ) -> Summary:
        """Reads to the end of the input (a topic has none), or until `stop`, and leaves a checkpoint either way.

        Raises what sources, outputs and state raise; the checkpoint before stays valid.
        """
        self._status(self._notices)
        if self.config is not None and self.config.found is not None:
            self._offer(self.config.found.read_to_end())
        if self.members is not None:
            self._status(self.members.read_to_end(self.engine.clock))
        written = time.monotonic()
        position = self.reader.position
        stopped = False
        for item in self.reader:
            self._follow_config()
            if self.members is not None:
                self._status(self.members.read_new(self.engine.clock))
            if item is not None:
                position = item.position
                self.engine.intake.horizon_ms = self._horizon()
                if self.feed is not None:
                    self.feed.horizon_ms = self._horizon()
                outcome = self.engine.process(item.decoded, item.following, item.payload, item.broken, item.forged)
                self._status(outcome.documents.pop("status", []))
                for topic, documents in outcome.documents.items():
                    self._write(topic, documents)
                self.progress.events += len(item.decoded) + len(item.decoded.dead) + len(item.broken)
                self.progress.clock_ms = self.engine.clock
                self.progress.byte = int(position.get("byte") or 0)
                self._dirty = True
                report(self.progress)
            if self._dirty and (
                self.engine.needs_checkpoint or (time.monotonic() - written) * 1000 >= self.plan.checkpoint_ms
            ):
                self.checkpoint(position)
                written = time.monotonic()
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
            (0, None) if stopped or self.feed is None else self.feed.waiting(),
            self._unfinished(),
        )

    def _unfinished(self) -> dict[str, int]:
        """What was left of the input and of the labels."""
        return self.reader.unfinished() | (self.feed.unfinished() if self.feed is not None else {})

    _dirty = False
    """Whether anything happened since the last checkpoint."""
    committed_events = 0
    """Events of this run that are in a checkpoint."""
    checkpoints_made = 0
    write_seconds = 0.0

    def checkpoint(self, position: Position | None) -> None:
        """Makes everything up to `position` durable, all or nothing."""
        started = time.perf_counter()
        changes = self.engine.changes()
        self.lists.add_changes(changes)
        swept = self.sweep.add_changes(changes)
        self.facts.update({("swept", kind): number for kind, number in swept.items()})
        if self.members is not None:
            self.members.add_changes(changes)
            self._job["members"] = self.members.position
        if position is not None:
            self._job["positions"][self._input] = position
        if self.feed is not None:
            self._job["labels"][self._labels] = self.feed.position()
        self._job["config_offset"] = self.config.found.offset if self.config and self.config.found else None
        self.checkpoints.commit(changes, self._job, self._offsets(position))
        self._dirty, self.committed_events = False, self.progress.events
        self.checkpoints_made += 1
        if self.config is not None and self.config.found is not None:
            self.rules_note.write(self.engine, self.config.found.timeline)
        self.engine.seconds["checkpoint"] = self.engine.seconds.get("checkpoint", 0.0) + time.perf_counter() - started

    def _offsets(self, position: Position | None) -> dict[tuple[str, int], int]:
        """Of a topic in the cluster of the outputs: where reading stands, for whoever looks at the group's lag."""
        if self.topic is None or position is None or self.topic.cluster != self._cluster:
            return {}
        return {(self.topic.name, int(n)): offset for n, offset in position["offsets"].items()}

    def close(self) -> None:
        self._opened.close()

    def _horizon(self) -> int | None:
        """No event lies after this: the wall clock, and what clocks may differ. A broker's clock needs no such bound."""
        if is_kafka(self.plan.source) and not self.plan.allow_create_time:
            return None
        return int(self.wall() * 1000) + AHEAD_MS

    def _follow_config(self) -> None:
        if self.config is None:
            return
        if self.config.found is not None and self.engine.waits_for_config:
            self._status(self.engine.config_found(self.config.found.timeline, self.config.found.read_to_end()))
        elif lines := self.config.new():
            self._offer(lines)

    def _offer(self, lines: Sequence[ConfigLine]) -> None:
        found = self.config.found if self.config is not None else None
        if found is not None:
            self._status(self.rules_note.offer(self.engine, found.timeline, lines))

    def _status(self, documents: list[Document]) -> None:
        self._write("status", documents)
        self._dirty = self._dirty or bool(documents)
        for document in documents:
            tell = log.warning if document["kind"] in _WARNINGS else log.info
            tell(str(document["message"]), kind=document["kind"], subject=document["subject"])

    def _write(self, topic: str, documents: list[Document]) -> None:
        started = time.perf_counter()
        self.checkpoints.write(topic, documents)
        self.write_seconds += time.perf_counter() - started
        if topic == "deadletter":
            self.facts.update(("dead", str(document["reason"])) for document in documents)
        elif topic == "status":
            self.facts.update(("status", str(document["kind"])) for document in documents)

    def modes(self) -> dict[str, str]:
        """The mode of each rule at the clock's time, in words."""
        return self.engine.modes_now()


def missing_records(topic: KafkaEvents | None, clock_ms: int | None) -> list[Document]:
    """Status records of what a topic had deleted before it was read."""
    if topic is None:
        return []
    return [
        status(
            "records_missing",
            f"{topic.name}/{partition}",
            f"{after - first:,} records of {topic.name}, partition {partition}, from offset {first} on, were deleted "
            "before they were read: raise the topic's retention.ms, or let the job stop for less long",
            at_ms=clock_ms,
            detail={"first": first, "records": after - first},
        )
        for partition, first, after in topic.missing
    ]
