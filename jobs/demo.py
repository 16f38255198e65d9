"""The demo: real comments with spam among them, a classifier trained on half of them, then a password-spraying attack
during which a rule goes live.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import polars as pl
from ruamel.yaml import YAML

from jobs import demo_model
from jobs.embedded import EmbeddedJob
from jobs.explaining import explain_event, sentence
from jobs.job_plan import JobPlan, Progress, Summary
from jobs.labels import Labels, measure, read_labels
from jobs.policies import Policies
from jobs.report import summary_text
from jobs.simulation import Simulation
from operators.plan import Program
from schemas.mendable import MendableError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_MARK = ".watchgate-demo"

Report = Callable[[Progress], None]


class DemoError(MendableError):
    """The demo cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Act:
    """One part of the demo: what to run, and what is known about the truth."""

    title: str
    program: Program
    source: Path
    output: Path
    config: Path | None
    labels: Mapping[str, str]
    catches: Mapping[str, list[str]] | None
    among: Mapping[str, str]
    """By rule: a boolean column; recall is counted over the events for which it is true."""
    explain: str
    """The rule whose verdict is explained."""
    policies: Policies = field(default_factory=Policies)
    """What compiles its policies, and what scores its models."""


def prepare(folder: Path) -> None:
    """Makes an empty folder. Only what an earlier demo left is removed."""
    if not EXAMPLES.is_dir():
        raise DemoError(f"the demo's data is not at {EXAMPLES}. Run it from a clone of the repository: make demo")
    if folder.exists():
        if not folder.is_dir():
            raise DemoError(f"{folder} is a file. Name a folder with --output, or one that shall be made.")
        if not (folder / _MARK).exists() and any(folder.iterdir()):
            raise DemoError(f"{folder} holds other files. Name an empty folder with --output.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()


def comments(folder: Path) -> Act:
    """1,587 comments under four music videos, a bit less than half of them spam."""
    example = EXAMPLES / "comments"
    return Act(
        "1. Real comments: spam under four music videos (YouTube Spam Collection, CC BY 4.0)",
        Policies().load(example / "policy.yaml"),
        example / "comments.jsonl",
        folder / "comments",
        None,
        read_labels(example / "labels.csv", "spam"),
        None,
        {},
        "copied_text",
    )


def classifier(folder: Path) -> Act:
    """A text model of the earlier comments on the later ones, beside the rules, which were written with all of them in view."""
    example = EXAMPLES / "comments"
    program, policies, later, manifest = demo_model.ready(example, folder / "comments-model")
    window = manifest.trained_on
    assert window is not None
    return Act(
        f"2. A text classifier, trained in seconds on the comments up to {window.end[:10]}, in shadow on those that came after",
        program,
        later,
        folder / "comments-model" / "out",
        None,
        read_labels(example / "labels.csv", "spam"),
        None,
        {},
        "spam_model",
        policies,
    )


def logins(folder: Path) -> Act:
    """A seeded attack on an account platform; the story's promotion is a record in a config log."""
    example, data = EXAMPLES / "logins", folder / "logins-data"
    made = subprocess.run(
        [sys.executable, str(example / "generate.py"), "--output", str(data)], capture_output=True, text=True
    )
    if made.returncode:
        raise DemoError(f"the login data could not be made: {made.stderr.strip().splitlines()[-1]}")
    story = YAML(typ="safe", pure=True).load((example / "story.yaml").read_text(encoding="utf-8"))
    return Act(
        f"3. Password spraying, then takeovers; {story['promote']['rule']} goes from shadow to live in mid-stream",
        Policies().load(example / "policy.yaml"),
        data / "logins.jsonl",
        folder / "logins",
        data / "config.jsonl",
        read_labels(data / "labels.csv", "attack", "kind"),
        story["catches"],
        story["among"],
        story["promote"]["rule"],
    )


def play(act: Act, report: Report) -> tuple[Summary, str]:
    """Runs one part; the summary, and the text of its table with one verdict explained."""
    plan = JobPlan(
        act.program,
        act.policies.of_document,
        str(act.source),
        str(act.output),
        act.output / "state",
        act.source.parent,
        str(act.config) if act.config else None,
        scorers=act.policies.scorers,
        choose=act.policies.choose,
    )
    job = EmbeddedJob(plan)
    try:
        summary = job.run(report=report)
    finally:
        job.close()
    labels = _labels(act)
    text = summary_text(act.program, summary, measure(act.program, act.output, labels, act.catches))
    return summary, text + "\n" + explained(act)


def explained(act: Act) -> str:
    """A sentence about the last verdict of the rule to explain, and the command that gives it in full."""
    event = _last_event(act)
    simulation = Simulation(
        act.program,
        act.policies.of_document,
        str(act.source),
        act.source.parent,
        config=act.config,
        scorers=act.policies.scorers,
        choose=act.policies.choose,
    )
    return sentence(explain_event(simulation, act.explain, event))


def _last_event(act: Act) -> str:
    last = None
    for topic in ("verdicts.shadow", "verdicts"):
        with (act.output / f"{topic}.jsonl").open("rb") as lines:
            for line in lines:
                verdict = orjson.loads(line)
                if any(rule["rule"] == act.explain for rule in verdict["rules"]):
                    last = verdict["event_id"]
        if last is not None and topic == "verdicts":
            break
    if last is None:
        raise DemoError(f"{act.explain} fired for no event")
    return str(last)


def _labels(act: Act) -> Labels:
    """The labels, with every event that is no dead letter."""
    judged: dict[str, str] = {}
    among: dict[str, set[str]] = {rule: set() for rule in act.among}
    simulation = Simulation(act.program, lambda _: act.program, str(act.source), act.source.parent, keep_observed=True)
    for outcome in simulation:
        for stamped, _ in outcome.observed:
            frame = stamped.frame
            judged.update(zip(frame["event_id"].to_list(), frame["event_type"].cast(pl.String).to_list(), strict=True))
            for rule, column in act.among.items():
                among[rule].update(frame.filter(pl.col(column))["event_id"].to_list())
    return Labels(act.labels, judged, among)
