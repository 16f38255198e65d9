"""The models of a policy: which version scores, what it reads, and the numbers that its operating points stand for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial

from operators.choices import Choices
from operators.expressions import ThresholdError, Type
from operators.operating_points import UnreachableError, operating_point, point_name
from operators.plan import EnsemblePlan, ModelPlan
from operators.scoring import Catalog, ModelError
from schemas.manifest import Manifest, ModelInput
from schemas.policy import ModelSpec, Policy

_TAKEN = {
    "number": (Type.INTEGER, Type.NUMBER, Type.BOOLEAN),
    "text": (Type.STRING,),
}
Complain = Callable[..., None]


@dataclass
class ModelCompiler:
    """Checks models one by one, in order of dependency. `columns`, `prints` and `bound` grow while a policy is compiled.

    Without a catalog versions are taken as they are written: thresholds have no number, and nothing can be scored.
    """

    policy: Policy
    catalog: Catalog | None
    choices: Choices
    columns: Mapping[str, Type]
    prints: Mapping[str, str]
    bound: Mapping[str, str]
    problem: Complain
    points: dict[str, dict[str, float]] = field(default_factory=dict)
    """By model: the operating points that expressions asked for, with their numbers."""
    _manifests: dict[str, Manifest | None] = field(default_factory=dict)

    def thresholds(self) -> dict[str, Callable[[str, float], float | None]]:
        """What expressions ask for operating points."""
        return {name: partial(self._threshold, name) for name in self.policy.models}

    def challengers(self) -> dict[str, int]:
        """Versions that are scored beside those in force."""
        found = {name: self.choices.challengers.get(name, spec.challenger) for name, spec in self.policy.models.items()}
        return {name: v for name, v in found.items() if v is not None and v != self._version(name)}

    def reads(self, name: str) -> list[str]:
        """The columns that a model is made of, in its own order."""
        spec = self.policy.models[name]
        if spec.version is None or spec.inputs:
            return spec.members or spec.inputs
        manifest = self._manifest(name)
        return [] if manifest is None else [one.name for one in manifest.inputs]

    def plan(self, name: str) -> ModelPlan | EnsemblePlan | None:
        """The plan of a model, None where there is a problem with it."""
        spec = self.policy.models[name]
        if spec.version is None:
            return self._ensemble(name, spec)
        reads, manifest, version = self.reads(name), self._manifest(name), self._version(name)
        if self.catalog is not None and manifest is None:
            return None
        at = ("models", name, "inputs") if spec.inputs else ("models", name)
        inputs = [ModelInput(name=column) for column in reads] if manifest is None else manifest.inputs
        if len(reads) != len(inputs):
            self.problem(
                at,
                f"model {name}: version {version} reads {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), the policy gives it {len(reads)}",
                hint="name as many columns in the same order, or leave inputs: out",
            )
            return None
        if len(set(reads)) < len(reads):
            self.problem(at, f"model {name}: an input is named twice", hint="name each column once")
            return None
        sound = [self._input(at, name, version, c, i) for c, i in zip(reads, inputs, strict=True)]
        return ModelPlan(name, version, tuple(reads), manifest) if all(sound) else None

    def print_of(self, name: str) -> tuple[object, ...]:
        """What defines the score, as far as the policy says it. A version that a record chose is no part of it: the record
        says itself what it may do.
        """
        spec = self.policy.models[name].model_dump(mode="json", exclude={"challenger"})
        return ("model", name, spec, [self.prints.get(column) for column in self.reads(name)])

    def _version(self, name: str) -> int:
        return self.choices.versions.get(name, self.policy.models[name].version or 0)

    def _manifest(self, name: str) -> Manifest | None:
        if name not in self._manifests:
            self._manifests[name] = None
            if self.catalog is not None:
                try:
                    self._manifests[name] = self.catalog.manifest(name, self._version(name))
                except ModelError as error:
                    self.problem(("models", name), f"model {name}: {error}")
        return self._manifests[name]

    def _input(self, at: tuple[str, ...], name: str, version: int, column: str, given: ModelInput) -> bool:
        kind = self.columns.get(column)
        if kind is None:
            self.problem(
                at,
                f"model {name}: there is no column {column}",
                hint=_nearest(column, self.columns) or "add it to derive:",
            )
            return False
        if self.catalog is None:
            return True
        if kind not in _TAKEN[given.type]:
            takes = "numbers" if given.type == "number" else "texts"
            self.problem(
                at,
                f"model {name}: input {column} is {kind.value}, and version {version} takes {takes} there",
                hint="name the columns in the order of the model's inputs",
            )
            return False
        if given.fingerprint is not None and given.fingerprint != self.defined(column):
            self.problem(
                at,
                f"model {name}: input {column} is not what version {version} was trained on: its definition is another",
                hint="train a version on this policy, or give the column the definition that it had",
            )
            return False
        return True

    def defined(self, column: str) -> str | None:
        """What a model that reads the column is bound to."""
        return definition(column, self.policy.models, self._version, {**self.prints, **self.bound})

    def _ensemble(self, name: str, spec: ModelSpec) -> EnsemblePlan | None:
        how = "mean" if spec.mean else "max" if spec.max else "weighted"
        sound = True
        for member in spec.members:
            if member not in self.policy.models:
                self.problem(
                    ("models", name, how),
                    f"model {name}: there is no model {member}",
                    hint=_nearest(member, self.policy.models) or "an ensemble is made of models of this policy",
                )
                sound = False
        if len(set(spec.members)) < len(spec.members):
            self.problem(("models", name, how), f"model {name}: a member is named twice")
            sound = False
        weights = tuple(spec.weighted.values()) if spec.weighted else (1.0,) * len(spec.members)
        return EnsemblePlan(name, how, tuple(spec.members), weights) if sound else None

    def _threshold(self, name: str, point: str, wanted: float) -> float | None:
        if self.policy.models[name].version is None:
            raise ThresholdError(
                f"{name} is an ensemble, and has no calibration set",
                "write a number, or train a model over its members",
            )
        if self.catalog is None:
            return None
        manifest, version = self._manifest(name), self._version(name)
        number = self.choices.number(name, version, point, wanted)
        if manifest is None:
            return number
        if number is None:
            if manifest.curve is None:
                raise ThresholdError(
                    f"{name}@{version} has no calibration set",
                    "write a number, set it with a threshold record, or import it with --calibrate",
                )
            try:
                number = operating_point(manifest.curve, point, wanted).threshold  # type: ignore[arg-type]
            except UnreachableError as error:
                raise ThresholdError(f"{name}@{version}: {error}", "ask for less, or train a better model") from None
        self.points.setdefault(name, {})[point_name(point, wanted)] = number
        return number


def definition(
    column: str, models: Mapping[str, ModelSpec], version: Callable[[str], int], prints: Mapping[str, str]
) -> str | None:
    """What an input of a model is bound to: the version of a model, what an ensemble makes of versions, else the column's print.

    The same with and without a catalog: nothing of a manifest is in it.
    """
    spec = models.get(column)
    if spec is None:
        return prints.get(column)
    if spec.version is not None:
        return f"model:{column}@{version(column)}"
    members = ",".join(f"{definition(one, models, version, prints)}" for one in spec.members)
    how = "mean" if spec.mean else "max" if spec.max else f"weighted {list((spec.weighted or {}).values())}"
    return f"{how} of {members}"


def _nearest(name: str, names: Iterable[str]) -> str | None:
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]}?" if close else None
