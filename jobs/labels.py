"""Verdict files against labels: what each rule caught, and how much of what it caught was right."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from operators.plan import Program


@dataclass(frozen=True, slots=True)
class Measured:
    """A rule against labels, in events. `right` of the `fired` were bad; `caught` of the `bad` that it is there for."""

    right: int
    fired: int
    caught: int
    bad: int


@dataclass(frozen=True, slots=True)
class Labels:
    """What really happened. `kinds` is the kind of badness by event id (only bad events); `types` the type of each judged event."""

    kinds: Mapping[str, str]
    judged: Mapping[str, str]
    """Type by id of the events that were judged: dead letters are in no denominator."""
    among: Mapping[str, set[str]] = field(default_factory=dict)
    """By rule: the only events that its recall is counted over."""


def read_labels(path: Path, bad: str, kind: str | None = None) -> dict[str, str]:
    """Kinds of the bad events of a CSV file: column `bad` is 1 or true, column `kind` says which sort (else `bad`'s name)."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: row[kind] if kind else bad for row in csv.DictReader(file) if row[bad].lower() in ("1", "true")
        }


def fired_events(output: Path) -> dict[str, set[str]]:
    """Ids of the events that each rule fired for, live or in shadow, from a run's verdict files; O(verdicts)."""
    fired: dict[str, set[str]] = defaultdict(set)
    for topic in ("verdicts", "verdicts.shadow"):
        with (output / f"{topic}.jsonl").open("rb") as lines:
            for line in lines:
                verdict = orjson.loads(line)
                for rule in verdict["rules"]:
                    if rule["shadow_reason"] != "rule_error":
                        fired[rule["rule"]].add(verdict["event_id"])
    return fired


def measure(
    program: Program, output: Path, labels: Labels, catches: Mapping[str, list[str]] | None = None
) -> dict[str, Measured]:
    """Each rule of a program against labels. `catches` names the kinds that a rule is there for; without it, all."""
    fired = fired_events(output)
    measured = {}
    for rule in program.rules:
        looked = {e for e, type_ in labels.judged.items() if rule.types is None or type_ in rule.types}
        wanted = set(catches[rule.name]) if catches and rule.name in catches else set(labels.kinds.values())
        bad = {e for e in looked & labels.among.get(rule.name, looked) if labels.kinds.get(e) in wanted}
        found = fired[rule.name] & looked
        measured[rule.name] = Measured(sum(e in labels.kinds for e in found), len(found), len(found & bad), len(bad))
    return measured
