"""What a policy changes against another, in words: for `rules diff` and `publish`."""

from operators.plan import Program
from schemas.policy_diff import diff


def policy_changes(before: Program, after: Program) -> list[str]:
    """One sentence a change; empty when nothing that matters differs."""
    return diff(before.policy, after.policy, _digests(before), _digests(after), _prints(before), _prints(after))


def _digests(program: Program) -> dict[str, str]:
    return {rule.name: rule.digest for rule in program.rules}


def _prints(program: Program) -> dict[str, str]:
    return {name: plan.fingerprint for name, plan in program.features.items()}
