"""Policies become programs, with the models of a registry or without them."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from models.registry import Registry
from operators.choices import Choices
from operators.plan import ModelPlan, Program
from operators.program import compile_program, rechosen
from operators.scoring import ModelError, NoScorers, Scorers
from schemas.policy_file import PolicyFile, load_policy, parse_policy

if TYPE_CHECKING:
    from models.shelf import Around, Shelf


@dataclass(frozen=True, slots=True)
class Policies:
    """What compiles policies for one job. Without a shelf models are taken as they are written, and score nothing."""

    shelf: "Shelf | None" = None

    @classmethod
    def over(cls, registry: Path | None, around: "Around" = nullcontext) -> "Policies":
        """With the registry at a folder, or without one. `around()` is what a model is loaded in."""
        if registry is None:
            return cls()
        from models.shelf import Shelf  # onnxruntime: half a second that a policy without models need not wait

        return cls(Shelf(Registry(registry), around=around))

    def load(self, path: Path) -> Program:
        """The program of a policy file. Raises PolicyError."""
        return self.of_file(load_policy(path))

    def of_file(self, file: PolicyFile) -> Program:
        """The program of a policy that was read. Raises PolicyError."""
        return compile_program(file, self.shelf)

    def of_document(self, document: dict[str, object]) -> Program:
        """The program of a config record. Raises PolicyError."""
        return compile_program(parse_policy(orjson.dumps(document).decode(), "policy record"), self.shelf)

    def choose(self, program: Program, choices: Choices) -> Program:
        """The program with other versions and thresholds. Raises PolicyError where they do not fit it."""
        return rechosen(program, choices, self.shelf)

    @property
    def scorers(self) -> Scorers:
        return NoScorers() if self.shelf is None else self.shelf

    def require(self, program: Program) -> None:
        """Waits until every model of a program is there. Raises ModelError where one is refused, and without a registry."""
        named = [f"{plan.name}@{plan.version}" for plan in program.models.values() if isinstance(plan, ModelPlan)]
        if named and self.shelf is None:
            raise ModelError(
                f"policy {program.name} has models ({', '.join(named)}), and no registry is given: give --registry DIR"
            )
        for name, version in sorted(program.versions):
            why = self.scorers.settle(name, version)
            if why is not None:
                raise ModelError(f"model {name}@{version} is refused: {why}")
            if self.scorers.ready(name, version) is None:
                raise ModelError(
                    f"model {name}@{version} was not loaded in time: try again when the machine has time for it"
                )
