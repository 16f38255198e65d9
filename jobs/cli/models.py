"""watchgate models: what the registry holds, whether it is sound, and which version a job scores with."""

import getpass
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from jobs.cli import import_model
from jobs.cli.config_log import append, effective
from jobs.cli.kafka_options import Properties, load_properties
from jobs.cli.shared import REGISTRY, CommandError, RegistryFolder, mendable
from jobs.wilson import wilson
from models.inspection import inspect
from models.registry import Registry, RegistryError, parse_reference
from operators.operating_points import POINTS, UnreachableError, operating_point, point_name
from operators.scoring import ModelError
from schemas.manifest import Manifest, ModelInput, Point
from schemas.times import iso

app = typer.Typer(help="List, show, check, publish and import models.", no_args_is_help=True)

_SHOWN: tuple[tuple[Point, float], ...] = (
    ("precision", 0.5),
    ("precision", 0.8),
    ("precision", 0.9),
    ("precision", 0.95),
    ("recall", 0.5),
    ("recall", 0.8),
    ("alerts_per_day", 10.0),
    ("alerts_per_day", 100.0),
)


class Mode(StrEnum):
    """What a published version may do."""

    shadow = "shadow"
    live = "live"


@app.command("list", epilog="Example: `watchgate models list --registry models/`")
def list_command(registry: RegistryFolder = REGISTRY) -> None:
    """One line a version, newest last."""
    with mendable():
        found = Registry(registry)
        manifests, damaged = _manifests(found)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "kind", "inputs", "trained until", "measured", "digest"):
        table.add_column(name, overflow="fold")
    for one in manifests:
        trained = one.trained_on.end if one.trained_on else "-"
        measured = ", ".join(f"{name} {value:.3g}" for name, value in list(one.metrics.items())[:3]) or "-"
        inputs = ", ".join(given.name for given in one.inputs)
        table.add_row(f"{one.name}@{one.version}", one.kind, inputs, trained, measured, one.sha256[:12])
    if manifests:
        _console().print(table)
    elif not damaged:
        print(f"{registry} has no models yet")
    if damaged:
        raise CommandError("\n".join(f"error: {why}" for why in damaged))


@app.command(epilog="Example: `watchgate models show fraud@3 --at precision=0.97`")
def show(
    model: Annotated[str, typer.Argument(help="NAME@VERSION, or NAME for its newest version.")],
    registry: RegistryFolder = REGISTRY,
    at: Annotated[
        list[str] | None, typer.Option(help="An operating point, such as precision=0.97; may be given again.")
    ] = None,
) -> None:
    """What a version reads, what it was trained on, how good it is, and what each operating point costs."""
    points = [_point(text) for text in at or ()]
    with mendable():
        found = Registry(registry)
        one = found.manifest(*_reference(found, model))
    print(f"{one.name}@{one.version}  {one.kind}" + (f"  {one.description}" if one.description else ""))
    print(f"digest   {one.sha256}")
    if one.created_at:
        print(f"made     {one.created_at}")
    if one.trained_on:
        window = one.trained_on
        print(f"trained  {window.start} to {window.end}, {window.events:,} events, {window.positives:,} positive")
    if one.metrics:
        print("measured " + ", ".join(f"{name} {value:.4g}" for name, value in one.metrics.items()))
    print(f"score    output {one.output.tensor}, column {one.output.column}, calibration {one.calibration.method}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("input", "type", "definition", "where it is NULL"):
        table.add_column(name)
    for given in one.inputs:
        table.add_row(given.name, given.type, given.fingerprint or "not bound", _on_null(given))
    print()
    _console().print(table)
    print()
    if one.curve is None:
        print("it has no calibration set, so it has no operating points: rules compare its score with a number")
    else:
        _console().print(_points_table(one, points or list(_SHOWN)))
        curve = one.curve
        print(
            f"on {curve.events:,} events of {curve.days:.3g} days, {curve.positives:,} positive; ranges are 95 % (Wilson)"
        )


@app.command(epilog="Example: `watchgate models verify`, or `watchgate models verify fraud@3`")
def verify(
    model: Annotated[str | None, typer.Argument(help="NAME@VERSION, NAME, or nothing for all.")] = None,
    registry: RegistryFolder = REGISTRY,
) -> None:
    """Load versions in a process of their own, with limits, and score their golden rows. Exit 1 if one is refused."""
    with mendable():
        found = Registry(registry)
        wanted = [_reference(found, model)] if model else [(n, v) for n in found.names() for v in found.versions(n)]
        said = list(_verified(found, wanted))
    for (name, version), why in said:
        print(f"{'ok     ' if why is None else 'refused'} {name}@{version}" + ("" if why is None else f": {why}"))
    refused = sum(why is not None for _, why in said)
    if refused:
        print(f"{refused} of {len(said)} refused", file=sys.stderr)
        sys.exit(1)


@app.command(
    epilog="Example: `watchgate models publish fraud@3 --config modes.jsonl --mode live --reason 'two weeks as the challenger'`"
)
def publish(
    model: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    config: Annotated[
        str, typer.Option(help="The config log: a file, made if it does not exist, or kafka://HOST:PORT/TOPIC.")
    ],
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    mode: Annotated[
        Mode,
        typer.Option(
            help="live: rules read this version. shadow: it is the challenger, scored beside the one in force."
        ),
    ] = Mode.shadow,
    by: Annotated[str | None, typer.Option(help="Who; the user's name unless given.")] = None,
    effective_at: Annotated[
        str | None,
        typer.Option(help="In force from this time on (ISO 8601, ingest time); without it from where a job reads it."),
    ] = None,
    in_: Annotated[
        str | None,
        typer.Option("--in", help="In force so long from now, for example 2s: all subtasks then switch at one event."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when every subtask of the job has it (Kafka).")] = False,
    client_properties: Properties = None,
    registry: RegistryFolder = REGISTRY,
) -> None:
    """Verify a version and append a model record to a config log. A job that reads the log changes over to it.

    Publishing the version before is the rollback.
    """
    if not reason.strip():
        raise CommandError("error: --reason is empty. Say why, for whoever reads the log after an incident.")
    start = effective(effective_at, in_)
    properties = load_properties(client_properties)
    with mendable():
        name, version = parse_reference(model)
        why = next(iter(_verified(Registry(registry), [(name, version)])))[1]
        if why is not None:
            raise ModelError(f"{model} is refused and was not published: {why}")
        record = {
            "key": f"model/{name}",
            "value": {"version": version, "mode": mode.value},
            "by": by or getpass.getuser(),
            "reason": reason.strip(),
            "at": _now(),
        }
        done = append(config, record, start, properties, wait)
    what = "is in force" if mode is Mode.live else "is the challenger"
    print(f"{model} {what} {done.when}; recorded in {config}")
    print("".join(f"{answer}\n" for answer in done.answers), end="")


app.command("import", epilog=import_model.EXAMPLE)(import_model.command)


def _manifests(registry: Registry) -> tuple[list[Manifest], list[str]]:
    """The manifests of all versions, and what is wrong with those that cannot be read."""
    manifests, damaged = [], []
    for name in registry.names():
        for version in registry.versions(name):
            try:
                manifests.append(registry.manifest(name, version))
            except RegistryError as error:
                damaged.append(str(error))
    return manifests, damaged


def _verified(registry: Registry, wanted: list[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], str | None]]:
    """Why each version is refused, None where it is sound."""
    for name, version in wanted:
        try:
            stored = registry.load(name, version)
        except RegistryError as error:
            if version not in registry.versions(name):
                raise
            yield (name, version), str(error)
            continue
        yield (name, version), inspect([stored])[0]


def _reference(registry: Registry, text: str) -> tuple[str, int]:
    if "@" in text:
        return parse_reference(text)
    versions = registry.versions(text)
    if not versions:
        registry.manifest(text, 1)  # says which models there are
    return text, versions[-1]


def _point(text: str) -> tuple[Point, float]:
    name, _, number = text.partition("=")
    for point in POINTS:
        try:
            if name == point and float(number) > 0:
                return point, float(number)
        except ValueError:
            break
    raise CommandError(f"error: --at takes precision=, recall= or alerts_per_day= and a number above 0, not {text!r}")


def _points_table(one: Manifest, points: list[tuple[Point, float]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("operating point", "threshold", "precision", "recall", "alerts a day"):
        table.add_column(name, justify="left" if name == "operating point" else "right")
    assert one.curve is not None
    for point, wanted in points:
        try:
            found = operating_point(one.curve, point, wanted)
        except UnreachableError:
            table.add_row(point_name(point, wanted), "not reached")
            continue
        table.add_row(
            point_name(point, wanted),
            f"{found.threshold:.6f}",
            _share(found.caught, found.flagged),
            _share(found.caught, found.positives),
            f"{found.alerts_per_day:.4g}",
        )
    return table


def _share(part: int, whole: int) -> str:
    bounds = wilson(part, whole)
    return "-" if bounds is None else f"{part / whole:.3f} ({bounds[0]:.3f}-{bounds[1]:.3f})"


def _on_null(given: ModelInput) -> str:
    told = {"null_score": "no score", "missing": "NaN, the model's own rule"}
    return told.get(str(given.on_null), f"taken as {given.on_null}")


def _now() -> str:
    return iso(int(datetime.now(UTC).timestamp() * 1000))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)
