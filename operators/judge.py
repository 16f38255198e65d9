"""judge: which rules fired for which events, and in which mode; verdicts for people, hits for `act`.

All rules are computed over whole columns at once. Python looks at single events only where a rule fired, or where
every event is to be written out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from operators.batch import Hit, Origin
from operators.documents import Json, fired, verdict, verdict_id
from operators.enrich import Enriched, enrich
from operators.expressions import reason_text
from operators.findings import Finding, Rows, find, union
from operators.garbage import uncollected
from operators.modes import Standing, resolve, standing, warm_from
from operators.observe import Observed
from operators.plan import RulePlan
from operators.score_documents import ScoreDocuments
from operators.scoring import NoScorers, Scorers
from operators.shown import FeatureDocuments, Target, include_of, targets_of
from operators.stamp import Stamped

Emit = Literal["hits", "all"]

_COUNTED = {"rule_error": "error", "challenger": "challenger"}
_FAILED = "the rule, or a column that it reads, failed for this event"


@dataclass(slots=True)
class Judged:
    """What was found in a batch."""

    verdicts: list[tuple[str, Json]] = field(default_factory=list)
    """(mode, document) in the order of the events, live before shadow."""
    hits: list[Hit] = field(default_factory=list)
    """Rules that fired, in the order of the events, then of the mode, then of the policy. Not those that failed."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (rule, `live` or `shadow`): how often it fired; by (rule, `error`): for how many events it failed;
    by (rule, `challenger`): how often it fired with a challenger's score."""
    errors: list[Json] = field(default_factory=list)
    """Status records about what failed."""
    judged: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    """By model: events that it gave no answer for, because it is not there or failed."""


def judge(
    stamped: Stamped,
    observed: Observed,
    emit: Emit = "hits",
    pii_key: bytes = b"",
    scorers: Scorers | None = None,
) -> Judged:
    """Verdicts and hits of a batch.

    `emit="all"` writes a live verdict for every event, also where no rule fired; it acts on nobody then. `pii_key` (at
    most 64 bytes) keys the hash under which `pii: hash` columns are written. `scorers` has the models; without them
    there are no scores. O(events x rules) vectorised, then about 20 us a verdict.
    """
    judged = Judged(judged=observed.frame.height)
    program, scorers = stamped.program, scorers or NoScorers()
    enriched = enrich(stamped, observed.frame, program, scorers)
    judged.errors += enriched.errors
    judged.unscored.update({name: int(rows.sum()) for name, rows in enriched.missing.items()})
    findings = find(stamped, program, enriched, judged.errors)
    beside: Enriched | None = None
    if program.challenge is not None:
        beside = enrich(stamped, observed.frame, program.challenge, scorers)
        challenging = find(stamped, program.challenge, beside, judged.errors)
        findings += [replace(finding, challenger=True) for finding in challenging]
    height = observed.frame.height
    at = np.arange(height) if emit == "all" else union([f.rows for f in findings])
    if len(at):
        with uncollected():
            _Writing(stamped, observed, enriched, beside, at, findings, pii_key).write(judged, emit)
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
        enriched: Enriched,
        beside: Enriched | None,
        at: Rows,
        findings: Sequence[Finding],
        pii_key: bytes,
    ) -> None:
        picked = enriched.frame if len(at) == enriched.frame.height else enriched.frame[at]
        self.program, self.stamped = stamped.program, stamped
        self.event_ids, self.types = picked["event_id"].to_list(), picked["event_type"].cast(pl.String).to_list()
        self.event_ms: list[int] = picked["event_time"].to_physical().to_list()
        self.ingest_ms: list[int] = picked["ingest_time"].to_physical().to_list()
        self.origins = list(zip(picked["__source"].to_list(), picked["__offset"].to_list(), strict=True))
        self.epoch_at: list[int] = stamped.epoch_index[at].tolist()
        kinds = dict.fromkeys(f.plan.target_kind for f in findings)
        self.targets = {kind: targets_of(picked, self.program, kind, pii_key) for kind in kinds}
        self.entries = self._enter(findings, at)
        fired = sorted(i for i, entries in self.entries.items() if any(not e.finding.challenger for e in entries))
        own = [finding for finding in findings if not finding.challenger]
        self.rows_read = dict(zip(fired, _rows_read(picked, fired, own), strict=True))
        self.scores = ScoreDocuments(self.program, enriched, at.tolist(), fired)
        if beside is not None:
            self._challenge(beside, at, [finding for finding in findings if finding.challenger])
        self.features = FeatureDocuments(self.program, stamped.since, observed.coverage, picked, at)
        self.include = include_of(picked, self.program, pii_key)

    def _challenge(self, beside: Enriched, at: Rows, findings: Sequence[Finding]) -> None:
        """What the challengers' rules read, for the rows on which they fired."""
        assert self.program.challenge is not None
        fired = sorted(i for i, entries in self.entries.items() if any(e.finding.challenger for e in entries))
        picked = beside.frame if len(at) == beside.frame.height else beside.frame[at]
        self.challenger_rows = dict(zip(fired, _rows_read(picked, fired, findings), strict=True))
        self.challenger_scores = ScoreDocuments(self.program.challenge, beside, at.tolist(), fired)

    def write(self, judged: Judged, emit: Emit) -> None:
        looked = _read_by_type(self.stamped) if emit == "all" else []
        for i, event_type in enumerate(self.types):
            found = self.entries.get(i)
            if found is None:
                self._verdict(judged, i, "live", [], looked[self.epoch_at[i]][event_type])
                continue
            for mode in ("live", "shadow"):
                mine = [entry for entry in found if entry.mode == mode]
                if mine or (emit == "all" and mode == "live"):
                    read = looked[self.epoch_at[i]][event_type] if emit == "all" else _read_by(mine)
                    self._verdict(judged, i, mode, mine, read)

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
                if finding.challenger:
                    entries[i].append(_Entry(finding, "shadow", "challenger"))
                    continue
                stands = finding.stands[self.epoch_at[i]]
                if row in finding.unscored and stands.doubt != "config_unavailable":
                    entries[i].append(_Entry(finding, "shadow", "model_unavailable"))
                    continue
                entries[i].append(_Entry(finding, *resolve(stands, rule.name, ids[i], self.ingest_ms[i], warm_ms)))
        return dict(entries)

    def _verdict(
        self,
        judged: Judged,
        i: int,
        mode: str,
        entries: Sequence[_Entry],
        read: tuple[dict[str, None], dict[str, None]],
    ) -> None:
        """`read`: the features and the models that the verdict shows."""
        event = (self.event_ids[i], self.types[i], self.event_ms[i], self.ingest_ms[i])
        epoch = self.stamped.epochs[self.epoch_at[i]].id
        ident = verdict_id(self.program.name, event[1], event[0], mode)
        documents = []
        for entry in entries:
            finding = entry.finding
            stands, target = finding.stands[self.epoch_at[i]], self.targets[finding.plan.target_kind]
            row = (self.challenger_rows if finding.challenger else self.rows_read)[i]
            document, hit = _fire(entry, row, i, event, epoch, ident, stands, target)
            documents.append(document)
            if hit is not None:
                judged.hits.append(hit)
            judged.counts[finding.plan.name, _COUNTED.get(entry.reason or "", mode)] += 1
        source, offset = self.origins[i]
        name, partition = self.stamped.sources[source]
        values, include, origin = self.features.of(i, read[0]), self.include(i), Origin(name, partition, offset)
        scores = self.scores.of(i, read[1])
        challenging = dict.fromkeys(m for e in entries if e.finding.challenger for m in e.finding.plan.models)
        if challenging:
            scores |= self.challenger_scores.of(i, challenging, self.program)
        document = verdict(self.program, epoch, mode, ident, event, documents, values, scores, include, origin)
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
    """A rule's entry in a verdict, and its hit; no hit of a rule that failed, nor of a challenger's."""
    rule = entry.finding.plan
    key, target_id = target.texts[i], target.ids[i]
    protected = rule.protect_list if rule.protect_list is not None and target.on_list(rule.protect_list, i) else None
    action = rule.action if protected is None or rule.protect_action is None else rule.protect_action
    failed = entry.reason == "rule_error"
    reason = _FAILED if failed else reason_text(rule.when, row)
    document = fired(rule, stands.mode, entry.reason, action, key, reason, event[3])
    if failed or entry.finding.challenger:
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


def _read_by(entries: Sequence[_Entry]) -> tuple[dict[str, None], dict[str, None]]:
    plans = [entry.finding.plan for entry in entries]
    return _read(plans, [entry.finding.plan for entry in entries if not entry.finding.challenger])


def _read_by_type(stamped: Stamped) -> list[dict[str, tuple[dict[str, None], dict[str, None]]]]:
    """For each epoch and event type the features and the models that rules which look at it then read."""
    program, found = stamped.program, []
    for epoch in stamped.epochs:
        on = [rule for rule in program.rules if not standing(rule, epoch).off]
        looking = {name: [rule for rule in on if rule.types is None or name in rule.types] for name in program.events}
        found.append({name: _read(rules, rules) for name, rules in looking.items()})
    return found


def _read(plans: Sequence[RulePlan], own: Sequence[RulePlan]) -> tuple[dict[str, None], dict[str, None]]:
    """Features that rules read, and models that those of them read which are no challengers'."""
    return dict.fromkeys(f for plan in plans for f in plan.features), dict.fromkeys(
        m for plan in own for m in plan.models
    )
