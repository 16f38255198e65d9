"""act: from hits to enforcement, through cooldown and fuse.

Live and shadow hits go through the same steps, each in a namespace of its own, so that shadow enforcement is what live
would have done. Live steps never read or write what shadow hits leave behind.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from operators.batch import Hit
from operators.cooldowns import Cooldowns, cooldown_key
from operators.documents import Json, enforcement, status
from operators.fuses import Fuses
from operators.garbage import uncollected
from schemas.duration import format_duration


@dataclass(slots=True)
class Acted:
    """What came of a batch of hits. `acted` and `cooled` count by (rule, mode)."""

    enforcement: list[tuple[str, Json]] = field(default_factory=list)
    """(mode, document) in the order of the hits."""
    status: list[Json] = field(default_factory=list)
    acted: Counter[tuple[str, str]] = field(default_factory=Counter)
    cooled: Counter[tuple[str, str]] = field(default_factory=Counter)


class Actor:
    """Cooldown by target, then budget by rule, for hits in the order of their events."""

    def __init__(self, policy: str, cooldowns: Cooldowns | None = None, fuses: Fuses | None = None) -> None:
        self.policy = policy
        self.cooldowns = cooldowns or Cooldowns()
        self.fuses = fuses or Fuses()

    def act(self, hits: Sequence[Hit]) -> Acted:
        """Enforcement of a batch of hits; O(hits), one read of the store. A hit without a target acts on nobody.

        A live hit of a rule whose fuse has tripped goes the way of a shadow hit, with reason `fuse`. A shadow hit of a
        rule whose shadow fuse has tripped leaves nothing: live would not have acted either.
        """
        acted = Acted()
        aimed = [hit for hit in hits if hit.target_key is not None]
        self.cooldowns.load([_key(self._namespace(hit), hit) for hit in aimed if hit.cooldown_ms > 0])
        with uncollected():
            for hit in aimed:
                self._act(hit, acted)
        return acted

    def _act(self, hit: Hit, acted: Acted) -> None:
        reason = hit.shadow_reason
        if hit.mode == "live":
            if self._step(hit, "live", acted):
                acted.enforcement.append(("live", enforcement(self.policy, hit, "live", None)))
            if not self.fuses.tripped("live", hit.rule, hit.fuse_key):
                return
            reason = "fuse"
        if self._step(hit, "shadow", acted):
            acted.enforcement.append(("shadow", enforcement(self.policy, hit, "shadow", reason)))

    def _namespace(self, hit: Hit) -> str:
        return "live" if hit.mode == "live" and not self.fuses.tripped("live", hit.rule, hit.fuse_key) else "shadow"

    def _step(self, hit: Hit, namespace: str, acted: Acted) -> bool:
        """Whether the hit acts in a namespace. Only what acts starts a cooldown and takes from the budget."""
        name = (hit.rule, namespace)
        if self.fuses.tripped(namespace, hit.rule, hit.fuse_key):
            return False
        key = _key(namespace, hit)
        if self.cooldowns.cooling(key, hit.ingest_ms, hit.cooldown_ms):
            acted.cooled[name] += 1
            return False
        if not self.fuses.spend(namespace, hit.rule, hit.fuse_key, hit.budget, hit.ingest_ms):
            acted.status.append(_tripped(hit, namespace))
            return False
        self.cooldowns.mark(key, hit.ingest_ms, hit.cooldown_ms)
        acted.acted[name] += 1
        return True


def _key(namespace: str, hit: Hit) -> bytes:
    return cooldown_key(namespace, hit.rule, hit.target_kind, hit.target_id)


def _tripped(hit: Hit, namespace: str) -> Json:
    count, window_ms = hit.budget
    budget = f"{count}/{format_duration(window_ms)}"
    if namespace == "live":
        message = (
            f"rule {hit.rule} reached its budget of {budget} and acts no more: "
            "its hits go to enforcement.shadow with reason fuse until its mode is set again"
        )
    else:
        message = (
            f"rule {hit.rule} in shadow reached its budget of {budget}: live would have stopped here, "
            "so nothing more of it goes to enforcement.shadow until its mode is set again"
        )
    detail: Json = {"namespace": namespace, "budget": budget, "fuse_key": hit.fuse_key}
    return status("fuse_tripped", hit.rule, message, at_ms=hit.ingest_ms, epoch=hit.epoch, detail=detail)
