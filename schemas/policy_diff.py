"""What a new version of a policy does to a running job, in words."""

from collections.abc import Iterator, Mapping

from schemas.duration import format_duration
from schemas.policy import FeatureSpec, Policy, RuleSpec

Names = Mapping[str, str]

_DOING = {"on", "when", "action", "target", "warmup"}
"""Keys of a rule that its digest covers."""
_FIXED = {"events": "event types", "entities": "entities", "lists": "lists"}
"""What cannot change while a job runs."""


def diff(
    old: Policy,
    new: Policy,
    old_digests: Names,
    new_digests: Names,
    old_prints: Names,
    new_prints: Names,
) -> list[str]:
    """The differences that matter, one sentence each: rules, then features, then what needs a new job.

    Digests are of rules, prints of features, both by name: equal ones do the same. Empty where nothing differs.
    """
    lines = [
        *_rules(old, new, old_digests, new_digests),
        *_features(old, new, old_prints, new_prints),
        *_rest(old, new),
    ]
    return [*lines, *_job(old, new)]


def _rules(old: Policy, new: Policy, before: Names, after: Names) -> Iterator[str]:
    for name, rule in new.rules.items():
        if name not in old.rules:
            yield f"rule {name} is added: {rule.mode}"
            continue
        was = old.rules[name]
        keys = _differing(was, rule)
        texts = _told(was, rule, [key for key in keys if key not in _DOING])
        if before.get(name) != after.get(name):
            doing = [key for key in keys if key in _DOING]
            what = f"{', '.join(doing)} changed" if doing else "the definition of something that it reads changed"
            more = f"; also {texts}" if texts else ""
            stands = (
                ""
                if rule.mode in ("off", "shadow")
                else f"; if none ever was, the policy's own mode counts: {rule.mode}"
            )
            yield f"rule {name} does something else ({what}{more}): where a record set its mode it is back in shadow until that is set again{stands}"
        elif texts:
            yield f"rule {name} does the same and keeps its mode: {texts}"
        elif keys:
            yield f"rule {name} does the same and keeps its mode: only the text of {', '.join(keys)} changed"
    for name in old.rules:
        if name not in new.rules:
            yield f"rule {name} is removed: its mode records count for nothing"


def _differing(old: RuleSpec, new: RuleSpec) -> list[str]:
    return [key for key in RuleSpec.model_fields if getattr(old, key) != getattr(new, key)]


def _told(old: RuleSpec, new: RuleSpec, keys: list[str]) -> str:
    """What differs in each key: short values with both sides."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    told = []
    for key in keys:
        if key in ("description", "owner", "runbook", "policy_ref"):
            told.append(f"{key} reworded" if key == "description" else f"{key} changed")
        else:
            none = "none" if key == "expires" else "not set"
            told.append(f"{key} {before[key] or none} -> {after[key] or none}")
    if "mode" in keys:
        told.append("the policy's mode counts only where no mode record exists")
    return "; ".join(told)


def _features(old: Policy, new: Policy, before: Names, after: Names) -> Iterator[str]:
    by_print = {after[name]: name for name in new.features if name in after}
    kept = {before[name] for name in old.features if name in before} & set(by_print)
    for name, feature in new.features.items():
        mark = after.get(name)
        if name in old.features and before.get(name) == mark:
            continue
        was = next((n for n in old.features if n not in new.features and before.get(n) == mark), None)
        if was is not None:
            yield f"feature {name} keeps the state of {was}: the same under another name"
        elif name in old.features:
            yield f"feature {name} is defined differently: its state is lost and it starts empty{_whole_after(feature)}"
        else:
            yield f"feature {name} is added and starts empty{_whole_after(feature)}"
    for name in old.features:
        if name not in new.features and before.get(name) not in kept:
            yield f"feature {name} is removed: its state is lost"
    same = [name for name in new.features if name in old.features and before.get(name) == after.get(name)]
    if same and (len(same) < len(new.features) or len(same) < len(old.features)):
        yield f"features that keep their state: {', '.join(same)}"


def _whole_after(feature: FeatureSpec) -> str:
    if feature.over is None:
        return ""
    return f"; it is whole after {format_duration(feature.over)}, and live rules that read it are shadow until then"


def _rest(old: Policy, new: Policy) -> Iterator[str]:
    if old.derive != new.derive:
        yield f"derived columns: {_names(old.derive, new.derive)}"
    if old.models != new.models:
        yield f"models: {_names(old.models, new.models)}"
    if old.protect != new.protect:
        yield f"protected kinds: {_names(old.protect, new.protect)}"
    if old.include != new.include:
        yield f"verdicts include {', '.join(new.include) or 'no field'} (before: {', '.join(old.include) or 'none'})"
    for key in ("max_record_bytes", "repeats"):
        if getattr(old, key) != getattr(new, key):
            yield f"{key} {getattr(old, key)} -> {getattr(new, key)}: in force when the job is started again"


def _job(old: Policy, new: Policy) -> Iterator[str]:
    if old.policy != new.policy:
        yield f"the policy is called {new.policy}, no longer {old.policy}: it needs a new job, and all ids change"
    for part, noun in _FIXED.items():
        before, after = getattr(old, part), getattr(new, part)
        if before != after:
            yield f"{noun}: {_names(before, after)}: this needs a new job from a savepoint"


def _names(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """`added a, b; changed c; removed d`."""
    parts = {
        "added": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and new[name] != old[name]],
        "removed": [name for name in old if name not in new],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names) or "another order"
