"""A shop with models: a registry in a folder, policies over it, and batches that are judged with its scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.registry import Registry, StoredModel
from models.shelf import Shelf
from operators.choices import Choices
from operators.judge import Judged, judge
from operators.model_gate import settle_models
from operators.plan import Program
from operators.program import compile_program, rechosen
from operators.stamp import stamp
from operators.timeline import Timeline
from schemas.manifest import Manifest, ModelInput
from schemas.policy_file import parse_policy_value
from tests.judge.worlds import NOON, Json, batch, document, observed, rule
from tests.models.builders import bound, logistic, put


def trusting(models: Sequence[StoredModel]) -> list[str | None]:
    """In place of the child process, where what it does is not the subject."""
    return [None] * len(models)


RULES: Json = {
    "risky": rule("fraud >= 0.9", on="payment"),
    "dear": rule("amount >= 1000", on="payment"),
    "mixed": rule("fraud >= 0.9 OR amount >= 500", on="payment"),
}


@dataclass
class World:
    """`fraud` is sigmoid(amount / 100 + posts_1h - 4) unless another is put."""

    root: Path
    rules: Json = field(default_factory=lambda: RULES)
    models: Json = field(default_factory=lambda: {"fraud": {"version": 1}})
    parts: Json = field(default_factory=dict)
    inspect: Any = trusting
    patience: float = 30.0

    def __post_init__(self) -> None:
        self.registry = Registry(self.root)
        self.root.mkdir(exist_ok=True)
        self.shelf = Shelf(self.registry, inspect=self.inspect, patience_seconds=self.patience)

    @property
    def plain(self) -> Program:
        """The same policy without its models: what training would see."""
        return compile_program(parse_policy_value(document(**self.parts, rules={}), "config"))

    def inputs(self, *names: str, **on_null: Any) -> list[ModelInput]:
        return bound(self.plain, *names, **on_null)

    def fraud(self, bias: float = -4.0, **parts: Any) -> Manifest:
        """Adds a version of `fraud`."""
        return put(self.root, logistic([0.01, 1.0], bias), "fraud", self.inputs("amount", "posts_1h"), **parts)

    def document(self, **parts: Any) -> Json:
        return document(**{"models": self.models, "rules": self.rules, **self.parts, **parts})

    def compile(self, value: dict[str, object]) -> Program:
        return compile_program(parse_policy_value(value, "config"), self.shelf)

    def choose(self, program: Program, choices: Choices) -> Program:
        return rechosen(program, choices, self.shelf)

    def program(self, **parts: Any) -> Program:
        program = self.compile(self.document(**parts))
        for name, version in program.versions:
            assert self.shelf.settle(name, version) is None
        return program

    def timeline(self, program: Program | None = None) -> Timeline:
        return Timeline(program or self.program(), self.compile, "t", True, self.choose)

    def judge(
        self,
        line: Timeline,
        amounts: Sequence[float | None],
        posts: Sequence[float | None] | None = None,
        at: Sequence[int] | None = None,
        first: int = 0,
        **options: Any,
    ) -> Judged:
        """Payments of `user` at noon, unless told otherwise, through stamp and judge with the models settled."""
        n = len(amounts)
        times = list(at or [NOON] * n)
        events = batch(
            times, first, type=options.pop("type", ["payment"] * n), account=["user"] * n, amount=list(amounts),
            **options.pop("columns", {}),
        )  # fmt: skip
        self.notes = settle_models(line, self.shelf, max(times))
        stretches, dead = stamp(events, line)
        assert not dead
        total, row = Judged(), 0
        for stamped in stretches:
            height = stamped.frame.height
            features = list(posts[row : row + height]) if posts else [0.0] * height
            row += height
            one = judge(stamped, observed(stamped, posts_1h=features), scorers=self.shelf, **options)
            total.verdicts += one.verdicts
            total.hits += one.hits
            total.errors += one.errors
            total.counts.update(one.counts)
            total.unscored.update(one.unscored)
            total.judged += one.judged
        return total


def fired(result: Judged) -> list[tuple[str, str, str | None]]:
    """(event, rule, shadow reason; live is "live")."""
    return [(v["event_id"], r["rule"], r["shadow_reason"] or "live") for _, v in result.verdicts for r in v["rules"]]  # type: ignore[attr-defined, index]
