"""p-values and discoveries that a policy asks for: which columns observe must add to its features."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from operators.expressions.p_values import p_column
from operators.plan import FeaturePlan, KindPlan, TestPlan


def discovery_column(rule: str, feature: str, level: float) -> str:
    """The column that says which events are discoveries of a rule's `fdr:`."""
    return f"discovery of {feature} at {100 * level:g}% for {rule}"


def discovery(rule: str, feature: FeaturePlan, level: float, tests: str | None, fingerprint: str) -> TestPlan:
    """The discoveries of one rule among the events that the filter `tests` lets through (None: all)."""
    name = discovery_column(rule, feature.name, level)
    return TestPlan(name, feature.name, feature.fingerprint, feature.filter, level, tests, fingerprint)


def with_tests(
    kinds: Mapping[str, KindPlan], read: Iterable[str], discoveries: Iterable[TestPlan]
) -> dict[str, KindPlan]:
    """The kinds with the p-values that expressions `read`, and with the discoveries."""
    wanted, found = set(read), list(discoveries)

    def tests(kind: KindPlan) -> tuple[TestPlan, ...]:
        ranked = [
            TestPlan(p_column(f.name), f.name, f.fingerprint, f.filter)
            for f in kind.features
            if p_column(f.name) in wanted
        ]
        names = {f.name for f in kind.features}
        return (*ranked, *(test for test in found if test.feature in names))

    return {name: replace(kind, tests=tests(kind)) for name, kind in kinds.items()}
