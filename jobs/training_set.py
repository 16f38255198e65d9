"""The training table: the columns that the stream computes for each event, joined with what is known of it.

The engine is that of `watchgate run`, so what a model learns from is what it will be given.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.label_history import LabelHistory
from jobs.simulation import Simulation
from models.learners import TrainingError
from models.samples import Samples
from operators.enrich import enrich
from operators.expressions import Type
from operators.plan import Program
from operators.scoring import NoScorers
from schemas.policy import Policy
from schemas.problem import did_you_mean

_NUMBERS = (Type.INTEGER, Type.NUMBER, Type.BOOLEAN)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """`samples` in the order of event time. `unmet`: labels of events that are not in the input; `unlabelled`: events without
    a label.
    """

    samples: Samples
    unmet: int
    unlabelled: int


def chosen_inputs(program: Program, kind: str, named: list[str] | None) -> list[str]:
    """The columns that a model reads. Raises TrainingError for one that there is not, or of a type that it cannot read."""
    wanted = (Type.STRING,) if kind == "text" else _NUMBERS
    takes = "a text" if kind == "text" else "numbers"
    if named is None:
        found = [name for name in _candidates(program.policy) if program.types[name] in wanted]
        if not found or (kind == "text" and len(found) > 1):
            some = f" ({', '.join(found)})" if found else ""
            raise TrainingError(
                f"which column is the text{some}? Name it with --features"
                if kind == "text"
                else f"policy {program.name} has no feature and no field of numbers: name columns with --features"
            )
        return found
    if kind == "text" and len(named) != 1:
        raise TrainingError(f"a text model reads one column, and --features names {len(named)}")
    for position, name in enumerate(named):
        type_ = program.types.get(name)
        if name in program.models:
            raise TrainingError(f"input {name} is a model: a model is trained on what events hold and on features")
        if type_ is None:
            hint = did_you_mean(name, [n for n, t in program.types.items() if t in wanted])
            raise TrainingError(f"policy {program.name} has no column {name}{f' ({hint})' if hint else ''}")
        if type_ not in wanted:
            raise TrainingError(
                f"input {name} is {type_.value}, and a {kind} model reads {takes}: name another, or derive one from it"
            )
        if name in named[:position]:
            raise TrainingError(f"input {name} is named twice")
    return named


def _candidates(policy: Policy) -> list[str]:
    """Fields, derived columns and features, each once. Keys of entities are names, not measurements."""
    keys = {column for entity in policy.entities.values() for column in (*entity.key, entity.each)}
    fields = [name for spec in policy.events.values() for name in spec.fields]
    return [name for name in dict.fromkeys([*fields, *policy.derive, *policy.features]) if name not in keys]


def training_set(
    simulation: Simulation, program: Program, inputs: list[str], history: LabelHistory, until_ms: int | None
) -> TrainingSet:
    """Runs the simulation (made with `keep_observed`) and keeps the labelled events up to `until_ms`; O(events).

    Raises TrainingError where no event has a label.
    """
    parts: list[pl.DataFrame] = []
    events = 0
    for outcome in simulation:
        for stamped, observed in outcome.observed:
            frame = enrich(stamped, observed.frame, program, NoScorers()).frame
            frame = frame.select("event_id", "event_time", *inputs)
            if until_ms is not None:
                frame = frame.filter(pl.col("event_time").to_physical() <= until_ms)
            events += frame.height
            parts.append(frame.join(history.labels, on="event_id", how="inner", maintain_order="left"))
    table = pl.concat(parts) if parts else pl.DataFrame({"event_id": []})
    if table.is_empty():
        raise TrainingError(
            f"none of the {history.labels.height:,} labels is of one of the {events:,} events: event_id of a label must be the event's id, as the policy's id: gives it"
        )
    table = table.sort("event_time", maintain_order=True)
    samples = Samples(
        table.select(inputs),
        program.prints,
        table["positive"].to_numpy(),
        table["event_time"].to_physical().to_numpy().astype(np.int64),
    )
    met = table["event_id"].n_unique()
    return TrainingSet(samples, history.labels.height - met, events - table.height)
