"""What a rule may do to whom: from its mode, the ceiling, and every doubt about it, to `live` or `shadow`.

A rule acts live only where nothing speaks against it. What speaks against it is named by the first of these that holds:

    rule_error          the rule, or a column that it reads, failed for this event
    config_unavailable  the config source has not been read
    rule_changed        its mode was set for another version of the rule
    ceiling             the panic switch is on
    mode                its mode is shadow
    holdout             its mode is live N%, and this target is not among the N
    warming_up          a feature that it reads is younger than its window
"""

from collections.abc import Mapping
from dataclasses import dataclass

from operators.hashing import hash_bytes
from operators.plan import RulePlan
from operators.timeline import Epoch

BUCKETS = 10_000
NEVER_WARM = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rule stands during one epoch, whatever the event."""

    mode: str
    """As it was set: by the mode record, or by the policy where there is none."""
    off: bool
    doubt: str | None
    """Why it is shadow for every event; None where it depends on the event."""
    share: int
    """Targets in buckets below this act live; of BUCKETS."""
    fuse_key: str


def standing(rule: RulePlan, epoch: Epoch) -> Standing:
    """How `rule` stands in `epoch`. O(1).

    A rule that is off stays off when it changes: nothing that it could do by mistake is then done.
    """
    record = epoch.modes.get(rule.name)
    mode = rule.mode if record is None else record.mode
    share = live_share(mode)
    doubt = None
    if epoch.unavailable:
        doubt = "config_unavailable"
    elif record is not None and record.digest != rule.digest:
        doubt = "rule_changed"
    elif epoch.ceiling:
        doubt = "ceiling"
    elif share is None:
        doubt = "mode"
    fuse_key = "policy" if record is None else f"record:{record.index}"
    return Standing(mode, mode == "off", doubt, 0 if doubt else share or 0, fuse_key)


def live_share(mode: str) -> int | None:
    """How many of BUCKETS a mode makes live; None for a mode that is not live at all.

    >>> live_share("live"), live_share("live 10%"), live_share("shadow")
    (10000, 1000, None)
    """
    if mode == "live":
        return BUCKETS
    if mode.startswith("live ") and mode.endswith("%"):
        return min(int(mode[5:-1]), 100) * (BUCKETS // 100)
    return None


def bucket(rule: str, target_id: bytes) -> int:
    """The bucket of a target, fixed for ever for one rule: so a higher percentage only adds targets.

    The rule is part of it, so that it is not the same accounts that try out every new rule.
    """
    return hash_bytes(rule.encode() + b"\0" + target_id) % BUCKETS


def warm_from(rule: RulePlan, since: Mapping[str, int]) -> int:
    """The ingest time (ms) from which every window that `rule` reads has been filled by the stream.

    A feature of which nothing is known is never warm.
    """
    if not rule.warmup:
        return -NEVER_WARM
    return max(
        (since[name] + window if name in since else NEVER_WARM for name, window in rule.window_ms.items()),
        default=-NEVER_WARM,
    )


def resolve(
    stands: Standing, rule: str, target_id: bytes | None, ingest_ms: int, warm_ms: int
) -> tuple[str, str | None]:
    """Mode and shadow reason of a rule that fired for one target.

    A target whose key is NULL is in no bucket: it is held out unless all are live.
    """
    if stands.doubt is not None:
        return "shadow", stands.doubt
    if stands.share < BUCKETS and (target_id is None or bucket(rule, target_id) >= stands.share):
        return "shadow", "holdout"
    if ingest_ms < warm_ms:
        return "shadow", "warming_up"
    return "live", None
