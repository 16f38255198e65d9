"""The table at the end of a run: what each rule found, and what came of it."""

from collections.abc import Mapping
from io import StringIO

from rich.console import Console
from rich.table import Table

from integration.sources import unfinished_text
from jobs.job_plan import Summary
from jobs.labels import Measured
from jobs.wilson import wilson
from operators.plan import Program
from schemas.counted import counted
from schemas.times import iso


def summary_text(
    program: Program, summary: Summary, measured: dict[str, Measured] | None = None, width: int = 118
) -> str:
    """The table and the counts below it, as plain text."""
    out = StringIO()
    console = Console(file=out, width=width, color_system=None)
    if program.rules:
        console.print(rule_table(program, summary, measured))
    console.print(counts_line(summary))
    if _labels(summary.counts):
        console.print(labels_line(summary.counts))
    waiting, known_ms = summary.labels_waiting
    if known_ms is not None:
        console.print(
            f"{counted(waiting, 'label waits', 'labels wait')} for a later run: the first is known from {iso(known_ms)} on, after the last event"
        )
    for path, size in summary.unfinished.items():
        console.print(unfinished_text(path, size), highlight=False, soft_wrap=True)
    tripped = [rule.name for rule in program.rules if summary.rules.get((rule.name, "fuse"))]
    if tripped:
        console.print(
            f"the fuse tripped of {', '.join(tripped)}: beyond max_actions nothing more of it acts until its mode is set again (status.jsonl says when, and whether live or in shadow)"
        )
    return out.getvalue()


def rule_table(program: Program, summary: Summary, measured: dict[str, Measured] | None = None) -> Table:
    """One row a rule. `hits` are verdicts; `acted` what was left of them after cooldown and fuse, in brackets what live would have done."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("mode at the end", no_wrap=True)
    for name in ("live hits", "shadow hits", "acted", "would have acted"):
        table.add_column(name, justify="right")
    if measured is not None:
        table.add_column("precision (95 %)", justify="right", no_wrap=True)
        table.add_column("recall (95 %)", justify="right", no_wrap=True)
    for rule in program.rules:
        counts = [summary.rules.get((rule.name, what), 0) for what in ("live", "shadow", "acted", "shadow_acted")]
        cells = [rule.name, summary.modes.get(rule.name, rule.mode), *(f"{n:,}" for n in counts)]
        if measured is not None:
            one = measured.get(rule.name, Measured(0, 0, 0, 0))
            cells += [_share(one.right, one.fired), _share(one.caught, one.bad)]
        table.add_row(*cells)
    return table


def counts_line(summary: Summary) -> str:
    """The counts of the whole state in one line, and how many events this run has read."""
    counts = summary.counts
    whole = sum(counts.get(name, 0) for name in ("judged", "dead", "repeated")) <= summary.events
    parts = [
        f"{counts.get('judged', 0):,} judged",
        counted(counts.get("dead", 0), "dead letter"),
        f"{counts.get('repeated', 0):,} repeated",
        f"{counts.get('late', 0):,} too late for a window",
    ]
    if counts.get("unscored"):
        parts.append(f"{counts['unscored']:,} without the score of a model that was not there or failed")
    return f"{counted(summary.events, 'event')} read{':' if whole else '; so far'} " + ", ".join(parts)


def labels_line(counts: Mapping[str, int]) -> str:
    """What became of the labels, in one line."""
    dead = counts.get("labels_dead", 0)
    parts = [counted(dead, "dead letter")] if dead else []
    parts += [
        f"{counts[name]:,} {words}"
        for name, words in (
            ("labels_repeated", "repeated"),
            ("labels_corrected", "corrected"),
            ("labels_stale", "older than what was known"),
            ("labels_unknown", "of an entity that was not known"),
            ("labels_keyless", "of no entity that a feature reads"),
            ("labels_unread", "of a name that no feature reads"),
            ("labels_late", "too late for a window"),
            ("labels_expired", "of an event that is forgotten"),
        )
        if counts.get(name)
    ]
    return counted(_labels(counts), "label") + (": " if parts else "") + ", ".join(parts)


def _labels(counts: Mapping[str, int]) -> int:
    """Records of labels, with those that are none."""
    return counts.get("labels", 0) + counts.get("labels_dead", 0)


def _share(part: int, whole: int) -> str:
    bounds = wilson(part, whole)
    if bounds is None:
        return "-"
    return f"{part / whole:.2f} ({bounds[0]:.2f}-{bounds[1]:.2f})"
