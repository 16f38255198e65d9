"""An enforcement record: what is to be done to one target, after cooldown and fuse. One per rule and target."""

from schemas.cloudevents import EventId, IsoTime, Output
from schemas.policy import Severity
from schemas.verdict import ShadowReason, VerdictMode


class EnforcedTarget(Output):
    """One entity."""

    kind: str
    """Kind of entity."""
    key: str
    """The entity."""


class Enforcement(Output):
    """One action. In enforcement.shadow: what live would have done."""

    ce_id: EventId
    """The same on every run: act once for each."""
    policy: str
    """Name of the policy."""
    epoch: str
    """What was in force: the timeline and the number of config records."""
    mode: VerdictMode
    """live: act. shadow: do not."""
    shadow_reason: ShadowReason | None
    """Why this is shadow; null in live records. As in verdicts."""
    rule: str
    """The rule that fired."""
    action: str
    """What to do; that of `protect` where the target is protected."""
    severity: Severity
    """As the rule says."""
    target: EnforcedTarget
    """Whom to act on."""
    event_id: str
    """The event that made the rule fire."""
    event_type: str
    """Its type."""
    event_time: IsoTime
    """When it happened."""
    at: IsoTime
    """When it arrived: the time that cooldown, fuse and expiry go by."""
    expires_at: IsoTime | None
    """When the action ends; null where it does not."""
    reason: str
    """Why the rule fired, with the values."""
    policy_ref: str | None
    """The written policy that the rule enforces."""
    protected_by: str | None
    """The list that protects the target; null where none does."""
    verdict: EventId
    """`ce_id` of the verdict that says more."""
