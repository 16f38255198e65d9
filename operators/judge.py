"""judge: which rules fired for which events, and in which mode; verdicts for people, hits for `act`.

All rules are computed over whole columns at once. Python looks at single events only where a rule fired, or where
every event is to be written out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from operators.batch import Hit, Origin
from operators.documents import Json, fired, verdict, verdict_id
from operators.expressions import reason_text
from operators.findings import Finding, Rows, find, union
from operators.garbage import uncollected
from operators.modes import Standing, resolve, standing, warm_from
from operators.observe import Observed
from operators.shown import FeatureDocuments, Target, include_of, targets_of
from operators.stamp import NULL_THERE, Stamped, derive, failure

Emit = Literal["hits", "all"]

_FAILED = "the rule, or a column that it reads, failed for this event"


@dataclass(slots=True)
class Judged:
    """What was found in a batch."""

    verdicts: list[tuple[str, Json]] = field(default_factory=list)
    """(mode, document) in the order of the events, live before shadow."""
    hits: list[Hit] = field(default_factory=list)
    """Rules that fired, in the order of the events, then of the mode, then of the policy. Not those that failed."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (rule, `live` or `shadow`): how often it fired; by (rule, `error`): for how many events it failed."""
    errors: list[Json] = field(default_factory=list)
    """Status records about what failed."""
    judged: int = 0


def judge(stamped: Stamped, observed: Observed, emit: Emit = "hits", pii_key: bytes = b"") -> Judged:
    """Verdicts and hits of a batch.

    `emit="all"` writes a live verdict for every event, also where no rule fired; it acts on nobody then. `pii_key` (at
    most 64 bytes) keys the hash under which `pii: hash` columns are written. O(events x rules) vectorised, then about
    20 us a verdict.
    """
    judged = Judged(judged=observed.frame.height)
    frame, failed, names = derive(observed.frame, stamped.program.late)
    for name, rows in failed.items():
        judged.errors.append(failure(f"derived column {name}", NULL_THERE, rows, names[name], stamped))
    findings = find(stamped, frame, {**stamped.failed, **failed}, judged.errors)
    at = np.arange(frame.height) if emit == "all" else union([f.rows for f in findings])
    if len(at):
        picked = frame if len(at) == frame.height else frame[at]
        with uncollected():
            _Writing(stamped, observed, picked, at, findings, pii_key).write(judged, emit)
    return judged


@dataclass(slots=True)
class _Entry:
    """A rule that fired for an event, or failed for it."""

    finding: Finding
    mode: str
    reason: str | None


class _Writing:
    """Verdicts and hits of some rows of a batch: `at` are their numbers, `picked` their columns."""

    def __init__(
        self,
        stamped: Stamped,
        observed: Observed,
        picked: pl.DataFrame,
        at: Rows,
        findings: Sequence[Finding],
        pii_key: bytes,
    ) -> None:
        self.program, self.stamped = stamped.program, stamped
        self.event_ids, self.types = picked["event_id"].to_list(), picked["event_type"].cast(pl.String).to_list()
        self.event_ms: list[int] = picked["event_time"].to_physical().to_list()
        self.ingest_ms: list[int] = picked["ingest_time"].to_physical().to_list()
        self.origins = list(zip(picked["__source"].to_list(), picked["__offset"].to_list(), strict=True))
        self.epoch_at: list[int] = stamped.epoch_index[at].tolist()
        kinds = dict.fromkeys(f.plan.target_kind for f in findings)
        self.targets = {kind: targets_of(picked, self.program, kind, pii_key) for kind in kinds}
        self.entries = self._enter(findings, at)
        self.rows_read = _rows_read(picked, sorted(self.entries), findings)
        self.features = FeatureDocuments(self.program, stamped.since, observed.coverage, picked, at)
        self.include = include_of(picked, self.program, pii_key)

    def write(self, judged: Judged, emit: Emit) -> None:
        of_type = _features_by_type(self.stamped) if emit == "all" else {}
        for i, event_type in enumerate(self.types):
            found = self.entries.get(i)
            if found is None:
                self._verdict(judged, i, "live", [], {}, of_type[event_type])
                continue
            row = next(self.rows_read)
            for mode in ("live", "shadow"):
                mine = [entry for entry in found if entry.mode == mode]
                if mine or (emit == "all" and mode == "live"):
                    features = of_type[event_type] if emit == "all" else _features_of(mine)
                    self._verdict(judged, i, mode, mine, row, features)

    def _enter(self, findings: Sequence[Finding], at: Rows) -> dict[int, list[_Entry]]:
        """What was found by position among the rows, each with its mode; rules in the policy's order."""
        entries: dict[int, list[_Entry]] = defaultdict(list)
        for finding in findings:
            rule = finding.plan
            warm_ms = warm_from(rule, self.stamped.since)
            ids = self.targets[rule.target_kind].ids
            for row, i in zip(finding.rows.tolist(), np.searchsorted(at, finding.rows).tolist(), strict=True):
                if row in finding.doubtful:
                    entries[i].append(_Entry(finding, "shadow", "rule_error"))
                    continue
                stands = finding.stands[self.epoch_at[i]]
                entries[i].append(_Entry(finding, *resolve(stands, rule.name, ids[i], self.ingest_ms[i], warm_ms)))
        return dict(entries)

    def _verdict(
        self, judged: Judged, i: int, mode: str, entries: Sequence[_Entry], row: Json, features: dict[str, None]
    ) -> None:
        event = (self.event_ids[i], self.types[i], self.event_ms[i], self.ingest_ms[i])
        epoch = self.stamped.epochs[self.epoch_at[i]].id
        ident = verdict_id(self.program.name, event[1], event[0], mode)
        documents = []
        for entry in entries:
            finding = entry.finding
            stands, target = finding.stands[self.epoch_at[i]], self.targets[finding.plan.target_kind]
            document, hit = _fire(entry, row, i, event, epoch, ident, stands, target)
            documents.append(document)
            if hit is not None:
                judged.hits.append(hit)
            judged.counts[finding.plan.name, "error" if hit is None else mode] += 1
        source, offset = self.origins[i]
        name, partition = self.stamped.sources[source]
        values, include, origin = self.features.of(i, features), self.include(i), Origin(name, partition, offset)
        document = verdict(self.program, epoch, mode, ident, event, documents, values, include, origin)
        judged.verdicts.append((mode, document))


def _fire(
    entry: _Entry,
    row: Json,
    i: int,
    event: tuple[str, str, int, int],
    epoch: str,
    ident: str,
    stands: Standing,
    target: Target,
) -> tuple[Json, Hit | None]:
    """A rule's entry in a verdict, and its hit; no hit of a rule that failed."""
    rule = entry.finding.plan
    key, target_id = target.texts[i], target.ids[i]
    protected = rule.protect_list if rule.protect_list is not None and target.on_list(rule.protect_list, i) else None
    action = rule.action if protected is None or rule.protect_action is None else rule.protect_action
    failed = entry.reason == "rule_error"
    reason = _FAILED if failed else reason_text(rule.when, row)
    document = fired(rule, stands.mode, entry.reason, action, key, reason, event[3])
    if failed:
        return document, None
    hit = Hit(
        rule=rule.name,
        mode=entry.mode,
        shadow_reason=entry.reason,
        action=action,
        severity=rule.severity,
        target_kind=rule.target_kind,
        target_key=key,
        target_id=target_id or b"",
        protected=protected,
        reason=reason,
        policy_ref=rule.policy_ref,
        event_id=event[0],
        event_type=event[1],
        event_ms=event[2],
        ingest_ms=event[3],
        epoch=epoch,
        verdict_id=ident,
        cooldown_ms=rule.cooldown_ms,
        expires_ms=rule.expires_ms,
        budget=rule.budget,
        fuse_key=stands.fuse_key,
    )
    return document, hit


def _rows_read(picked: pl.DataFrame, found: Sequence[int], findings: Sequence[Finding]) -> Iterator[Json]:
    """What the rules that fired read, for each position of `found`."""
    read = dict.fromkeys(name for f in findings for name in (*f.plan.when.reads, *f.plan.when.flags))
    names = [name for name in read if name in picked.columns]  # one that is missing made its rules fail
    rows = picked if len(found) == picked.height else picked[list(found)]
    # Which of several texts matched is not to be seen in a row: those conditions are computed again, for hits only.
    texts = {expr.meta.output_name(): expr for f in findings if not f.doubtful for expr in f.plan.when.reason_exprs}
    if not names and not texts:
        return iter([{} for _ in found])
    return rows.select(*names, *texts.values()).iter_rows(named=True)


def _features_of(entries: Sequence[_Entry]) -> dict[str, None]:
    return dict.fromkeys(name for entry in entries for name in entry.finding.plan.features)


def _features_by_type(stamped: Stamped) -> dict[str, dict[str, None]]:
    """For each event type the features that rules which look at it read."""
    program = stamped.program
    on = [rule for rule in program.rules if not all(standing(rule, epoch).off for epoch in stamped.epochs)]
    return {
        name: dict.fromkeys(f for rule in on if rule.types is None or name in rule.types for f in rule.features)
        for name in program.events
    }
