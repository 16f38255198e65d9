"""The timeline: which policy and which modes are in force for an event, by its ingest time.

A config record is in force from the later of its `effective_at` and the ingest clock when it was read. The timeline
is the fold of the records in order of (in force, read); the epoch after n records is named `<timeline>:<n>`. A record
never takes effect in the past, so an epoch that events have been judged in does not change any more, and every answer
depends on ingest times alone, never on where batches were cut.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import orjson

from operators.ages import NEVER, Ages
from operators.choices import Choices
from operators.config_records import Choose, RefusedError, Setting, check, describe, reason
from operators.documents import Json, status
from operators.passed import Passed
from operators.plan import Program
from schemas.config import ConfigError, ConfigRecord, parse_config
from schemas.times import iso

FORMAT = 1
BEGUN = 16
"""Events after which a stream has begun, as far as warming up goes."""
GAP_MS = 300_000
"""A longer gap before that begins it anew."""


class TimelineError(Exception):
    """A stored timeline cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ModeInForce:
    """What a mode record set, for which version of the rule, and which record it was (in the order of reading)."""

    mode: str
    digest: str
    index: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is in force for a stretch of ingest time."""

    id: str
    program: Program
    modes: Mapping[str, ModeInForce] = field(default_factory=dict)
    """By rule: only those that a record has set."""
    ceiling: bool = False
    in_force_ms: int = NEVER
    since: Mapping[str, int] = field(default_factory=dict)
    """By feature: the ingest time from which it has been in the stream."""
    unavailable: bool = False
    """The config source has not been read, so nothing may act."""


@dataclass(slots=True)
class _Record:
    index: int
    in_force_ms: int
    key: str
    value: object
    setting: Setting | None
    """None for a record that is set aside: it is counted, and changes nothing."""
    used: bool = False
    """Events have been judged in its epoch."""
    settled: bool = False
    """Its models have been waited for."""


class Timeline:
    """Config records in, epochs out.

    `base` is the program that the job was started with, `compile` makes one of a policy document and raises if it
    cannot. `configured`: there is a config source, so epochs are numbered from the start. `choose` makes the program
    with other versions of models and other thresholds, and raises if they do not fit; None where there is no registry.
    """

    def __init__(
        self,
        base: Program,
        compile: Callable[[dict[str, object]], Program],
        timeline_id: str = "0",
        configured: bool = False,
        choose: Choose | None = None,
    ) -> None:
        self.timeline_id = timeline_id
        self._base = base
        self._compile = compile
        self._choose = choose
        self._chosen: dict[tuple[object, ...], Program] = {}
        self._notes: list[Json] = []
        self._configured = configured
        self._unavailable = False
        self._records: list[_Record] = []
        self._offered = 0
        self._first_ms: int | None = None
        self._seen = 0
        self._clock_ms = NEVER
        self._passed = Passed()
        self._base_since: dict[str, int] = {}
        self._epochs = [self._first_epoch()]
        self._starts = np.array([NEVER], dtype=np.int64)

    def offer(self, record: bytes, clock_ms: int | None, appended_ms: int | None = None) -> list[Json]:
        """Takes a config record, read when the ingest clock stood at `clock_ms` (None: before the first event).

        `appended_ms`: when the broker took it, from which on it is owed; None where that is not known.

        Returns the status records to write: one that says from when it is in force, and how many events it came too late
        for, or one that says why it was rejected. Never raises for what stands in a record. O(epochs from then on), and a compilation for a policy.
        """
        index, self._offered = self._offered, self._offered + 1
        if not self._configured:
            self._configured = True
            self._rebuild(0)
        now = max(self._clock_ms, NEVER if clock_ms is None else clock_ms)
        try:
            parsed = parse_config(record)
            # What JSON can say and our documents cannot: integers beyond 64 bit, halves of a character.
            orjson.dumps([parsed.key, parsed.value, parsed.by, parsed.reason])
        except (ConfigError, orjson.JSONEncodeError) as error:
            return [self._rejected(f"record {index + 1}", str(error), now)]
        if parsed.key == "timeline":
            return self._named(str(parsed.value), now)
        in_force = max(now, NEVER if parsed.effective_ms is None else parsed.effective_ms)
        before = self.at(in_force)
        try:
            setting = check(parsed, before.program, self._base, self._compile, self._with_choices)
        except RefusedError as error:
            return [self._rejected(parsed.key, str(error), now, record=parsed)]
        position = bisect_right(self._records, in_force, key=lambda r: r.in_force_ms)
        value = parsed.value
        if setting.rule and isinstance(value, dict):
            value = value | {"digest": setting.digest}  # the same whether the record said it or not
        self._records.insert(position, _Record(index, in_force, parsed.key, value, setting))
        self._rebuild(position)
        notes, self._notes = self._notes, []
        after = self._epochs[position + 1]
        sentence, detail = describe(setting, before, after)
        at = None if in_force == NEVER else iso(in_force)
        message = f"{sentence} from {at or 'the first event'} on"
        remarks = []
        if parsed.effective_ms is not None and parsed.effective_ms < in_force:
            remarks.append(f"asked for from {iso(parsed.effective_ms)}, which had passed")
        owed = max(ms for ms in (NEVER, parsed.effective_ms, appended_ms) if ms is not None)
        if owed != NEVER:
            missed, all_of_them = self._passed.since(owed)
            if missed or not all_of_them:
                remarks.append(_missed(missed, all_of_them, owed))
            detail["events_before"] = missed
        message += f" ({'; '.join(remarks)})" if remarks else ""
        detail |= {"in_force_at": at, "reason": parsed.reason} | _written(parsed)
        kind = "policy_applied" if setting.program is not None else "config_applied"
        return [status(kind, parsed.key, message, at_ms=_known(now), epoch=after.id, detail=detail), *notes]

    def unsettled(self, upto_ms: int) -> list[tuple[int, frozenset[tuple[str, int]]]]:
        """Records in force at `upto_ms` that bring versions of models which were not waited for: (record, versions)."""
        found = []
        for position, record in enumerate(self._records):
            if record.in_force_ms > upto_ms:
                break
            if not record.settled:
                new = self._epochs[position + 1].program.versions - self._epochs[position].program.versions
                record.settled = not new
                if new:
                    found.append((record.index, new))
        return found

    def settled(self, index: int, refused: str | None) -> list[Json]:
        """Says that the models of a record have been waited for, and why one was refused; returns status records.

        The record is set aside then, unless events have been judged in its epoch: that does not change any more, and
        rules over the model stay shadow.
        """
        position = next(i for i, record in enumerate(self._records) if record.index == index)
        record = self._records[position]
        record.settled = True
        if refused is None:
            return []
        now = self._clock_ms if record.used else record.in_force_ms
        detail: Json = {"reason": refused}
        if record.used:
            message = f"{record.key}: {refused}; rules over it are shadow until another version is in force"
        else:
            record.setting = None
            self._rebuild(position)
            message = f"{record.key} was refused, and what was in force stays: {refused}"
        return [status("model_refused", record.key, message, at_ms=_known(now), epoch=self.at(now).id, detail=detail)]

    def adopt(self, timeline_id: str) -> None:
        """Names the timeline, for a job that began before it could read its config source."""
        self.timeline_id, self._configured = timeline_id, True
        self._rebuild(0)

    def unavailable(self, missing: bool) -> list[Json]:
        """Says that the config source cannot be read (every rule is shadow from now on), or that it can be again."""
        if missing == self._unavailable:
            return []
        self._unavailable = missing
        at_ms = _known(self._clock_ms)
        if missing:
            message = "the config source cannot be read: every rule is shadow"
            return [status("config_unavailable", "config", message, at_ms=at_ms)]
        return [
            status("config_available", "config", "the config source has been read: modes are in force", at_ms=at_ms)
        ]

    def assign(self, ingest: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], list[Epoch]]:
        """The epoch of each event: an index into the epochs that come with it, those in use only; O(n log records).

        The first events say when the stream began, which is when its features did: at the first one, or behind the last
        gap of over five minutes among the first sixteen. A few records with old stamps at the head of a stream would
        make every window look full otherwise.
        """
        if not len(ingest):
            return np.zeros(0, dtype=np.int32), [self._marked(self.at(self._clock_ms))]
        indices: list[npt.NDArray[np.int32]] = []
        epochs: list[Epoch] = []
        for stretch in np.split(ingest, self._begins(ingest)):
            index, found = self._assign(stretch)
            indices.append(index + np.int32(len(epochs)))
            epochs += found
        return np.concatenate(indices), epochs

    def _begins(self, ingest: npt.NDArray[np.int64]) -> list[int]:
        """Events after the first one of these at which the stream begins anew."""
        head = ingest[: max(0, BEGUN - self._seen)]
        return [] if len(head) < 2 else (np.flatnonzero(np.diff(head) > GAP_MS) + 1).tolist()

    def _observe_clock(self, ingest: npt.NDArray[np.int64]) -> None:
        moment = int(ingest[0])
        begins = self._seen < BEGUN and (self._first_ms is None or moment - self._clock_ms > GAP_MS)
        self._seen = min(BEGUN, self._seen + len(ingest))
        if begins:
            self._first_ms, self._base_since = moment, {}
        new = {plan.fingerprint for plan in self._base.features.values()} - self._base_since.keys()
        if begins or new:
            self._base_since |= dict.fromkeys(new, moment)
            self._rebuild(0)

    def _assign(self, ingest: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], list[Epoch]]:
        self._observe_clock(ingest)
        self._clock_ms = max(self._clock_ms, int(ingest.max()))
        self._passed.add(ingest)
        position = np.searchsorted(self._starts, ingest, side="right") - 1
        first, last = int(position.min()), int(position.max())
        for record in self._records[max(first - 1, 0) : last]:
            record.used = True
        if first == last:
            return np.zeros(len(ingest), dtype=np.int32), [self._marked(self._epochs[first])]
        used, index = np.unique(position, return_inverse=True)
        return index.astype(np.int32), [self._marked(self._epochs[i]) for i in used]

    def at(self, ms: int) -> Epoch:
        """The epoch in force at an ingest time."""
        return self._epochs[bisect_right(self._records, ms, key=lambda r: r.in_force_ms)]

    def feature_since(self, name: str, at_ms: int) -> int | None:
        """From when on the feature that bears this name at `at_ms` has been in the stream; None where there is none."""
        return self.at(at_ms).since.get(name)

    @property
    def clock_ms(self) -> int:
        """The greatest ingest time seen, `NEVER` before the first event."""
        return self._clock_ms

    @property
    def revision(self) -> object:
        """Equal as long as `snapshot` would differ in nothing but the clock."""
        records = [(record.used, record.setting is None) for record in self._records]
        return self._offered, self._configured, self._seen, len(self._base_since), records

    def snapshot(self) -> bytes:
        """Everything that `restore` needs, as JSON."""
        records = [
            {
                "index": record.index,
                "in_force_ms": record.in_force_ms,
                "key": record.key,
                "value": record.value,
                "digest": record.setting and record.setting.digest,
                "aside": record.setting is None,
                "used": record.used,
            }
            for record in self._records
        ]
        return orjson.dumps(
            {
                "format": FORMAT,
                "timeline": self.timeline_id,
                "configured": self._configured,
                "offered": self._offered,
                "ages": self.ages.to_bytes().decode(),
                "records": records,
            }
        )

    @property
    def ages(self) -> Ages:
        """How far the stream has come: the part of the state that its events change."""
        return Ages(self._first_ms, self._seen, self._clock_ms, self._base_since)

    def restore(self, data: bytes, ages: Ages | None = None) -> list[Json]:
        """Goes on from a snapshot, with the base program that this timeline was made with; returns status records.

        `ages`: how far the stream has come, if that was kept apart from the snapshot.

        A policy record that no longer fits the events and entities of the base program is set aside. Raises
        TimelineError for another timeline, an unknown format, or a policy record that no longer compiles.
        """
        document = orjson.loads(data)
        if document.get("format") != FORMAT:
            raise TimelineError(
                f"the state's timeline has format {document.get('format')}, this version reads {FORMAT}: "
                "use the version of watchgate that wrote it"
            )
        if document["configured"] and document["timeline"] != self.timeline_id:
            raise TimelineError(
                f"the state belongs to timeline {document['timeline']}, "
                f"the config source to timeline {self.timeline_id}: "
                "name the config source that this state was made with, or start with an empty state"
            )
        self._configured = self._configured or document["configured"]
        self._offered = document["offered"]
        ages = ages or Ages.from_bytes(document["ages"])
        self._first_ms, self._seen, self._clock_ms = ages.first_ms, ages.seen, ages.clock_ms
        self._passed.forget(self._clock_ms)
        notes: list[Json] = []
        self._records = []
        for entry in document["records"]:
            key, value = entry["key"], entry["value"]
            record = _Record(entry["index"], entry["in_force_ms"], key, value, None, entry.get("used", True))
            if not entry["aside"]:
                try:
                    record.setting = Setting.restored(key, value, entry["digest"], self._base, self._compile)
                except RefusedError as error:
                    notes.append(self._rejected(record.key, f"set aside: {error}", self._clock_ms))
                except Exception as error:
                    raise TimelineError(
                        f"policy record {record.index + 1} of the state does not compile: {str(error).rstrip('.')}. "
                        "Run the job with the version of watchgate and the options with which it was accepted"
                    ) from error
            self._records.append(record)
        # A feature that this base does not have loses its state, unless a policy record kept it in the stream.
        replaced = any(r.setting and r.setting.program and r.in_force_ms <= self._clock_ms for r in self._records)
        kept = {plan.fingerprint for plan in self._base.features.values()}
        self._base_since = {name: ms for name, ms in ages.since.items() if replaced or name in kept}
        self._rebuild(0)
        if self._notes:
            raise TimelineError("; ".join(str(note["message"]) for note in self._notes))
        current = self.at(self._clock_ms)
        if current.program.digest != self._base.digest:
            message = "a policy record is in force, not the policy that the job was started with"
            notes.append(status("policy_applied", "policy", message, at_ms=_known(self._clock_ms), epoch=current.id))
        return notes

    # epochs

    def _first_epoch(self) -> Epoch:
        since = {name: self._base_since.get(plan.fingerprint, NEVER) for name, plan in self._base.features.items()}
        return Epoch(f"{self.timeline_id}:0" if self._configured else "0", self._base, since=since)

    def _rebuild(self, position: int) -> None:
        """Makes the epochs anew from the record at `position` on."""
        if position == 0:
            self._epochs = [self._first_epoch()]
        del self._epochs[position + 1 :]
        for record in self._records[position:]:
            self._epochs.append(self._next(self._epochs[-1], record))
        self._starts = np.array([NEVER, *(r.in_force_ms for r in self._records)], dtype=np.int64)

    def _next(self, epoch: Epoch, record: _Record) -> Epoch:
        after = replace(epoch, id=f"{self.timeline_id}:{len(self._epochs)}", in_force_ms=record.in_force_ms)
        setting = record.setting
        if setting is None:
            return after
        if setting.program is not None or setting.model:
            try:
                if setting.program is None:
                    return replace(
                        after, program=self._with_choices(epoch.program, setting.chosen(epoch.program.choices))
                    )
                return self._with_program(after, self._with_choices(setting.program, epoch.program.choices))
            except (
                Exception
            ) as error:  # two records that came in another order than they are in force do not fit together
                record.setting = None
                why = f"set aside: it does not fit what is in force before it: {reason(error)}"
                self._notes.append(self._rejected(record.key, why, record.in_force_ms, epoch.id))
                return after
        if setting.ceiling is not None:
            return replace(after, ceiling=setting.ceiling)
        mode = ModeInForce(setting.mode, setting.digest or "", record.index)
        return replace(after, modes={**epoch.modes, setting.rule: mode})

    def _with_choices(self, program: Program, choices: Choices) -> Program:
        """The program with these choices; the same object for the same program and choices."""
        if program.choices.key == choices.key:
            return program
        if self._choose is None:
            raise RefusedError("this job has no model registry: start it with --registry DIR")
        key = (program.digest, choices.key)
        if key not in self._chosen:
            self._chosen[key] = self._choose(program, choices)
        return self._chosen[key]

    def _with_program(self, epoch: Epoch, program: Program) -> Epoch:
        if program.digest == epoch.program.digest and program.choices.key == epoch.program.choices.key:
            return epoch
        before = {plan.fingerprint: epoch.since[name] for name, plan in epoch.program.features.items()}
        entered = max(epoch.in_force_ms, NEVER if self._first_ms is None else self._first_ms)
        # After a restore with another base, a base feature may be younger than this record, which had it all along.
        since = {name: min(before.get(plan.fingerprint, entered), entered) for name, plan in program.features.items()}
        return replace(epoch, program=program, since=since)

    def _marked(self, epoch: Epoch) -> Epoch:
        return replace(epoch, unavailable=True) if self._unavailable else epoch

    # status

    def _named(self, name: str, now: int) -> list[Json]:
        if name == self.timeline_id:
            return []
        why = (
            f"this is the log of timeline {name}, and the job follows timeline {self.timeline_id}: "
            "name the config source that the job was started with"
        )
        return [self._rejected("timeline", why, now)]

    def _rejected(
        self, subject: str, why: str, now: int, epoch: str | None = None, record: ConfigRecord | None = None
    ) -> Json:
        why = why.encode(errors="replace").decode()
        named = self.at(now).id if epoch is None else epoch
        detail: Json = {"reason": why} | (_written(record) if record else {})
        message = f"{subject} was rejected: {why}"
        return status("config_rejected", subject, message, at_ms=_known(now), epoch=named, detail=detail)


def _missed(events: int, all_of_them: bool, owed_ms: int) -> str:
    """That events were judged before a record was read that was owed to them."""
    number = f"{events:,} event{'s' * (events != 1)}" if events else "an unknown number of events"
    least = "at least " if events and not all_of_them else ""
    verb = "were" if events > 1 else "was"
    return f"{least}{number} taken in since {iso(owed_ms)} {verb} judged under the earlier epoch"


def _written(record: ConfigRecord) -> Json:
    """Who wrote the record and when: with its key what tells it from others, for whoever waits for its status."""
    return {"by": record.by, "written_at": None if record.at is None else iso(record.at)}


def _known(ms: int) -> int | None:
    return None if ms == NEVER else ms
