"""watchgate train: a model from events and what became known of them."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from integration.logs import configure_logs
from jobs.cli.programs import compile_document, load_program
from jobs.cli.shared import CommandError, mendable, parse_time
from jobs.label_history import read_history
from jobs.simulation import Simulation
from jobs.training_report import report_page
from jobs.training_set import chosen_inputs, training_set
from models.learners import TrainingError
from models.registry import Registry
from models.training import Order, train
from operators.program import without_rules
from schemas.manifest import ManifestDraft
from schemas.times import iso
from schemas.words import check_name

EXAMPLE = "Example: `watchgate train policy.yaml --input events.jsonl --labels labels.jsonl --target fraud --kind xgboost --registry models`"


class Kind(StrEnum):
    """What can be trained."""

    LOGISTIC = "logistic"
    FOREST = "forest"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    TEXT = "text"


def command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    input: Annotated[str, typer.Option(help="Events, as for `watchgate run`.")],
    labels: Annotated[str, typer.Option(help="Labels: one {event_id, name, value, event_time, known_at} a line.")],
    target: Annotated[str, typer.Option(help="The label to learn: its name in the labels.")],
    kind: Annotated[Kind, typer.Option(help="What to train.")],
    registry: Annotated[Path, typer.Option(help="Folder of models that the version is added to.")],
    features: Annotated[
        str | None, typer.Option(help="Columns to learn from: a,b,c. All features and numbers unless given.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Train as if it were this time: labels known later are not looked at.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; the target's unless given.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder of the policy's list files.")] = None,
    description: Annotated[str, typer.Option(help="What the model tells, in a sentence.")] = "",
) -> None:
    """Train a model on the columns that the stream computes, and add it to the registry with a report."""
    configure_logs("warning")
    with mendable():
        program = without_rules(load_program(policy))
        try:
            until_ms = None if until is None else parse_time(until, "--until")
            named = None if features is None else [one.strip() for one in features.split(",") if one.strip()]
            inputs = chosen_inputs(program, kind.value, named)
            called = check_name(name or target)
            if called in program.types and called not in program.models:
                raise TrainingError(
                    f"{called} is a column of policy {program.name}, and a rule could not tell it from the model's score: "
                    "give the model another --name"
                )
            order = Order(called, kind.value, description, iso(int(time.time() * 1000)))
            history = read_history(labels, target, until_ms)
            # Features of labels see each label from its own known_at on, as they do in a run.
            simulation = Simulation(
                program,
                compile_document,
                input,
                lists or policy.parent,
                labels=labels if program.labels else None,
                keep_observed=True,
            )
            table = training_set(simulation, program, inputs, history, until_ms)
            trained = train(table.samples, order)
            manifest = Registry(registry).add(trained.draft, trained.data)
            page = registry / manifest.name / f"{manifest.version}.html"
            told = _report(report_page(trained, f"{manifest.name}@{manifest.version}"), page)
        except ValueError as error:
            raise CommandError(f"error: {error}") from None
    print(f"{manifest.name}@{manifest.version}: {kind.value} over {', '.join(inputs)}")
    print(_events(trained.draft, table.unmet, table.unlabelled, history.later, history.unread))
    figures = trained.draft.metrics
    print(
        f"on the {int(figures['events']):,} that came after them: average precision {figures['average_precision']:.3f}, AUC {figures['auc']:.3f}, Brier {figures['brier']:.4f}, {figures['positives']:.2%} positive"
    )
    print(told)


def _events(draft: ManifestDraft, unmet: int, unlabelled: int, later: int, unread: int) -> str:
    window = draft.trained_on
    assert window is not None
    text = f"trained on {window.events:,} labelled events, {window.positives:,} positive, from {window.start} to {window.end}"
    left = [
        f"{count:,} {what}"
        for count, what in (
            (unlabelled, "events without a label"),
            (unmet, "labels of events that are not in the input"),
            (later, "labels known too late"),
            (unread, "records that are no labels"),
        )
        if count
    ]
    return f"{text}; left out: {', '.join(left)}" if left else text


def _report(page: str | None, path: Path) -> str:
    """Writes the report; says where, or why there is none."""
    if page is None:
        return "no report: its pictures need pip install '.[train]' in Watchgate's folder"
    path.write_text(page, encoding="utf-8")
    return f"report: {path}"
