"""A compiled policy as plain data: what each stage needs of it. `operators.program` makes it, the stages only read it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from operators.choices import Choices
from operators.expressions import Compiled, Type
from schemas.manifest import Manifest
from schemas.policy import EventSpec, Policy
from schemas.policy_file import PolicyFile

DAY_MS = 86_400_000
LABEL_MEMORY_MS = 90 * DAY_MS
"""Labels of events that are older than this are not kept, unless a window reaches further back."""
_SETTLING_TICKS = 100


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """One feature of one entity kind.

    `column` is the input column of the part frame: Float64 for sum, mean, min, max, last; UInt64 hashes for distinct and
    first_seen; `label.NAME`, which is no column of the frame, for label_sum and label_mean; None for
    count, rate, age, idle, surprise. `filter` is a boolean column of the part frame (the `on:` and `where:` of the feature), None where every
    event of the kind counts. `fingerprint` names the definition: equal fingerprints share state.
    """

    name: str
    aggregate: str
    column: str | None
    filter: str | None
    over_ms: int
    panes: int
    cap: int
    scale: int
    per_ms: int
    fingerprint: str
    tick_ms: int = 0
    """Length of a tick of surprise and envelope, which have no window."""
    delay_ms: int = 0
    """How long before an event its window ends."""
    of: str = ""
    """What a tick of an envelope is: count, sum or mean."""
    of_stream: bool = False
    """The history of a new entity goes back to when the feature came into the stream."""

    @property
    def pane_ms(self) -> int:
        """Length of a pane: ceil(over / panes)."""
        return -(-self.over_ms // self.panes)

    @property
    def label(self) -> str | None:
        """The label that it reads; None for what reads events."""
        return self.column.removeprefix("label.") if self.column and self.column.startswith("label.") else None

    @property
    def held_panes(self) -> int:
        """Panes that a row holds besides the newest: those of the window, and those of the delay."""
        return self.panes + -(-self.delay_ms // self.pane_ms) if self.over_ms else self.panes

    @property
    def reach_ms(self) -> int:
        """How far back an answer looks at most; 0 without a window."""
        return self.over_ms + self.delay_ms + self.pane_ms if self.over_ms else 0

    @property
    def settled_ms(self) -> int:
        """How long a feature must have been in the stream until its answers are what they will be: its window, or the ticks
        after which what was seen outweighs what was assumed. 0 for those that need no time.
        """
        return self.over_ms + self.delay_ms or _SETTLING_TICKS * self.tick_ms


@dataclass(frozen=True, slots=True)
class TestPlan:
    """A column of p-values, or of discoveries, of one feature.

    `feature` is its name and `print` its definition; `counts` the filter of the events that it counts, None for all. With a
    `level` the column says which events are discoveries (1 or 0) among those that the filter `tests` lets through.
    """

    __test__: ClassVar[bool] = False

    name: str
    feature: str
    print: str
    counts: str | None
    level: float | None = None
    tests: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class KindPlan:
    """One entity kind: how its key is made, which features and lists its rows hold."""

    name: str
    key: tuple[str, ...]
    each: str | None
    ignore: tuple[str, ...]
    features: tuple[FeaturePlan, ...]
    lists: tuple[str, ...]
    """Names of the lists of this kind; the position is the bit."""
    tests: tuple[TestPlan, ...] = ()

    @property
    def reads_labels(self) -> bool:
        return any(f.label is not None for f in self.features)

    @property
    def stateful(self) -> bool:
        """False for a kind that is only a target: no row is kept for it."""
        return bool(self.features or self.lists)

    @property
    def longest_ms(self) -> int:
        """An entity idle for longer than this on the ingest clock reads as new: the longest window and one pane more, a day at
        least, and 90 days where its age, idle time or surprise is asked for: those are about what was long before any window.
        """
        windows = [f.reach_ms for f in self.features if f.over_ms]
        memory = 90 * DAY_MS if any(not f.over_ms for f in self.features) else DAY_MS
        return max([memory, *windows])


@dataclass(frozen=True, slots=True)
class Derived:
    name: str
    compiled: Compiled


@dataclass(frozen=True, slots=True)
class FeatureFilter:
    """A boolean column `name` = (event type is one of `types`) AND `compiled`, computed before the scatter."""

    name: str
    types: tuple[str, ...] | None
    compiled: Compiled | None


@dataclass(frozen=True, slots=True)
class RatioPlan:
    """`name` = `over` / `under`, NULL where `under` is 0 or NULL; computed after the kinds' answers are joined."""

    name: str
    over: str
    under: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Bounded:
    """A column that is summed: |value| * 10^scale must stay at or below 2^46, else the event is a dead letter."""

    column: str
    scale: int


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A version that scores each event; its column is the model's name, Float64, NULL where there is no score."""

    name: str
    version: int
    reads: tuple[str, ...]
    """Columns in the order of the manifest's inputs."""
    manifest: Manifest | None
    """None where a policy was compiled without a registry: then it cannot be scored."""


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """One number of the scores `reads`; NULL where one of them is."""

    name: str
    how: str
    """mean, max, or weighted (a mean by `weights`)."""
    reads: tuple[str, ...]
    weights: tuple[float, ...]


Step = tuple[Derived, ...] | ModelPlan | EnsemblePlan
"""What judge computes next: columns that do not need a score that is not there yet, or a score."""


@dataclass(frozen=True, slots=True)
class RulePlan:
    name: str
    types: tuple[str, ...] | None
    """Event types the rule looks at; None for all."""
    when: Compiled
    action: str
    target_kind: str
    mode: str
    """As the policy writes it."""
    digest: str
    """Of when, action, target and the definitions of everything `when` reads."""
    features: tuple[str, ...]
    """Features that `when` reads, also through derived columns and ratios."""
    models: tuple[str, ...]
    """Models whose scores `when` depends on, also through derived columns and ensembles."""
    columns: tuple[str, ...]
    """What `when` names itself, in the order of appearance."""
    window_ms: dict[str, int]
    """What the warm-up waits for, of each of `features` that needs time: its window, or its ticks."""
    warmup: bool
    severity: str
    cooldown_ms: int
    expires_ms: int | None
    budget: tuple[int, int]
    protect_list: str | None
    protect_action: str | None
    description: str
    policy_ref: str | None
    owner: str | None
    runbook: str | None


@dataclass(frozen=True)
class Program:
    """A policy, compiled. Equal digests do the same."""

    policy: Policy
    digest: str
    events: dict[str, EventSpec]
    early: tuple[Derived, ...]
    """Derived columns over event columns, in order of dependency: computed by stamp."""
    steps: tuple[Step, ...]
    """Derived columns that read features, lists or scores, and models, in order of dependency: computed by judge."""
    filters: tuple[FeatureFilter, ...]
    bounded: tuple[Bounded, ...]
    kinds: dict[str, KindPlan]
    ratios: tuple[RatioPlan, ...]
    rules: tuple[RulePlan, ...]
    pii: frozenset[str]
    """Columns whose text is written out only as a keyed hash: fields with `pii: hash` and what is derived from them."""
    points: dict[str, dict[str, float]]
    """By model: the operating points that expressions name, with the numbers that they stand for."""
    choices: Choices
    """What config records have chosen over the policy."""
    challenge: "Program | None"
    """The same policy with its challengers in force: its rules over them are judged beside, in shadow."""
    source: PolicyFile = field(repr=False, compare=False)
    types: dict[str, Type]
    """Type of every column that an expression may read."""
    prints: dict[str, str]
    """What defines each column: two columns with the same print hold the same values. Models are bound to it."""

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """Features by the label that they read."""
        found: dict[str, list[str]] = {}
        for kind in self.kinds.values():
            for feature in kind.features:
                if feature.label is not None:
                    found.setdefault(feature.label, []).append(feature.name)
        return found

    @cached_property
    def label_memory_ms(self) -> int:
        """How long after its event a label is kept and can be corrected."""
        reach = [f.reach_ms for kind in self.kinds.values() for f in kind.features if f.label is not None]
        return max([LABEL_MEMORY_MS, *reach])

    @property
    def name(self) -> str:
        return self.policy.policy

    @cached_property
    def late(self) -> tuple[Derived, ...]:
        """Derived columns that judge computes."""
        return tuple(one for step in self.steps if isinstance(step, tuple) for one in step)

    @cached_property
    def models(self) -> dict[str, ModelPlan | EnsemblePlan]:
        """Models by name, in order of dependency."""
        return {step.name: step for step in self.steps if not isinstance(step, tuple)}

    @cached_property
    def versions(self) -> frozenset[tuple[str, int]]:
        """Every (model, version) that judging needs, challengers too."""
        own = {(plan.name, plan.version) for plan in self.models.values() if isinstance(plan, ModelPlan)}
        return frozenset(own) | (self.challenge.versions if self.challenge else frozenset())

    @cached_property
    def features(self) -> dict[str, FeaturePlan | RatioPlan]:
        """Every feature by name, in the policy's order."""
        plans: dict[str, FeaturePlan | RatioPlan] = {f.name: f for kind in self.kinds.values() for f in kind.features}
        plans.update({r.name: r for r in self.ratios})
        return {name: plans[name] for name in self.policy.features}

    @cached_property
    def kind_of(self) -> dict[str, str]:
        """Entity kind of each feature that has state."""
        return {f.name: kind.name for kind in self.kinds.values() for f in kind.features}
