"""The five stages over one stream of batches: what the embedded runtime, simulation and `features` share.

It holds no file and no clock. `process` takes decoded events and gives documents; `changes` gives what a checkpoint
must write; a new engine on the same state goes on as if nothing had happened.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

import numpy as np
import orjson
import polars as pl

from integration.config_log import ConfigLine
from operators.act import Actor
from operators.ages import NEVER
from operators.batch import Batch, DeadRecord, Origin
from operators.clock import Mask, RunningClock
from operators.config_records import Choose
from operators.cooldowns import Cooldowns
from operators.decode import Decoded
from operators.decode_times import Milliseconds
from operators.documents import dead_letter, status
from operators.fuses import Fuses
from operators.intake import settle
from operators.judge import Emit, judge
from operators.labels.desk import Changes, LabelDesk
from operators.labels.part import count_unread
from operators.layout import Layout
from operators.members import Members, turn_lists
from operators.model_gate import settle_models
from operators.modes import standing
from operators.observe import KindObserver, Observed, observe
from operators.plan import Program
from operators.repeats import Block, RecentIds, look, repeated_id
from operators.scoring import NoScorers, Scorers
from operators.stamp import Stamped, stamp
from operators.store import Changes as StateChanges
from operators.store import State
from operators.timeline import Timeline, TimelineError
from schemas.mendable import MendableError

Document = dict[str, object]

FORMAT = 2
"""Of everything in a state. A newer one is refused; an older one is migrated here."""


class EngineError(MendableError):
    """The state does not fit the policy; the text says why and what to do."""


@dataclass(slots=True)
class Outcome:
    """What one batch gave: documents by topic, in the order of the events, and the feature frames if they were asked for."""

    documents: dict[str, list[Document]] = field(default_factory=dict)
    observed: list[tuple[Stamped, Observed]] = field(default_factory=list)
    unread: list[tuple[Origin, DeadRecord]] = field(default_factory=list)
    """Records of the labels that are none, each with the first event that would have seen it."""

    def add(self, topic: str, document: Document) -> None:
        self.documents.setdefault(topic, []).append(document)


class Labels(Protocol):
    """Where labels come from."""

    kinds: tuple[str, ...]
    """Entity kinds that a label may name."""

    def until(self, ingest_ms: int) -> tuple[pl.DataFrame, list[tuple[int, DeadRecord]]]:
        """The labels that are known at a moment of the ingest clock, each once, and the records that are none, with their moments."""
        ...


class Engine:
    """Stages, their state, and the counts of the final table.

    `compile_policy` turns a policy document of the config log into a program. `emit` is `hits` or `all`.
    `keep_observed` keeps each batch's feature columns in the outcome.
    """

    def __init__(
        self,
        program: Program,
        state: State,
        compile_policy: Callable[[dict[str, object]], Program],
        *,
        timeline_id: str | None = None,
        emit: Emit = "hits",
        pii_key: bytes = b"",
        cache_bytes: int = 256 << 20,
        keep_observed: bool = False,
        scorers: Scorers | None = None,
        choose: Choose | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.state = state
        self.labels = labels
        self.desk = LabelDesk(state.family("labels"), program.label_memory_ms)
        self.scorers = scorers or NoScorers()
        self.emit = emit
        self.pii_key = pii_key
        self.keep_observed = keep_observed
        self.counts: Counter[str] = Counter()
        self.rules: Counter[tuple[str, str]] = Counter()
        """(rule, one of live, shadow, acted, shadow_acted, cooled, fuse): hits and what came of them, and how often its fuse tripped."""
        self.seconds: dict[str, float] = dict.fromkeys(("stamp", "repeats", "observe", "judge", "act"), 0.0)
        self.intake = RunningClock(None, None)
        self.base = program
        self.program = program
        self._timeline_id = timeline_id
        self.timeline = Timeline(program, compile_policy, timeline_id or "0", timeline_id is not None, choose)
        self.waits_for_config = False
        self.batches = 0
        self.batch_size = 0
        """Events of the last batch."""
        self._members: Members | None = None
        self._stands: Callable[[str, bytes], bool] = lambda name, key: False
        self.fuses = Fuses()
        self.cooldowns = Cooldowns(state.family("cooldowns"))
        self.actor = Actor(program.name, self.cooldowns, self.fuses)
        # The salt of the table of ids changes no answer; a secret one keeps ids from being made to collide in it.
        self.recent = RecentIds(program.policy.repeats, secrets.randbits(63))
        self._ids: list[str] = []
        self.notices = self._restore(timeline_id)
        self._share = cache_bytes // max(1, sum(kind.stateful for kind in program.kinds.values()))
        self.observers = {name: self._observer(name) for name, kind in self.program.kinds.items() if kind.stateful}

    def _observer(self, kind: str) -> KindObserver:
        observer = KindObserver(self.program.kinds[kind], self.state.family(f"rows:{kind}"), self._share)
        for description in orjson.loads(self.state.document(f"layouts:{kind}") or b"[]"):
            observer.know(Layout.from_description(description))
        return observer

    @property
    def clock(self) -> int | None:
        """The ingest clock, ms; None before the first event."""
        return self.intake.clock_ms

    # a state that was left

    def _restore(self, timeline_id: str | None) -> list[Document]:
        found = self.state.document("engine")
        if found is None:
            return []
        saved = orjson.loads(found)
        if saved["format"] != FORMAT:
            raise EngineError(
                f"the state has format {saved['format']}, this version of Watchgate reads format {FORMAT}. Use the version that wrote it, or start with an empty --state."
            )
        if saved["policy"] != self.program.name:
            raise EngineError(
                f"the state belongs to policy {saved['policy']}, this is policy {self.program.name}. Name the state folder of {self.program.name} with --state, or an empty one."
            )
        if timeline_id is None and saved["timeline"] is not None:
            raise EngineError(
                f"the state was made with config timeline {saved['timeline']}, and no config is given. Give the config it was made with (--config), or an empty --state."
            )
        if saved["timeline"] not in (None, timeline_id):
            raise EngineError(
                f"the state was made with config timeline {saved['timeline']}, this config has timeline {timeline_id}. Give the config it was made with, or an empty --state."
            )
        self.intake.clock_ms = saved["clock"]
        self.counts.update(saved["counts"])
        self.rules.update({(rule, what): n for rule, what, n in saved["rules"]})
        try:
            notices = self.timeline.restore(saved["stages"]["timeline"].encode())
            self.fuses.restore(saved["stages"]["fuses"].encode())
        except (TimelineError, ValueError) as error:
            raise EngineError(str(error)) from None
        self.recent.restore(self._restored_ids(saved["ids"]))
        if saved["digest"] != self.base.digest:
            detail: Document = {"digest": self.base.digest, "before": saved["digest"]}
            message = f"policy {self.base.name} changed since the state was made: features that kept their definition keep their state"
            notices.append(status("policy_applied", self.base.name, message, at_ms=self.clock, detail=detail))
        else:
            # Going on with what was in force is no news: a run that was stopped and one that was not write the same.
            notices = [notice for notice in notices if notice["kind"] != "policy_applied"]
        # Rows were left in the layout of the policy in force, which may be one of the config log.
        self.program = self.timeline.at(NEVER if self.clock is None else self.clock).program
        return notices

    def _restored_ids(self, names: list[str]) -> list[Block]:
        self._ids = names
        blocks = []
        for name, value in zip(names, self.state.family("ids").get_many([n.encode() for n in names]), strict=True):
            ids, payloads = np.frombuffer(value or b"", dtype=np.uint64).reshape(2, -1)
            blocks.append(Block(int(name.split("/")[0]), ids, payloads))
        return blocks

    # one batch

    def offer_config(self, lines: Sequence[ConfigLine]) -> list[Document]:
        """Folds config records; the status documents say what was applied or rejected.

        A record of a topic is in force from when the broker took it, never for a time that events were judged at.
        """
        clock = self.clock
        notices = []
        for line in lines:
            known = clock
            if line.appended_ms is not None:
                known = line.appended_ms if clock is None else max(line.appended_ms, clock + 1)
            notices += self.timeline.offer(line.data, known, line.appended_ms)
        return notices

    def config_missing(self) -> list[Document]:
        """The config source cannot be read: nothing may act until `config_found`."""
        self.waits_for_config = True
        return self.timeline.unavailable(True)

    def config_found(self, timeline_id: str, lines: Sequence[ConfigLine]) -> list[Document]:
        """Takes up a config source that could not be read when the engine was made."""
        self.waits_for_config = False
        self._timeline_id = timeline_id
        self.timeline.adopt(timeline_id)
        return [*self.offer_config(lines), *self.timeline.unavailable(False)]

    def process(
        self,
        decoded: Decoded,
        following: Milliseconds,
        payload: Callable[[int], bytes],
        broken: Sequence[DeadRecord] = (),
        forged: Mask | None = None,
    ) -> Outcome:
        """The documents of one batch of decoded events; O(events).

        `broken`: what the source could not make a record of. The rest as `operators.intake.settle` takes it.
        """
        started = perf_counter()
        outcome = Outcome()
        batch = settle(decoded, following, self.intake, payload, forged)
        for note in self._await_models(batch):
            outcome.add("status", note)
        stamped, refused = stamp(batch, self.timeline)
        started = self._spent("stamp", started)
        # After every other check: a record that was refused does not occupy its id, so that it can be mended and sent again.
        for part in stamped if self.recent.capacity else ():
            refused += self._drop_repeats(part)
        self._spent("repeats", started)
        for part in stamped:
            for piece in self._pieces(part):
                self._run(piece, outcome)
        dead = _in_order(decoded, [*broken, *batch.dead, *_with_payload(decoded, refused, payload)], outcome.unread)
        for record in dead:
            outcome.add("deadletter", dead_letter(self.base.name, record))
        self.counts["dead"] += len(dead) - len(outcome.unread)
        self.counts["labels_dead"] += len(outcome.unread)
        return outcome

    def follow_members(self, members: Members, stands: Callable[[str, bytes], bool]) -> None:
        """Lists change at the moments that `members` says; an entity that `stands` on one anyway stays on it."""
        self._members, self._stands = members, stands

    def _pieces(self, part: Stamped) -> list[Stamped]:
        """The part in pieces during which no list changes."""
        if self._members is None or not part.frame.height:
            return [part]
        ingest = part.frame["ingest_time"].to_physical().to_numpy()
        moments = self._members.due(int(ingest[-1]))
        rows = np.unique(np.searchsorted(ingest, moments, side="left")) if moments else np.empty(0, dtype=np.int64)
        return part.cut(rows[(rows > 0) & (rows < len(ingest))].tolist())

    def _turn_lists(self, ingest_ms: int, outcome: Outcome) -> None:
        """Puts entities on lists and takes them off, up to a moment."""
        for turn in self._members.advance(ingest_ms) if self._members else ():
            for document in turn_lists(turn, self._mark, self._stands):
                outcome.add("status", document)

    def _mark(self, name: str, on: list[bytes], off: list[bytes]) -> None:
        self.observers[self.base.policy.lists[name].of].mark_list(name, on, off)

    def _await_models(self, batch: Batch) -> list[Document]:
        """A version that a record brought is there, or was refused, before the first event that it would score."""
        latest = batch.frame["ingest_time"].to_physical().max()
        return settle_models(self.timeline, self.scorers, int(latest)) if isinstance(latest, int) else []

    def _drop_repeats(self, part: Stamped) -> list[DeadRecord]:
        sights = look(part.frame, self.recent)
        self.counts["repeated"] += sights.repeated
        ids, ingest = part.frame["event_id"], part.frame["ingest_time"].to_physical()
        dead = [repeated_id(part.origin(row), ids[row], ingest[row]) for row in sights.again.tolist()]
        if not sights.first.all():
            part.keep(sights.first)
        return dead

    def _run(self, part: Stamped, outcome: Outcome) -> None:
        if not part.frame.height:
            return
        if part.program is not self.program:
            self._replan(part.program)
        self._turn_lists(part.frame["ingest_time"].to_physical()[0], outcome)
        started = perf_counter()
        changes = None if self.labels is None else self._take_labels(self.labels, part, outcome)
        observed = observe(part.frame, part.program, self.observers, changes, part.since)
        started = self._spent("observe", started)
        judged = judge(part, observed, emit=self.emit, pii_key=self.pii_key, scorers=self.scorers)
        started = self._spent("judge", started)
        acted = self.actor.act(judged.hits)
        self._spent("act", started)
        for mode, document in judged.verdicts:
            outcome.add("verdicts" if mode == "live" else "verdicts.shadow", document)
        for mode, document in acted.enforcement:
            outcome.add("enforcement" if mode == "live" else "enforcement.shadow", document)
        for document in (*part.errors, *judged.errors, *acted.status):
            outcome.add("status", document)
        self.rules.update((str(s["subject"]), "fuse") for s in acted.status if s["kind"] == "fuse_tripped")
        if self.keep_observed:
            outcome.observed.append((part, observed))
        self.batches, self.batch_size = self.batches + 1, judged.judged
        self.counts["judged"] += judged.judged
        self.counts["unscored"] += judged.unscored.total()
        self.counts["late"] += observed.late_dropped
        self.counts.update(observed.labels)
        self.rules.update(judged.counts)
        self.rules.update(
            {(rule, "acted" if mode == "live" else "shadow_acted"): n for (rule, mode), n in acted.acted.items()}
        )
        self.rules.update(
            {(rule, "cooled" if mode == "live" else "shadow_cooled"): n for (rule, mode), n in acted.cooled.items()}
        )

    def _take_labels(self, labels: Labels, part: Stamped, outcome: Outcome) -> Changes:
        """What the labels change that are known at the part's last event."""
        ingest = part.frame["ingest_time"].to_physical().to_numpy()
        due, dead = labels.until(int(ingest[-1]))
        rows = np.searchsorted(ingest, [moment for moment, _ in dead], side="left").tolist()
        outcome.unread += [(part.origin(row), record) for row, (_, record) in zip(rows, dead, strict=True)]
        changes, counts = self.desk.take(due, labels.kinds)
        self.counts.update(counts + count_unread(changes, part.program.kinds))
        return changes

    def _spent(self, stage: str, started: float) -> float:
        now = perf_counter()
        self.seconds[stage] += now - started
        return now

    def _replan(self, program: Program) -> None:
        same = program.kinds == self.program.kinds
        self.program = program
        for name, kind in program.kinds.items() if not same else ():
            if name in self.observers:
                self.observers[name].replan(kind)
            elif kind.stateful:  # the first feature of a kind that was only a target
                self.observers[name] = self._observer(name)

    def modes_now(self) -> dict[str, str]:
        """The mode of each rule at the ingest clock, with what holds a live one back."""
        epoch = self.timeline.at(NEVER if self.clock is None else self.clock)
        stands = {rule.name: standing(rule, epoch) for rule in epoch.program.rules}
        held = {name: s.doubt for name, s in stands.items() if s.mode.startswith("live") and s.doubt is not None}
        return {name: f"{s.mode} ({held[name]})" if name in held else s.mode for name, s in stands.items()}

    def fuses_tripped(self) -> int:
        """How many rules do not act because their fuse is out, by the modes of now."""
        epoch = self.timeline.at(NEVER if self.clock is None else self.clock)
        stands = ((rule.name, standing(rule, epoch).fuse_key) for rule in epoch.program.rules)
        return sum(self.fuses.tripped("live", name, key) for name, key in stands)

    # one checkpoint

    @property
    def needs_checkpoint(self) -> bool:
        """True when changed rows fill half of a cache: they may not be evicted before they are written."""
        return self.desk.needs_flush or any(observer.needs_flush for observer in self.observers.values())

    def changes(self) -> StateChanges:
        """All that changed since the last call. The caller commits it, or ends: there is no second chance for these rows."""
        changes = StateChanges()
        for name, observer in self.observers.items():
            keys, values = observer.take_dirty()
            changes.rows[f"rows:{name}"] = (list(keys), list(values))
            changes.documents[f"layouts:{name}"] = orjson.dumps(
                [layout.describe() for layout in observer.layouts.values()]
            )
        cooled = self.cooldowns.take_dirty()
        changes.rows["cooldowns"] = ([key for key, _ in cooled], [value for _, value in cooled])
        changes.rows["ids"] = self._new_ids()
        changes.rows["labels"] = self.desk.take_dirty()
        changes.documents["engine"] = orjson.dumps(
            {
                "format": FORMAT,
                "policy": self.program.name,
                "digest": self.base.digest,
                "timeline": self._timeline_id,
                "clock": self.clock,
                "counts": dict(self.counts),
                "rules": [[rule, what, n] for (rule, what), n in sorted(self.rules.items())],
                "stages": {"timeline": self.timeline.snapshot().decode(), "fuses": self.fuses.snapshot().decode()},
                "ids": self._ids,
            }
        )
        changes.documents["policy"] = orjson.dumps(self.program.policy.model_dump(mode="json", exclude_defaults=True))
        return changes

    def _new_ids(self) -> tuple[list[bytes], list[bytes | None]]:
        """Appends the ids of this checkpoint; forgets the generations that the memory of ids has dropped."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        number = int(self._ids[-1].split("/")[1]) if self._ids else 0
        for block in self.recent.take_new():
            number += 1
            name = f"{block.generation:08d}/{number:08d}"
            self._ids.append(name)
            keys.append(name.encode())
            values.append(np.concatenate([block.ids, block.payloads]).tobytes())
        gone = [name for name in self._ids if int(name.split("/")[0]) < self.recent.oldest]
        self._ids = self._ids[len(gone) :]
        keys += [name.encode() for name in gone]
        values += [None] * len(gone)
        return keys, values


def _with_payload(
    decoded: Decoded, refused: Sequence[DeadRecord], payload: Callable[[int], bytes]
) -> Iterator[DeadRecord]:
    """Records that were refused after decoding, with their bytes: a dead letter says what the record was."""
    if not refused:
        return
    # Looked up by position: a stream may consist of nothing but repeats.
    origins = zip(decoded.frame["__source"].to_list(), decoded.frame["__offset"].to_list(), strict=True)
    rows = dict(zip(origins, decoded.rows.tolist(), strict=True))
    sources = {source: index for index, source in enumerate(decoded.sources)}
    for record in refused:
        source = sources[record.origin.name, record.origin.partition]
        yield replace(record, payload=payload(rows[source, record.origin.offset]))


def _in_order(
    decoded: Decoded, dead: list[DeadRecord], labels: Sequence[tuple[Origin, DeadRecord]]
) -> list[DeadRecord]:
    """Dead records of several stages in the order in which their records arrived, however the batch was cut; those of labels
    before the event that they come with.
    """
    if len(dead) + len(labels) < 2:
        return [*dead, *(record for _, record in labels)]
    index, offsets = decoded.frame["__source"].to_numpy(), decoded.frame["__offset"].to_numpy()
    arrival = {record.origin: row for record, row in zip(decoded.dead, decoded.dead_rows, strict=False)}
    files = {source: (decoded.rows[index == n], offsets[index == n]) for n, source in enumerate(decoded.sources)}

    def place(origin: Origin) -> tuple[int, int]:
        if origin in arrival:
            return arrival[origin], origin.offset
        # A row that is no record of the call (a broken table row) stands behind the last one before it in its file.
        rows, read = files[origin.name, origin.partition]
        before = int(np.searchsorted(read, origin.offset, side="right"))
        return (int(rows[before - 1]) if before else -1), origin.offset

    placed = [((place(event), 0), record) for event, record in labels]
    placed += [((place(record.origin), 1), record) for record in dead]
    return [record for _, record in sorted(placed, key=lambda one: one[0])]
