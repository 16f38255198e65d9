"""What config records have chosen over a policy: versions of models, their challengers, and numbers for thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from operators.operating_points import point_name


@dataclass(frozen=True, slots=True)
class Choices:
    """Nothing chosen leaves the policy as it is written."""

    versions: Mapping[str, int] = field(default_factory=dict)
    """By model: the version in force."""
    challengers: Mapping[str, int | None] = field(default_factory=dict)
    """By model: the version that is scored beside it, None for none."""
    thresholds: Mapping[tuple[str, int, str], float] = field(default_factory=dict)
    """By model, version and operating point (empty for the only one): the number it stands for."""

    def live(self, model: str, version: int) -> "Choices":
        """With this version in force, and no challenger."""
        return replace(
            self,
            versions={**self.versions, model: version},
            challengers={**self.challengers, model: None},
        )

    def challenge(self, model: str, version: int | None) -> "Choices":
        """With this version beside the one in force."""
        return replace(self, challengers={**self.challengers, model: version})

    def threshold(self, model: str, version: int, point: str, value: float) -> "Choices":
        """With a number for an operating point of one version: another version has other scores."""
        return replace(self, thresholds={**self.thresholds, (model, version, point): value})

    def number(self, model: str, version: int, point: str, wanted: float) -> float | None:
        """The number chosen for an operating point, None where none was."""
        named = self.thresholds.get((model, version, point_name(point, wanted)))
        return self.thresholds.get((model, version, "")) if named is None else named

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal choices."""
        return (
            tuple(sorted(self.versions.items())),
            tuple(sorted((name, version or 0) for name, version in self.challengers.items())),
            tuple(sorted(self.thresholds.items())),
        )


NO_CHOICES = Choices()
