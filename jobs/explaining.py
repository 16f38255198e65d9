"""Why a rule fired for one event or did not, with the values it saw and what would have turned the answer."""

from dataclasses import dataclass

import polars as pl

from jobs.engine import Outcome
from jobs.simulation import Simulation
from operators.documents import Json
from operators.enrich import Enriched, enrich
from operators.expressions import Explanation, explain
from operators.keys import key_bytes
from operators.modes import resolve, standing, warm_from
from operators.plan import ModelPlan, Program, RulePlan
from operators.score_documents import explained
from operators.scoring import Scorers
from operators.stamp import Stamped, of_types
from schemas.mendable import MendableError


class NotJudgedError(MendableError):
    """There is nothing to explain; the text says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """A score and what made it, strongest input first."""

    value: float | None
    version: int | None
    because: list[Json]


@dataclass(frozen=True, slots=True)
class Explained:
    """An event's terms, and in which mode the rule stood for it."""

    rule: RulePlan
    event_id: str
    event_type: str
    explanation: Explanation
    mode: str
    shadow_reason: str | None
    scores: dict[str, Told]
    """The scores that the rule read, by model."""

    @property
    def fired(self) -> bool:
        return self.explanation.fired is True


def explain_event(simulation: Simulation, rule: str, event_id: str) -> Explained:
    """Runs the source up to the event, the first with this id of a type at which the rule looks: an id is of its type only.

    Raises NotJudgedError when no such event is judged: it is not there, is dead, or is of other types.
    """
    simulation.keep_observed = True
    dead: str | None = None
    nameless = 0
    other: str | None = None
    for outcome in simulation:
        for stamped, observed in outcome.observed:
            rows = observed.frame.with_row_index("__at").filter(pl.col("event_id") == event_id)
            if rows.is_empty():
                continue
            plan = next((r for r in stamped.program.rules if r.name == rule), None)
            if plan is None:
                other = other or f"policy {stamped.program.name} had no rule {rule} any more when event {event_id} came"
                continue
            looked_at = rows if plan.types is None else rows.filter(of_types(plan.types))
            if looked_at.height:
                return _explained(stamped, looked_at, plan, simulation.scorers)
            looks_at = ", ".join(plan.types or ())
            other = other or f"rule {rule} looks at {looks_at}, event {event_id} is {rows['event_type'][0]}"
        dead = dead or _dead(outcome, event_id)
        nameless += sum(document["event_id"] is None for document in _dead_events(outcome))
    raise NotJudgedError(dead or other or _absent(simulation.source, event_id, nameless))


def _absent(source: str, event_id: str, nameless: int) -> str:
    """That there is no such event; `nameless` dead letters have no id that could be read."""
    text = f"there is no event {event_id} in {source}"
    if nameless:
        letters = "1 dead letter has" if nameless == 1 else f"{nameless:,} dead letters have"
        text += f", and {letters} no id that could be read: deadletter.jsonl, which `watchgate run` writes, says where each stands and why"
    return f"{text}. Give the id as it stands in the record; `watchgate features` lists all ids."


def _dead_events(outcome: Outcome) -> list[Json]:
    """Dead letters of events, not of labels."""
    return [document for document in outcome.documents.get("deadletter", ()) if document["stage"] != "labels"]


def _dead(outcome: Outcome, event_id: str) -> str | None:
    """Why an event was not judged, if it is a dead letter. Of a repeated id the first event was judged, or is one itself."""
    for document in _dead_events(outcome):
        if document["reason"] != "repeated_id" and document["event_id"] == event_id:
            return f"event {event_id} was not judged, it is a dead letter: {document['detail']} ({document['reason']}; {document['hint']})"
    return None


def _explained(stamped: Stamped, rows: pl.DataFrame, plan: RulePlan, scorers: Scorers) -> Explained:
    enriched = enrich(stamped, rows, stamped.program, scorers)
    frame = enriched.frame
    row = frame.row(0, named=True)
    explanation = explain(plan.when, row)
    epoch = stamped.epochs[int(stamped.epoch_index[row["__at"]])]
    stand = standing(plan, epoch)
    mode, reason = "off", None
    if not stand.off:
        target = key_bytes(frame, stamped.program.kinds[plan.target_kind])[0]
        ingest = int(frame["ingest_time"].to_physical()[0])
        mode, reason = resolve(stand, plan.name, target, ingest, warm_from(plan, stamped.since))
    return Explained(
        plan, row["event_id"], row["event_type"], explanation, mode, reason, _scores(stamped.program, plan, enriched)
    )


def _scores(program: Program, plan: RulePlan, enriched: Enriched) -> dict[str, Told]:
    found = {}
    for name in plan.models:
        model = program.models[name]
        because = explained(enriched.frame, model, enriched, [0], most=10).get(0, [])
        because = [_readable(one, enriched.frame, program) for one in because]
        version = model.version if isinstance(model, ModelPlan) else None
        found[name] = Told(enriched.frame[name][0], version, because)
    return found


def _readable(one: Json, frame: pl.DataFrame, program: Program) -> Json:
    """With the words of a text as its value: whoever asks has the event before them anyway. Not of personal data."""
    span, name = one["span"], str(one["input"])
    if not isinstance(span, list):
        return one
    words = "(hidden)" if name in program.pii else repr(frame[name][0][span[0] : span[1]])
    return one | {"value": f"{words}, characters {span[0]} to {span[1]}"}


def sentence(explained: Explained) -> str:
    """One sentence for a person: what fired, on which values, and what would have turned it."""
    because = ", ".join(_term(term.text, term.operands) for term in explained.explanation.terms if term.value is True)
    verb = "fired" if explained.fired else "did not fire"
    text = f"{explained.rule.name} {verb} for {explained.event_type} {explained.event_id}"
    if because:
        text += f" because {because}" if explained.fired else f"; what holds: {because}"
    flips = explained.explanation.flips
    # A bound tells an operator more than a flag that would have been the other way.
    flip = next((f for f in flips if any(c.isdigit() for c in f)), flips[0] if flips else None)
    return text + (f"; {flip}" if flip else "")


def _term(text: str, operands: list[tuple[str, object]]) -> str:
    values = ", ".join(f"{name} is {_shown(value)}" for name, value in operands)
    return f"{text} ({values})" if values else text


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.15g}"
    if isinstance(value, str) and len(value) > 60:
        return value[:60] + "..."
    return str(value)
