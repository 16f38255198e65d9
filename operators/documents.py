"""The records that leave a job, as plain dicts that orjson writes: verdict, enforcement, dead letter, status.

Pure functions of what the stages know. Fields and their order are those of the models in `schemas`. Every `ce_id` is
made of what the record is about and never of when it was written, so a record that is written again after a crash has
the same one and a consumer can drop it.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import blake2b, sha256

from operators.batch import DeadRecord, Hit, Origin
from operators.plan import FeaturePlan, Program, RatioPlan, RulePlan
from schemas.cloudevents import ce_id
from schemas.times import iso

Json = dict[str, object]

PREFIX_BYTES = 512
"""So much of a dead record is kept: enough to see what it was, little enough that any sink can take it."""

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))


def verdict_id(policy: str, event_type: str, event_id: str, mode: str) -> str:
    """The id of an event's verdict: one a mode. Ids are unique within an event type only, so the type is part of it."""
    return ce_id(policy, "verdicts", event_type, event_id, mode)


def fired(
    plan: RulePlan, mode: str, shadow_reason: str | None, action: str, key: str | None, reason: str, ingest_ms: int
) -> Json:
    """A rule's entry in a verdict. `mode` is the mode as it was set, `action` what is asked for after protection."""
    return {
        "rule": plan.name,
        "mode": mode,
        "shadow_reason": shadow_reason,
        "action": action,
        "target": {"kind": plan.target_kind, "key": key},
        "severity": plan.severity,
        "reason": reason,
        "policy_ref": plan.policy_ref,
        "owner": plan.owner,
        "runbook": plan.runbook,
        "expires_at": _expiry(ingest_ms, plan.expires_ms),
    }


def verdict(
    program: Program,
    epoch: str,
    mode: str,
    ident: str,
    event: tuple[str, str, int, int],
    rules: list[Json],
    features: Json,
    scores: Json,
    include: Json,
    origin: Origin,
) -> Json:
    """What was found about one event in one mode. `event` is its id, its type, its event time and ingest time in ms."""
    event_id, event_type, event_ms, ingest_ms = event
    event_time = iso(event_ms)
    return {
        "ce_id": ident,
        "policy": program.policy.policy,
        "policy_digest": program.digest,
        "epoch": epoch,
        "event_id": event_id,
        "event_type": event_type,
        "event_time": event_time,
        "ingest_time": event_time if ingest_ms == event_ms else iso(ingest_ms),
        "mode": mode,
        "rules": rules,
        "features": features,
        "scores": scores,
        "include": include,
        "source": {"name": origin.name, "partition": origin.partition, "offset": origin.offset},
    }


def enforcement(policy: str, hit: Hit, mode: str, shadow_reason: str | None) -> Json:
    """What should be done to one target, or in mode `shadow` what would have been done."""
    key = hit.target_key
    return {
        "ce_id": ce_id(policy, "enforcement", hit.event_type, hit.event_id, mode, hit.rule, hit.target_kind, key or ""),
        "policy": policy,
        "epoch": hit.epoch,
        "mode": mode,
        "shadow_reason": shadow_reason,
        "rule": hit.rule,
        "action": hit.action,
        "severity": hit.severity,
        "target": {"kind": hit.target_kind, "key": key},
        "event_id": hit.event_id,
        "event_type": hit.event_type,
        "event_time": iso(hit.event_ms),
        "at": iso(hit.ingest_ms),
        "expires_at": _expiry(hit.ingest_ms, hit.expires_ms),
        "reason": hit.reason,
        "policy_ref": hit.policy_ref,
        "protected_by": hit.protected,
        "verdict": hit.verdict_id,
    }


def dead_letter(policy: str, dead: DeadRecord) -> Json:
    """A record that could not become an event: where it was and why, and a bounded piece of it."""
    origin, payload = dead.origin, dead.payload
    return {
        "ce_id": ce_id(policy, "deadletter", origin.name, str(origin.partition), str(origin.offset)),
        "policy": policy,
        "source": {"name": origin.name, "partition": origin.partition, "offset": origin.offset},
        "stage": dead.stage,
        "reason": dead.reason,
        "field": dead.field,
        "detail": dead.detail,
        "hint": dead.hint,
        "event_id": dead.event_id,
        "length": len(payload),
        "sha256": sha256(payload).hexdigest(),
        "prefix": b64encode(payload[:PREFIX_BYTES]).decode(),
    }


def status(
    kind: str, subject: str, message: str, *, at_ms: int | None, epoch: str | None = None, detail: Json | None = None
) -> Json:
    """A fact about the job. A runtime of several subtasks writes its own `subtask` and `of` over these."""
    return {
        "kind": kind,
        "subject": subject,
        "at": None if at_ms is None else iso(at_ms),
        "epoch": epoch,
        "subtask": 0,
        "of": 1,
        "detail": detail or {},
        "message": message,
    }


def _expiry(ingest_ms: int, expires_ms: int | None) -> str | None:
    return None if expires_ms is None else iso(ingest_ms + expires_ms)


def span(ms: int) -> str:
    """A length of time with every unit that it needs.

    >>> span(3_900_000), span(604_800_000)
    ('1h5m', '7d')
    """
    text = ""
    for size, unit in _UNITS:
        count, ms = divmod(ms, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def error_text(plan: FeaturePlan | RatioPlan, features: Mapping[str, FeaturePlan | RatioPlan]) -> str:
    """How far a feature's value may be from the exact one, in words."""
    if isinstance(plan, RatioPlan):
        over, under = (error_text(features[name], features) for name in (plan.over, plan.under))
        return over if over == under else f"{plan.over}: {over}; {plan.under}: {under}"
    if plan.aggregate == "first_seen":
        return f"exact below {plan.cap} values, NULL from there; remembers {span(plan.over_ms)}"
    if plan.aggregate == "distinct":
        return f"exact below {plan.cap}, at least {plan.cap} from there"
    if plan.tick_ms:
        return f"exact; an event counts in the newest tick of {span(plan.tick_ms)}, late ones too"
    if not plan.over_ms:
        return "exact"
    covers = f"covers {span(plan.over_ms)} to {span(plan.over_ms + plan.pane_ms)}"
    return f"{covers}, up to {span(plan.delay_ms)} before" if plan.delay_ms else covers


def keyed_hash(text: str, key: bytes) -> str:
    """How the text of a `pii: hash` column is written out: `h:` and 24 hex digits, the same for one text and key."""
    return "h:" + blake2b(text.encode(), key=key, digest_size=12).hexdigest()
