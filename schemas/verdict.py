"""A verdict: what the rules say about one event, with what an auditor needs to see why. One per event and mode."""

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.cloudevents import EventId, IsoTime, Output, Position
from schemas.policy import Severity

VerdictMode = Literal["live", "shadow"]
ShadowReason = Literal[
    "rule_error",
    "config_unavailable",
    "model_unavailable",
    "rule_changed",
    "ceiling",
    "mode",
    "holdout",
    "warming_up",
    "fuse",
    "challenger",
]


class Target(Output):
    """Whom a rule wants to act on."""

    kind: str
    """Kind of entity."""
    key: str | None
    """The entity; null where the event names none, and then nothing is enforced. `pii: hash`: a keyed hash."""


class FiredRule(Output):
    """A rule that fired, or (shadow_reason rule_error) that could not be computed for this event."""

    rule: str
    """Name of the rule."""
    mode: str
    """The mode that is set for it, such as `live 10%`."""
    shadow_reason: ShadowReason | None
    """Why this is shadow; null in live verdicts.

    mode: it is set to shadow. holdout: the target is not in the rule's share. warming_up: a feature is younger than its
    window. rule_changed: the rule is not the one that its mode was set for. ceiling: the panic switch. fuse: it acted
    too often. rule_error: it failed for this event. config_unavailable, model_unavailable: what it needs is not there.
    challenger: it fired with the challenger's score in place of the model's.
    """
    action: str
    """What the rule asks for; that of `protect` where the target is protected."""
    target: Target
    """Whom to act on."""
    severity: Severity
    """As the rule says."""
    reason: str
    """Why it fired, with the values: `authors_1d 4 (>= 3), not in list vip`."""
    policy_ref: str | None
    """The written policy that the rule enforces."""
    owner: str | None
    """Who answers for the rule."""
    runbook: str | None
    """Where it says what to do."""
    expires_at: IsoTime | None
    """When the action ends; null where it does not."""


class FeatureValue(Output):
    """A feature that a fired rule read."""

    value: float | None
    """The value as of the event; null where there is none."""
    error: str
    """How far it may be from exact: `exact`, `covers 1h to 1h5m`, `exact below 32, at least 32 from there`."""
    coverage: Annotated[float, Field(ge=0, le=1)]
    """Share of the window that was still held for this event: less than 1 for late events."""


class Contribution(Output):
    """What one input added to a score."""

    input: str
    """The column, or the member of an ensemble."""
    value: float | None
    """Its value; null for NULL and for texts, which never stand here."""
    effect: Annotated[float, Field(allow_inf_nan=False)]
    """In logits for a linear model and for a text; else the score minus the score with this input at an ordinary value."""
    span: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None
    """Of a text: the characters from the first up to before the second are what is told of; null for a number."""


class ScoreValue(Output):
    """A score that a fired rule read."""

    value: float | None
    """The score, rounded to six decimals; null where there is none."""
    version: Annotated[int, Field(ge=1)] | None
    """The version that scored; null for an ensemble."""
    thresholds: dict[str, float]
    """The numbers that operating points stood for, such as `precision=0.95`."""
    because: list[Contribution]
    """The inputs, or parts of the text, that moved the score most, strongest first; empty where the model has no explanation."""


class Verdict(Output):
    """What the rules say about one event in one mode."""

    ce_id: EventId
    """The same on every run: drop repeats by it."""
    policy: str
    """Name of the policy."""
    policy_digest: str
    """The version of the policy that judged."""
    epoch: str
    """What was in force: the timeline and the number of config records."""
    event_id: str
    """Id of the event."""
    event_type: str
    """Type of the event."""
    event_time: IsoTime
    """When it happened."""
    ingest_time: IsoTime
    """When it arrived."""
    mode: VerdictMode
    """live, or shadow: seen and not acted on."""
    rules: list[FiredRule]
    """Rules that fired; empty with `--emit all` where none did."""
    features: dict[str, FeatureValue]
    """Every feature that a fired rule read, also through other columns."""
    scores: dict[str, ScoreValue]
    """Scores that the fired rules read, by model; a challenger's as `NAME@VERSION`."""
    include: dict[str, Any]
    """Fields that the policy includes, `pii: hash` ones as keyed hashes."""
    source: Position
    """The record that the event came from."""
