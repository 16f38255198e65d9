"""What a config record asks for, checked against the policy that it would be in force with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from operators.choices import Choices
from operators.documents import Json
from operators.plan import ModelPlan, Program
from schemas.config import ConfigRecord
from schemas.problem import PolicyError

if TYPE_CHECKING:
    from operators.timeline import Epoch

Compile = Callable[[dict[str, object]], Program]
Choose = Callable[[Program, Choices], Program]

_LONGEST_REASON = 2_000


class RefusedError(ValueError):
    """A record that is not taken; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One change to what is in force: a policy, the ceiling, the mode of a rule, a version of a model, or a threshold."""

    program: Program | None = None
    ceiling: bool | None = None
    rule: str = ""
    mode: str = ""
    digest: str | None = None
    """The version of the rule that the mode is for, or of the model that the threshold is for."""
    model: str = ""
    value: Mapping[str, object] = field(default_factory=dict)
    """Of a model or a threshold, as the record has it."""

    def chosen(self, choices: Choices) -> Choices:
        """The choices after a model or threshold record."""
        if "version" not in self.value:
            number = float(str(self.value["value"]))
            return choices.threshold(self.model, int(self.digest or 0), str(self.value["point"] or ""), number)
        version = int(str(self.value["version"]))
        if self.value["mode"] == "live":
            return choices.live(self.model, version)
        return choices.challenge(self.model, version)

    @classmethod
    def restored(cls, key: str, value: object, digest: str | None, base: Program, compile: Compile) -> "Setting":
        """The setting of a record that was taken before.

        Raises RefusedError for a policy that does not fit `base`, and what `compile` raises.
        """
        fields = value if isinstance(value, dict) else {}
        if key == "policy":
            program = compile(fields)
            fits(program, base)
            return cls(program=program)
        if key == "mode/*":
            return cls(ceiling=fields["ceiling"] == "shadow")
        if key.startswith(("model/", "threshold/")):
            return cls(model=key.partition("/")[2], value=fields, digest=digest)
        return cls(rule=key.removeprefix("mode/"), mode=str(fields["mode"]), digest=digest)


def check(record: ConfigRecord, program: Program, base: Program, compile: Compile, choose: Choose) -> Setting:
    """What the record sets, if `program` is in force with it. Raises RefusedError, whatever `compile` raises."""
    key, value = record.key, record.value
    if key == "policy":
        return _policy(value, base, compile, program, choose)
    if key.startswith(("model/", "threshold/")):
        name = key.partition("/")[2]
        setting = _model(name, value, program) if key.startswith("model/") else _threshold(name, value, program)
        try:
            choose(program, setting.chosen(program.choices))
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(reason(error)) from error
        return setting
    if key == "mode/*":
        return Setting(ceiling=value["ceiling"] == "shadow")
    name = key.removeprefix("mode/")
    rules = {rule.name: rule for rule in program.rules}
    if name not in rules:
        close = get_close_matches(name, rules, n=1)
        hint = f": did you mean {close[0]}?" if close else f"; it has {', '.join(sorted(rules)) or 'none'}"
        raise RefusedError(f"the policy has no rule {name}{hint}")
    return Setting(rule=name, mode=str(value["mode"]), digest=str(value.get("digest") or rules[name].digest))


def _policy(value: dict[str, object], base: Program, compile: Compile, before: Program, choose: Choose) -> Setting:
    try:
        program = compile(value)
        choose(program, before.choices)
    except Exception as error:  # a policy comes from outside: whatever it breaks, the job goes on with the one it has
        raise RefusedError((str(error) or type(error).__name__)[:_LONGEST_REASON]) from error
    fits(program, base)
    return Setting(program=program)


def reason(error: Exception) -> str:
    """Why something was refused, in one line."""
    text = error.brief() if isinstance(error, PolicyError) else str(error)
    return (text or type(error).__name__)[:_LONGEST_REASON]


def _known(name: str, program: Program) -> ModelPlan:
    """The plan of a model that has versions."""
    models = program.models
    if name not in models:
        close = get_close_matches(name, models, n=1)
        hint = f": did you mean {close[0]}?" if close else f"; it has {', '.join(sorted(models)) or 'none'}"
        raise RefusedError(f"the policy has no model {name}{hint}")
    plan = models[name]
    if not isinstance(plan, ModelPlan):
        raise RefusedError(f"{name} is an ensemble of {', '.join(plan.reads)}: it has no version of its own")
    return plan


def _model(name: str, value: Mapping[str, object], program: Program) -> Setting:
    _known(name, program)
    return Setting(model=name, value=value)


def _threshold(name: str, value: Mapping[str, object], program: Program) -> Setting:
    plan, points = _known(name, program), program.points.get(name, {})
    told = ", ".join(sorted(points))
    if not points:
        raise RefusedError(
            f"no rule of the policy asks for a threshold of {name}: write threshold({name}, precision=0.95)"
        )
    point = value["point"]
    if point is None and len(points) > 1:
        raise RefusedError(f"{name} has {len(points)} operating points in the policy ({told}): name one as point")
    if point is not None and point not in points:
        raise RefusedError(f"the policy has no operating point {point} of {name}; it has {told}")
    return Setting(model=name, value=value, digest=str(plan.version))


def same_policy(program: Program, base: Program) -> None:
    """Raises RefusedError for a program of another policy, of which a job takes nothing."""
    if program.name != base.name:
        raise RefusedError(
            f"it is policy {program.name}, and this job runs policy {base.name}: start another job for it"
        )


def fits(program: Program, base: Program) -> None:
    """Raises RefusedError for a program that differs from the job's first one in what cannot change while it runs."""
    same_policy(program, base)
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
    if setting.model:
        return _describe_model(setting, before, after)
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


def _describe_model(setting: Setting, before: "Epoch", after: "Epoch") -> tuple[str, Json]:
    name = setting.model
    old, new = before.program.models[name], after.program.models[name]
    assert isinstance(old, ModelPlan) and isinstance(new, ModelPlan)
    if "version" not in setting.value:
        was, now = before.program.points[name], after.program.points[name]
        changed = {point: value for point, value in now.items() if was.get(point) != value}
        told = ", ".join(f"{point} is {value:.6g} (was {was[point]:.6g})" for point, value in changed.items())
        sentence = f"threshold of {name}@{new.version}: {told or 'nothing changes'}"
        return sentence, {"model": name, "version": new.version, "thresholds": now}
    beside = after.program.challenge.models.get(name) if after.program.challenge else None
    challenger = beside.version if isinstance(beside, ModelPlan) and beside.version != new.version else None
    detail: Json = {"model": name, "version": new.version, "was": old.version, "challenger": challenger}
    if setting.value["mode"] == "live":
        if new.version == old.version:
            return f"model {name} is version {new.version} as before", detail
        # It is loaded and checked when its first event comes, and may be refused then: a status of its own says so.
        return f"model {name} is to be version {new.version}, once it is loaded (was {old.version}),", detail
    if challenger is None:
        return f"model {name} is version {new.version}, and has no challenger", detail
    return (
        f"version {challenger} of model {name} is to be its challenger, once it is loaded, beside version {new.version}",
        detail,
    )


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
