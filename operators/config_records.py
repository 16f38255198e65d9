"""What a config record asks for, checked against the policy that it would be in force with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from operators.documents import Json
from operators.plan import Program
from schemas.config import ConfigRecord

if TYPE_CHECKING:
    from operators.timeline import Epoch

Compile = Callable[[dict[str, object]], Program]

_LONGEST_REASON = 2_000


class RefusedError(ValueError):
    """A record that is not taken; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One change to what is in force: a policy, the ceiling, or the mode of a rule."""

    program: Program | None = None
    ceiling: bool | None = None
    rule: str = ""
    mode: str = ""
    digest: str | None = None
    """The version of the rule that the mode is for."""

    @classmethod
    def restored(cls, key: str, value: object, digest: str | None, base: Program, compile: Compile) -> "Setting":
        """The setting of a record that was taken before.

        Raises RefusedError for a policy that does not fit `base`, and what `compile` raises.
        """
        fields = value if isinstance(value, dict) else {}
        if key == "policy":
            program = compile(fields)
            _fits(program, base)
            return cls(program=program)
        if key == "mode/*":
            return cls(ceiling=fields["ceiling"] == "shadow")
        return cls(rule=key.removeprefix("mode/"), mode=str(fields["mode"]), digest=digest)


def check(record: ConfigRecord, program: Program, base: Program, compile: Compile) -> Setting:
    """What the record sets, if `program` is in force with it. Raises RefusedError, whatever `compile` raises."""
    key, value = record.key, record.value
    if key == "policy":
        return _policy(value, base, compile)
    if key.startswith(("model/", "threshold/")):
        raise RefusedError("models and thresholds are not available yet")
    if key == "mode/*":
        return Setting(ceiling=value["ceiling"] == "shadow")
    name = key.removeprefix("mode/")
    rules = {rule.name: rule for rule in program.rules}
    if name not in rules:
        close = get_close_matches(name, rules, n=1)
        hint = f": did you mean {close[0]}?" if close else f"; it has {', '.join(sorted(rules)) or 'none'}"
        raise RefusedError(f"the policy has no rule {name}{hint}")
    return Setting(rule=name, mode=str(value["mode"]), digest=str(value.get("digest") or rules[name].digest))


def _policy(value: dict[str, object], base: Program, compile: Compile) -> Setting:
    try:
        program = compile(value)
    except Exception as error:  # a policy comes from outside: whatever it breaks, the job goes on with the one it has
        raise RefusedError((str(error) or type(error).__name__)[:_LONGEST_REASON]) from error
    _fits(program, base)
    return Setting(program=program)


def _fits(program: Program, base: Program) -> None:
    """Raises RefusedError for a program that differs from the job's first one in what cannot change while it runs."""
    if program.name != base.name:
        raise RefusedError(
            f"it is policy {program.name}, and this job runs policy {base.name}: start another job for it"
        )
    new, old = program.policy, base.policy
    changed = [part for part in ("events", "entities", "lists") if getattr(new, part) != getattr(old, part)]
    if changed:
        names = ", ".join(f"{part}: ({_differing(getattr(new, part), getattr(old, part))})" for part in changed)
        raise RefusedError(
            f"it changes {names}, so it needs a new job from a savepoint; "
            "features, rules and modes can change while a job runs"
        )


def _differing(new: Mapping[str, object], old: Mapping[str, object]) -> str:
    names = [name for name in dict.fromkeys([*old, *new]) if new.get(name) != old.get(name)]
    return ", ".join(names) or "their order"


def describe(setting: Setting, before: "Epoch", after: "Epoch") -> tuple[str, Json]:
    """The change in a sentence without its end, and as a detail of a status record."""
    if setting.program is not None:
        return _describe_policy(before, after)
    if setting.ceiling is not None:
        if setting.ceiling:
            return "the panic switch is on: every rule is shadow", {"ceiling": "shadow"}
        return "the panic switch is off: rules act as their modes say", {"ceiling": "clear"}
    rules = {rule.name: rule for rule in before.program.rules}
    rule = rules[setting.rule]
    record = before.modes.get(rule.name)
    was = rule.mode if record is None else record.mode
    sentence = f"rule {rule.name} is {setting.mode} (was {was})"
    if setting.digest != rule.digest:
        sentence = (
            f"rule {rule.name} is set to {setting.mode} for its version {setting.digest}, "
            f"which is not the one in force ({rule.digest}), so it is shadow"
        )
    elif setting.mode.startswith("live") and after.ceiling:
        sentence += ", but the panic switch keeps it in shadow"
    return sentence, {"rule": rule.name, "mode": setting.mode, "was": was, "digest": setting.digest}


def _describe_policy(before: "Epoch", after: "Epoch") -> tuple[str, Json]:
    old = {rule.name: rule.digest for rule in before.program.rules}
    new = {rule.name: rule.digest for rule in after.program.rules}
    set_modes = {n: after.modes[n] for n in new if n in after.modes and after.modes[n].mode != "off"}
    parts = {
        "added": [n for n in new if n not in old],
        "changed": [n for n in new if n in old and new[n] != old[n]],
        "removed": [n for n in old if n not in new],
        "shadow_until_set_again": [n for n, record in set_modes.items() if record.digest != new[n]],
    }
    told = "; ".join(f"{what.replace('_', ' ')}: {', '.join(names)}" for what, names in parts.items() if names)
    sentence = f"policy {after.program.digest} is in force" + (f" (rules {told})" if told else " (no rule changes)")
    return sentence, {"digest": after.program.digest, **parts}
