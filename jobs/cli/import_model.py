"""watchgate models import: somebody else's model becomes a version, with a calibration set where labelled events are given."""

import math
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.programs import compile_document, load_program
from jobs.cli.shared import REGISTRY, CommandError, RegistryFolder, mendable
from jobs.label_history import read_history
from jobs.simulation import Simulation
from jobs.training_set import TrainingSet, training_set
from models.registry import LARGEST_MODEL, Registry
from operators.expressions import Type
from operators.plan import Program
from operators.program import without_rules
from operators.program_models import definition
from operators.scoring import ModelError
from schemas.manifest import ModelInput
from schemas.problem import BadValueError, did_you_mean
from schemas.times import iso
from schemas.words import check_name

EXAMPLE = "Example: `watchgate models import net.onnx --name fraud --inputs amount,night,spend_7d --policy shop.yaml`"


def command(
    file: Annotated[Path, typer.Argument(help="The model, .onnx.")],
    name: Annotated[str, typer.Option(help="Its name in the registry.")],
    inputs: Annotated[
        str,
        typer.Option(
            help="Columns of a policy in the order of the model's inputs: a,b,c. In any order where each is a tensor that is called like its column."
        ),
    ],
    registry: RegistryFolder = REGISTRY,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Binds the model to what this policy defines the columns as; without it to their names only."
        ),
    ] = None,
    on_null: Annotated[
        str, typer.Option(help="Where an input is NULL: null_score, missing (NaN for the model), or a number.")
    ] = "null_score",
    output: Annotated[str | None, typer.Option(help="Output that holds the score, where it is not plain.")] = None,
    output_column: Annotated[int | None, typer.Option(min=0, help="Class in it; the last unless given.")] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Events that it was not trained on, as for `watchgate run`: with --labels they make its thresholds and explanations."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="What became known of those events, as for `watchgate train`.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The label that it tells: its name in the labels.")] = None,
    description: Annotated[str, typer.Option(help="What it tells, in a sentence.")] = "",
) -> None:
    """Add somebody else's model: a PyTorch export, an ensemble. It is loaded and scored in a process of its own first."""
    from models.importing import Wanted, calibration_set, check_draft, imported

    columns = [column.strip() for column in inputs.split(",") if column.strip()]
    with mendable():
        program = None if policy is None else load_program(policy)
        try:
            _checked("--name", name)
            given = _inputs(columns, policy, program, on_null)
            data = _bytes(file)
            draft = imported(data, Wanted(name, given, output, output_column, description, _now()))
            check_draft(draft, data)
            order = [one.name for one in draft.inputs]
            found = _labelled(policy, program, order, calibrate, labels, target)
            if found is not None:
                draft = calibration_set(draft, data, found.samples)
        except ValueError as error:  # a manifest's own complaint has several lines
            raise CommandError(f"error: {' '.join(str(error).split())[:300]}") from None
        manifest = Registry(registry).add(draft, data)
    print(f"{name}@{manifest.version} is in {registry}, digest {sha256(data).hexdigest()[:12]}")
    if found is not None and draft.curve is not None:
        figures = draft.metrics
        print(
            f"calibration set: {draft.curve.events:,} labelled events, {draft.curve.positives:,} positive; average precision {figures['average_precision']:.3f}, AUC {figures['auc']:.3f}; left out: {found.unlabelled:,} events without a label, {found.unmet:,} labels of events that are not in the input"
        )
    if order != columns:
        print(f"its tensors are called like the columns, which are bound to them by name: {', '.join(order)}")
    if policy is None:
        print("its inputs are bound to names, not to definitions: give --policy to have jobs refuse others")


def _labelled(
    policy: Path | None,
    program: Program | None,
    columns: list[str],
    calibrate: str | None,
    labels: str | None,
    target: str | None,
) -> TrainingSet | None:
    """The labelled events with the columns that the stream computes for them; None where none are given."""
    if calibrate is None and labels is None and target is None:
        return None
    if calibrate is None or labels is None or target is None or policy is None or program is None:
        raise CommandError(
            "error: --calibrate EVENTS, --labels LABELS, --target NAME and --policy POLICY go together: the policy computes the model's inputs for the events, and the labels say what they were"
        )
    for column in columns:
        if column in program.models:
            raise CommandError(
                f"error: input {column} is a model, and --calibrate has the columns only that events and features give"
            )
    bare = without_rules(program)
    simulation = Simulation(
        bare,
        compile_document,
        calibrate,
        policy.parent,
        labels=labels if bare.labels else None,
        keep_observed=True,
    )
    return training_set(simulation, bare, columns, read_history(labels, target, None), None)


def _checked(option: str, name: str) -> None:
    try:
        check_name(name)
    except BadValueError as error:
        raise CommandError(f"error: {option}: {error}" + (f"; {error.hint}" if error.hint else "")) from None


def _inputs(columns: list[str], policy: Path | None, program: Program | None, on_null: str) -> list[ModelInput]:
    rule: object = on_null
    if on_null not in ("null_score", "missing"):
        try:
            rule = float(on_null)
        except ValueError:
            rule = math.nan
        if not math.isfinite(float(str(rule))):
            raise CommandError(f"error: --on-null takes null_score, missing or a number, not {on_null!r}") from None
    if not columns:
        raise CommandError("error: --inputs names no column. Write them with commas: --inputs amount,night")
    for number, column in enumerate(columns):
        if column in columns[:number]:
            raise CommandError(f"error: --inputs names {column} twice")
    if program is None:
        for column in columns:
            _checked("--inputs", column)
        return [ModelInput.model_validate({"name": column, "on_null": rule}) for column in columns]
    found = []
    models = program.policy.models
    for column in columns:
        if column not in program.types:
            hint = did_you_mean(column, program.types)
            raise CommandError(f"error: {policy} has no column {column}" + (f"; {hint}" if hint else ""))
        text = program.types[column] is Type.STRING
        found.append(
            ModelInput.model_validate(
                {
                    "name": column,
                    "fingerprint": definition(column, models, lambda model: models[model].version or 0, program.prints),
                    "type": "text" if text else "number",
                    "on_null": "null_score" if text else rule,
                }
            )
        )
    return found


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_MODEL + 1)
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_MODEL:
        raise ModelError(f"{file} has over {LARGEST_MODEL:,} bytes, and no more are allowed")
    return data


def _now() -> str:
    return iso(int(datetime.now(UTC).timestamp() * 1000))
