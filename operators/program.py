"""A policy document becomes a program: names resolved, expressions compiled, every definition given a digest.

All problems of a document are found in one pass and raised together, each at its place in the text.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

import orjson

from operators.choices import NO_CHOICES, Choices
from operators.expressions import Compiled, ExpressionError, ListRef, Scope, Type, compile_expression
from operators.expressions.p_values import p_column
from operators.plan import (
    DAY_MS,
    Bounded,
    Derived,
    FeatureFilter,
    FeaturePlan,
    KindPlan,
    Program,
    RatioPlan,
    RulePlan,
    Step,
    TestPlan,
)
from operators.program_models import ModelCompiler
from operators.program_tests import discovery, discovery_column, with_tests
from operators.scoring import Catalog
from schemas.duration import format_duration
from schemas.policy import RESERVED, EntitySpec, FdrSpec, FeatureSpec, Policy, RuleSpec
from schemas.policy_file import PolicyError, PolicyFile, Problem

_SYSTEM = {
    "event_id": Type.STRING,
    "event_type": Type.STRING,
    "event_time": Type.TIMESTAMP,
    "ingest_time": Type.TIMESTAMP,
}
_FIELD_TYPES = {
    "string": Type.STRING,
    "integer": Type.INTEGER,
    "float": Type.NUMBER,
    "decimal": Type.NUMBER,
    "boolean": Type.BOOLEAN,
    "ip": Type.STRING,
    "timestamp": Type.TIMESTAMP,
    "list<string>": Type.LIST,
}
_WHOLE = ("count", "distinct", "first_seen")
_SUMMABLE = (Type.INTEGER, Type.NUMBER, Type.BOOLEAN)
_DEFAULT_SCALE = 6
_NOVELTY_MS = 30 * DAY_MS
"""How long first_seen remembers a value unless `over:` says otherwise."""
MOST_PANES = 1_000
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Path = tuple[str | int, ...]


def compile_program(source: PolicyFile, catalog: Catalog | None = None, choices: Choices = NO_CHOICES) -> Program:
    """The program of a policy document, with the versions of models that `choices` takes over those it names.

    Without a catalog models are taken as they are written, and cannot be scored.
    Raises PolicyError with every problem found: unknown names (with the nearest valid one), types that do not fit,
    names used twice, expressions that do not compile, and parts that are not available yet.
    """
    program, challengers = _Compiler(source, catalog, choices).run()
    if not challengers:
        return program
    promoted = choices
    for name, version in challengers.items():
        promoted = promoted.live(name, version)
    try:
        beside, _ = _Compiler(source, catalog, promoted).run()
    except PolicyError as error:
        problems = [replace(one, message=f"as the challenger: {one.message}") for one in error.problems]
        raise PolicyError(problems, source) from None
    changed = [rule for rule in beside.rules if challengers.keys() & set(rule.models)]
    return replace(program, challenge=replace(beside, rules=tuple(changed)))


def rechosen(program: Program, choices: Choices, catalog: Catalog | None) -> Program:
    """The same policy with other choices. Raises PolicyError where a version does not fit it."""
    return program if program.choices.key == choices.key else compile_program(program.source, catalog, choices)


def digest(*parts: object) -> str:
    """Sixteen hex digits that name a definition: SHA-256 of its canonical JSON."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass
class _Compiler:
    source: PolicyFile
    catalog: Catalog | None
    choices: Choices
    problems: list[Problem] = field(default_factory=list)
    columns: dict[str, Type] = field(default_factory=lambda: dict(_SYSTEM))
    prints: dict[str, str] = field(default_factory=lambda: {name: name for name in _SYSTEM})
    """What defines each column, whichever version of a model is in force."""
    bound: dict[str, str] = field(default_factory=dict)
    """What defines a column that is derived from scores, with the versions that are in force."""
    pii: set[str] = field(default_factory=set)
    filters: dict[tuple[object, ...], FeatureFilter] = field(default_factory=dict)
    plans: dict[str, FeaturePlan] = field(default_factory=dict)
    """Features that have state."""
    discoveries: list[TestPlan] = field(default_factory=list)
    """Of the rules that have `fdr:`."""

    def __post_init__(self) -> None:
        self.models = ModelCompiler(
            self.policy, self.catalog, self.choices, self.columns, self.prints, self.bound, self.problem
        )

    @property
    def policy(self) -> Policy:
        return self.source.policy

    def problem(
        self, path: Path, message: str, hint: str | None = None, offset: int | None = None, length: int = 1
    ) -> None:
        self.problems.append(self.source.problem(path, message, hint=hint, offset=offset, length=length))

    def run(self) -> tuple[Program, dict[str, int]]:
        """The program, and the challengers that it has."""
        self._namespace()
        self._fields()
        early, late_names = self._early()
        self._entities()
        kinds, ratios, bounded = self._features()
        lists = self._lists(kinds)
        scope = Scope(self.columns, lists, self.models.thresholds(), self.plans.keys())
        steps = self._steps(late_names, scope)
        rules = self._rules(steps, scope)
        derived = [one for step in steps if isinstance(step, tuple) for one in step]
        read = [name for one in (*(d.compiled for d in derived), *(rule.when for rule in rules)) for name in one.reads]
        kinds = with_tests(kinds, read, self.discoveries)
        self._rest()
        if self.problems:
            raise PolicyError(self.problems, self.source)
        program = Program(
            policy=self.policy,
            digest=digest(self.policy.model_dump(mode="json", exclude_defaults=True)),
            events=self.policy.events,
            early=early,
            steps=steps,
            filters=tuple(self.filters.values()),
            bounded=bounded,
            kinds=kinds,
            ratios=ratios,
            rules=rules,
            pii=frozenset(self.pii),
            points=self.models.points,
            choices=self.choices,
            challenge=None,
            source=self.source,
            types=self.columns,
            prints={**self.prints, **self.bound},
        )
        return program, self.models.challengers()

    # names and columns

    def _namespace(self) -> None:
        taken: dict[str, Path] = {}
        policy = self.policy
        fields = {
            name: ("events", event, "fields", name) for event, spec in policy.events.items() for name in spec.fields
        }
        groups: list[tuple[str, Mapping[str, Path]]] = [
            ("an event type", {n: ("events", n) for n in policy.events}),
            ("a field", fields),
            ("a derived column", {n: ("derive", n) for n in policy.derive}),
            ("an entity", {n: ("entities", n) for n in policy.entities}),
            ("a feature", {n: ("features", n) for n in policy.features}),
            ("a model", {n: ("models", n) for n in policy.models}),
        ]
        what: dict[str, str] = {}
        for group, names in groups:
            for name, path in names.items():
                entity = policy.entities.get(name)
                if name in RESERVED:
                    self.problem(path, f"{name} is a reserved name", hint="give it another name")
                elif name in taken and not (group == "an entity" and entity and name in (*entity.key, entity.each)):
                    self.problem(
                        path,
                        f"{name} is already {what[name]}",
                        hint="events, fields, derived columns, entities, features and models share one namespace",
                    )
                else:
                    taken.setdefault(name, path)
                    what.setdefault(name, group)

    def _fields(self) -> None:
        seen: dict[str, tuple[str, object]] = {}
        for event, spec in self.policy.events.items():
            if len(self.policy.events) > 1 and not spec.when:
                self.problem(
                    ("events", event),
                    f"event {event} has no when:, and there is more than one event type",
                    hint="say which records it takes, for example when: {/kind: " + event + "}",
                )
            for name, column in spec.fields.items():
                shape = (column.type, column.scale if column.type == "decimal" else None)
                if name in seen and seen[name][1] != shape:
                    self.problem(
                        ("events", event, "fields", name),
                        f"field {name} is {column.type} here and {self.policy.events[seen[name][0]].fields[name].type} in event {seen[name][0]}",
                        hint="one name is one column: use the same type, or another name",
                    )
                    continue
                seen.setdefault(name, (event, shape))
                self.columns[name] = _FIELD_TYPES[column.type]
                if column.pii:
                    self.pii.add(name)
        for name in seen:
            self.prints[name] = digest(
                "field",
                [
                    (e, s.when, s.fields[name].model_dump(mode="json", exclude={"pii"}))
                    for e, s in self.policy.events.items()
                    if name in s.fields
                ],
            )

    def _nearest(self, name: str, names: Iterable[str]) -> str | None:
        close = get_close_matches(name, list(names), n=1)
        return f"did you mean {close[0]}?" if close else None

    def _compile(self, path: Path, text: str, scope: Scope, want: Type | None = None) -> Compiled | None:
        try:
            return compile_expression(text, scope, want)
        except ExpressionError as error:
            self.problem(path, error.message, hint=error.hint or None, offset=error.position, length=error.length)
            return None

    def _print_of(self, compiled: Compiled) -> str:
        return digest(
            compiled.canonical, [(name, self.prints.get(name)) for name in sorted(compiled.reads)], list(compiled.lists)
        )

    def _early(self) -> tuple[tuple[Derived, ...], list[str]]:
        """Derived columns over event columns; the names of the others, both in order of dependency."""
        texts = self.policy.derive
        words = {name: set(_WORD.findall(_QUOTED.sub("", text))) for name, text in texts.items()}
        try:
            order = list(
                TopologicalSorter({name: (words[name] & texts.keys()) - {name} for name in texts}).static_order()
            )
        except CycleError as error:
            loop = error.args[1]
            self.problem(
                ("derive", loop[0]),
                f"derived columns depend on each other: {' -> '.join(loop)}",
                hint="a derived column reads fields and earlier columns only",
            )
            return (), []
        after_state = {*self.policy.features, *self.policy.models, "in_list"}
        late: list[str] = []
        early: list[Derived] = []
        for name in order:
            if words[name] & (after_state | set(late)):
                late.append(name)
                continue
            compiled = self._compile(("derive", name), texts[name], Scope(self.columns, {}))
            if compiled is None:
                self._unknown_type(name)
                continue
            early.append(Derived(name, compiled))
            self._add_derived(name, compiled)
        return tuple(early), late

    def _add_derived(self, name: str, compiled: Compiled) -> None:
        self.columns[name] = compiled.type
        self.prints[name] = self._print_of(compiled)
        if any(read in self.policy.models or read in self.bound for read in compiled.reads):
            reads = [(read, self.models.defined(read)) for read in sorted(compiled.reads)]
            self.bound[name] = digest(compiled.canonical, reads, list(compiled.lists))
        if compiled.type in (Type.STRING, Type.LIST) and self.pii & set(compiled.reads):
            self.pii.add(name)

    def _unknown_type(self, name: str) -> None:
        # The column is known, its type is not: a string causes no further complaint where it is used as a key.
        self.columns[name] = Type.STRING
        self.prints[name] = "?"

    # entities, features, lists

    def _entities(self) -> None:
        late = [n for n in self.policy.derive if n not in self.columns]
        for name, spec in self.policy.entities.items():
            for column in (*spec.key, *([spec.each] if spec.each else [])):
                at: Path = ("entities", name)
                if column in late:
                    self.problem(
                        at,
                        f"entity {name}: key {column} reads features or lists, which are known only after the entity",
                        hint="derive the key from event columns",
                    )
                elif column not in self.columns:
                    self.problem(
                        at, f"entity {name}: there is no column {column}", hint=self._nearest(column, self.columns)
                    )
                elif spec.each and self.columns[column] is not Type.LIST:
                    self.problem(
                        at,
                        f"entity {name}: each: needs a column of type list<string>, {column} is {self.columns[column].name.lower()}",
                    )
                elif not spec.each and self.columns[column] is Type.LIST:
                    self.problem(
                        at,
                        f"entity {name}: {column} is a list",
                        hint=f"write {{each: {column}}} to keep state for each of its elements",
                    )

    def _entity_print(self, spec: EntitySpec) -> str:
        return digest(
            "entity",
            [(c, self.prints.get(c)) for c in spec.key],
            spec.each and self.prints.get(spec.each),
            sorted(spec.ignore),
        )

    def _features(self) -> tuple[dict[str, KindPlan], tuple[RatioPlan, ...], tuple[Bounded, ...]]:
        by_kind: dict[str, list[FeaturePlan]] = {name: [] for name in self.policy.entities}
        bounded: dict[Bounded, None] = {}
        ratios: list[RatioPlan] = []
        for name, spec in self.policy.features.items():
            if spec.ratio is not None:
                continue
            plan = self._feature(name, spec)
            if plan is None:
                self.prints[name] = "?"
                continue
            kind, feature = plan
            by_kind[kind].append(feature)
            self.plans[name] = feature
            self.prints[p_column(name)] = digest("p", feature.fingerprint)
            self.prints[name] = feature.fingerprint
            if (feature.aggregate in ("sum", "mean") or feature.of) and feature.column:
                bounded[Bounded(feature.column, feature.scale)] = None
        for name, spec in self.policy.features.items():
            if spec.ratio is not None:
                ratios += self._ratio(name, spec.ratio)
        lists: dict[str, list[str]] = {name: [] for name in self.policy.entities}
        for list_name, listed in self.policy.lists.items():
            if listed.of in lists:
                lists[listed.of].append(list_name)
        kinds = {
            name: KindPlan(
                name, tuple(spec.key), spec.each, tuple(spec.ignore), tuple(by_kind[name]), tuple(lists[name])
            )
            for name, spec in self.policy.entities.items()
        }
        for name, spec in self.policy.features.items():
            self.columns[name] = Type.INTEGER if spec.aggregate in _WHOLE else Type.NUMBER
        return kinds, tuple(ratios), tuple(bounded)

    def _ratio(self, name: str, pair: list[str]) -> list[RatioPlan]:
        for place, part in enumerate(pair):
            other = self.policy.features.get(part)
            if other is None:
                self.problem(
                    ("features", name, "ratio", place),
                    f"feature {name}: there is no feature {part}",
                    hint=self._nearest(part, self.policy.features),
                )
                return []
            if other.ratio is not None:
                self.problem(
                    ("features", name, "ratio", place),
                    f"feature {name}: {part} is a ratio itself",
                    hint="a ratio divides two features that have state; derive the rest with an expression",
                )
                return []
        self.prints[name] = digest("ratio", [self.prints.get(part) for part in pair])
        return [RatioPlan(name, pair[0], pair[1], self.prints[name])]

    def _feature(self, name: str, spec: FeatureSpec) -> tuple[str, FeaturePlan] | None:
        aggregate = spec.aggregate
        at: Path = ("features", name)
        argument = getattr(spec, aggregate)
        kind = argument if aggregate in ("age", "idle") else spec.by
        if kind not in self.policy.entities:
            where = (*at, aggregate if aggregate in ("age", "idle") else "by")
            self.problem(
                where, f"feature {name}: there is no entity {kind}", hint=self._nearest(str(kind), self.policy.entities)
            )
            return None
        of_label = isinstance(argument, str) and argument.startswith("label.")
        if of_label and not self._reads_label(name, spec):
            return None
        types = self._types(name, spec)
        compiled: Compiled | None = None
        if spec.where is not None:
            compiled = self._compile((*at, "where"), spec.where, Scope(self.columns, {}), Type.BOOLEAN)
            if compiled is None:
                return None
        column: str | None = None
        if aggregate in ("sum", "mean", "min", "max", "last", "distinct", "first_seen"):
            column = argument
            if not of_label and not self._input(name, aggregate, column):
                return None
        of = spec.of.kind if spec.of else "count" if aggregate == "envelope" else ""
        if spec.of and of != "count":
            column = getattr(spec.of, of)
            if not self._input(name, of, column, (*at, "of", of)):
                return None
        scale = self._scale(spec, column)
        where_name = self._filter(types, compiled)
        aggregate = f"label_{aggregate}" if of_label else aggregate
        over = spec.over or (_NOVELTY_MS if aggregate == "first_seen" else 0)
        if spec.over and spec.delay and not self._holds_delay(name, spec):
            return None
        fingerprint = digest(
            aggregate, column if of_label else self.prints.get(column or ""), self._types_print(types), compiled and self._print_of(compiled),
            self._entity_print(self.policy.entities[kind]), over or None, spec.panes,
            spec.cap if aggregate in ("distinct", "first_seen") else None, scale if spec.sum or spec.mean else None, spec.per if aggregate == "rate" else None,
            *([spec.tick] if spec.tick else []), *([of, scale] if of else []), *(["delay", spec.delay] if spec.delay else []),
            *(["since", spec.since] if spec.since else []),
        )  # fmt: skip
        return kind, FeaturePlan(
            name, aggregate, column, where_name, over, spec.panes, spec.cap, scale, spec.per, fingerprint,
            tick_ms=spec.tick, of=of, delay_ms=spec.delay or 0, of_stream=spec.since == "stream",
        )  # fmt: skip

    def _reads_label(self, name: str, spec: FeatureSpec) -> bool:
        """Whether a feature may read a label as it asks to."""
        at: Path = ("features", name)
        before = len(self.problems)
        if spec.sum is None and spec.mean is None:
            self.problem(
                (*at, spec.aggregate),
                f"feature {name}: {spec.aggregate} of a label",
                hint="a label may be corrected, and only sum and mean can take a value back",
            )
        for key in ("on", "where"):
            if getattr(spec, key) is not None:
                self.problem(
                    (*at, key),
                    f"feature {name}: a feature of a label does not take `{key}`",
                    hint=f"a label knows its value, its time and its entities, not the event's fields: take `{key}` out",
                )
        return len(self.problems) == before

    def _holds_delay(self, name: str, spec: FeatureSpec) -> bool:
        """Whether the panes of a window and of its delay are few enough for a row."""
        pane_ms = -(-(spec.over or 0) // spec.panes)
        panes = spec.panes + -(-(spec.delay or 0) // pane_ms)
        if panes > MOST_PANES:
            self.problem(
                ("features", name, "delay"),
                f"feature {name}: window and delay together are {panes:,} panes of {format_duration(pane_ms)}, and a row holds {MOST_PANES:,}",
                hint="give it fewer `panes`, a longer `over` or a shorter `delay`",
            )
        return panes <= MOST_PANES

    def _types(self, name: str, spec: FeatureSpec) -> tuple[str, ...] | None:
        given = spec.count or spec.rate or spec.on
        if given is None or given == "any":
            return None
        if given not in self.policy.events:
            key = next(k for k in ("count", "rate", "on") if getattr(spec, k) is not None)
            self.problem(
                ("features", name, key),
                f"feature {name}: there is no event type {given}",
                hint=self._nearest(given, [*self.policy.events, "any"]),
            )
            return None
        return (given,) if len(self.policy.events) > 1 else None

    def _types_print(self, types: tuple[str, ...] | None) -> list[object] | None:
        return None if types is None else [(t, self.policy.events[t].when) for t in types]

    def _input(self, name: str, aggregate: str, column: str, at: Path | None = None) -> bool:
        at = at or ("features", name, aggregate)
        kind = self.columns.get(column)
        if kind is None:
            state = {*self.policy.features, *self.policy.derive}
            if column in state:
                self.problem(
                    at,
                    f"feature {name}: {column} is known only after state has been read",
                    hint="a feature aggregates fields and derived columns of the event itself",
                )
            else:
                self.problem(
                    at,
                    f"feature {name}: there is no column {column}",
                    hint=self._nearest(column, [c for c in self.columns if c not in _SYSTEM]),
                )
            return False
        if aggregate in ("distinct", "first_seen"):
            if kind is Type.LIST:
                self.problem(
                    at,
                    f"feature {name}: {aggregate} of {column}, which is a list",
                    hint="make the list an entity with each:",
                )
            return kind is not Type.LIST
        if kind not in _SUMMABLE:
            self.problem(
                at,
                f"feature {name}: {aggregate} of {column}, which is {kind.name.lower()}",
                hint="aggregate a number or a boolean; use distinct to count different texts",
            )
        return kind in _SUMMABLE

    def _scale(self, spec: FeatureSpec, column: str | None) -> int:
        if spec.scale is not None:
            return spec.scale
        declared = [e.fields[column] for e in self.policy.events.values() if column in e.fields]
        if declared and declared[0].type == "decimal":
            return declared[0].scale
        return 0 if declared and declared[0].type in ("integer", "boolean") else _DEFAULT_SCALE

    def _filter(self, types: tuple[str, ...] | None, compiled: Compiled | None) -> str | None:
        if types is None and compiled is None:
            return None
        key = (types, compiled and compiled.canonical)
        if key not in self.filters:
            self.filters[key] = FeatureFilter(f"__where:{len(self.filters)}", types, compiled)
        return self.filters[key].name

    def _lists(self, kinds: dict[str, KindPlan]) -> dict[str, ListRef]:
        refs = {}
        for name, spec in self.policy.lists.items():
            if spec.of not in self.policy.entities:
                self.problem(
                    ("lists", name, "of"),
                    f"list {name}: there is no entity {spec.of}",
                    hint=self._nearest(spec.of, self.policy.entities),
                )
                continue
            kind = kinds[spec.of]
            if len(kind.lists) > 64:
                self.problem(
                    ("lists", name),
                    f"entity {spec.of} is on more than 64 lists",
                    hint="join lists that are used together",
                )
                break
            refs[name] = ListRef(spec.of, kind.key or (kind.each or "",), kind.lists.index(name))
        return refs

    # what comes after state

    def _steps(self, late: list[str], scope: Scope) -> tuple[Step, ...]:
        """Late derived columns and models, each after what it reads; neighbouring columns are one step."""
        texts = {name: set(_WORD.findall(_QUOTED.sub("", self.policy.derive[name]))) for name in late}
        reads = {name: set(self.models.reads(name)) for name in self.policy.models} | texts
        try:
            order = list(
                # A derived column that has its own name in its text calls a function of that name; a model reads columns only.
                TopologicalSorter(
                    {n: [o for o in reads if o in reads[n] and (o != n or n in self.policy.models)] for n in reads}
                ).static_order()
            )
        except CycleError as error:
            loop = error.args[1]
            part = "models" if loop[0] in self.policy.models else "derive"
            self.problem(
                (part, loop[0]),
                f"models and derived columns depend on each other: {' -> '.join(loop)}",
                hint="a model reads what is known before it",
            )
            order = []
        steps: list[Step] = []
        for name in order:
            if name in self.policy.models:
                plan = self.models.plan(name)
                self.columns[name] = Type.NUMBER
                self.prints[name] = digest(*self.models.print_of(name))
                steps += [] if plan is None else [plan]
                continue
            compiled = self._compile(("derive", name), self.policy.derive[name], scope)
            if compiled is None:
                self._unknown_type(name)
                continue
            group = steps.pop() if steps and isinstance(steps[-1], tuple) else ()
            assert isinstance(group, tuple)
            steps.append((*group, Derived(name, compiled)))
            self._add_derived(name, compiled)
        return tuple(steps)

    def _rules(self, steps: tuple[Step, ...], scope: Scope) -> tuple[RulePlan, ...]:
        through = self._behind(steps)
        plans = [self._rule(name, spec, scope, through) for name, spec in self.policy.rules.items()]
        return tuple(plan for plan in plans if plan is not None)

    def _behind(self, steps: tuple[Step, ...]) -> dict[str, tuple[str, ...]]:
        """For each column that depends on state or on a score, the features and models behind it."""
        behind: dict[str, tuple[str, ...]] = {}
        for name, spec in self.policy.features.items():
            behind[name] = (name, *spec.ratio) if spec.ratio else (name,)
            behind[p_column(name)] = (name,)
        for step in steps:
            for one in step if isinstance(step, tuple) else (step,):
                reads = one.compiled.reads if isinstance(one, Derived) else one.reads
                own = () if isinstance(one, Derived) else (one.name,)
                behind[one.name] = tuple(dict.fromkeys((*own, *(f for c in reads for f in behind.get(c, ())))))
        return behind

    def _rule(self, name: str, spec: RuleSpec, scope: Scope, behind: dict[str, tuple[str, ...]]) -> RulePlan | None:
        at: Path = ("rules", name)
        before = len(self.problems)
        for event in spec.on:
            if event not in self.policy.events:
                self.problem(
                    (*at, "on"),
                    f"rule {name}: there is no event type {event}",
                    hint=self._nearest(event, self.policy.events),
                )
        entity = self.policy.entities.get(spec.target)
        if entity is None:
            self.problem(
                (*at, "target"),
                f"rule {name}: there is no entity {spec.target} to act on",
                hint=self._nearest(spec.target, self.policy.entities),
            )
        elif entity.each:
            self.problem(
                (*at, "target"),
                f"rule {name}: {spec.target} is one of several in an event (each:), so it cannot be a target",
                hint="target the entity that did it",
            )
        compiled = self._compile((*at, "when"), spec.when, scope, Type.BOOLEAN)
        if compiled is None or entity is None or len(self.problems) > before:
            return None
        types = tuple(dict.fromkeys(spec.on)) if spec.on and len(self.policy.events) > 1 else None
        if spec.fdr is not None:
            compiled = self._discovered(name, spec, spec.fdr, types, scope)
            if compiled is None:
                return None
            behind = {**behind, discovery_column(name, spec.fdr.of, spec.fdr.at): (spec.fdr.of,)}
        found = tuple(dict.fromkeys(f for c in compiled.reads for f in behind.get(c, ())))
        features = tuple(name for name in found if name in self.policy.features)
        inputs = [(c, self.prints.get(c)) for c in sorted(compiled.reads)]
        protect = self.policy.protect.get(spec.target)
        return RulePlan(
            name=name,
            types=types,
            when=compiled,
            action=spec.action,
            target_kind=spec.target,
            mode=spec.mode,
            digest=digest(
                compiled.canonical,
                self._types_print(types),
                spec.action,
                self._entity_print(entity),
                inputs,
                list(compiled.lists),
                spec.warmup,
            ),
            features=features,
            models=tuple(name for name in found if name in self.policy.models),
            columns=compiled.reads,
            window_ms={f: ms for f in features if f in self.plans and (ms := self.plans[f].settled_ms)},
            warmup=spec.warmup == "wait",
            severity=spec.severity,
            cooldown_ms=spec.cooldown,
            expires_ms=spec.expires,
            budget=spec.max_actions,
            protect_list=protect.list if protect else None,
            protect_action=protect.action if protect else None,
            description=spec.description,
            policy_ref=spec.policy_ref,
            owner=spec.owner,
            runbook=spec.runbook,
        )

    def _discovered(
        self, name: str, spec: RuleSpec, fdr: FdrSpec, types: tuple[str, ...] | None, scope: Scope
    ) -> Compiled | None:
        """A rule's condition, narrowed to the events that are discoveries."""
        at: Path = ("rules", name, "fdr", "of")
        feature = self.plans.get(fdr.of)
        if feature is None:
            known = ", ".join(sorted(self.plans)[:5])
            hint = self._nearest(fdr.of, self.plans) or f"features with state: {known or 'none'}"
            self.problem(at, f"rule {name}: there is no feature {fdr.of} with state", hint=hint)
            return None
        column = discovery_column(name, fdr.of, fdr.at)
        fingerprint = digest("fdr", name, feature.fingerprint, fdr.at, self._types_print(types))
        self.discoveries.append(discovery(name, feature, fdr.at, self._filter(types, None), fingerprint))
        self.prints[column] = fingerprint
        columns = {**scope.columns, column: Type.NUMBER}
        end = "\n" if "--" in spec.when else ""  # a comment may end the condition
        text = f'({spec.when}{end}) AND "{column}" = 1'
        return self._compile(("rules", name, "when"), text, replace(scope, columns=columns), Type.BOOLEAN)

    def _rest(self) -> None:
        for kind, spec in self.policy.protect.items():
            listed = self.policy.lists.get(spec.list)
            if kind not in self.policy.entities:
                self.problem(
                    ("protect", kind),
                    f"protect: there is no entity {kind}",
                    hint=self._nearest(kind, self.policy.entities),
                )
            elif listed is None:
                self.problem(
                    ("protect", kind, "list"),
                    f"protect: there is no list {spec.list}",
                    hint=self._nearest(spec.list, self.policy.lists),
                )
            elif listed.of != kind:
                self.problem(("protect", kind, "list"), f"protect: list {spec.list} holds {listed.of}, not {kind}")
        for index, name in enumerate(self.policy.include):
            if name not in self.columns:
                self.problem(
                    ("include", index), f"include: there is no column {name}", hint=self._nearest(name, self.columns)
                )
        for index, test in enumerate(self.policy.tests):
            for rule in test.expect:
                if rule not in self.policy.rules:
                    self.problem(
                        ("tests", index, "expect", rule),
                        f"tests: there is no rule {rule}",
                        hint=self._nearest(rule, self.policy.rules),
                    )


def without_rules(program: Program) -> Program:
    """The same program with nothing to judge: what `watchgate features` runs."""
    return replace(program, rules=())
