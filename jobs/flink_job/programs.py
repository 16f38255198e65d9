"""Programs by reference: a policy travels with the events that it judges, and is compiled once a process."""

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import orjson

from jobs.flink_job.python_threads import python_threads
from jobs.policies import Policies
from operators.choices import NO_CHOICES, Choices
from operators.plan import Program
from operators.program import compile_program
from schemas.policy_file import parse_policy

_COMPILED: dict[tuple[object, ...], Program] = {}
"""Shared by the operators of a TaskManager, which live in one interpreter."""
_MOST = 32
_POLICIES: dict[str | None, Policies] = {}
"""By registry."""
_POLICIES_LOCK = Lock()


@dataclass(frozen=True, slots=True)
class ProgramRef:
    """Which program: the digest of its policy and what was chosen over it. `policy` is the policy as a document, None for
    the one that the job was started with."""

    digest: str
    policy: bytes | None
    choices: Choices

    @property
    def plain(self) -> "ProgramRef":
        """Without choices, which concern judging only."""
        return replace(self, choices=NO_CHOICES)


def policies_over(registry: str | None) -> Policies:
    """The policies of a registry; a model is loaded once a process, although the operators of a TaskManager start at the
    same time, each in a thread of its own."""
    with _POLICIES_LOCK:
        found = _POLICIES.get(registry)
        if found is None:
            found = _POLICIES[registry] = Policies.over(None if registry is None else Path(registry), python_threads)
        return found


class Programs:
    """What operators ask for programs. `text` is the policy file that the job was started with."""

    def __init__(self, text: str, name: str, registry: str | None) -> None:
        self.registry = registry
        self.policies = policies_over(registry)
        self.base = compile_program(parse_policy(text, name), self.policies.shelf)

    def ref(self, program: Program) -> ProgramRef:
        """What another operator finds the program by."""
        policy = None
        if program.digest != self.base.digest:
            policy = orjson.dumps(program.policy.model_dump(mode="json", exclude_defaults=True))
        return ProgramRef(program.digest, policy, program.choices)

    def of(self, ref: ProgramRef) -> Program:
        """The program of a reference."""
        if ref.policy is None and ref.choices.key == self.base.choices.key:
            return self.base
        key = (self.registry, ref.digest, ref.choices.key)
        found = _COMPILED.get(key)
        if found is None:
            found = self.base if ref.policy is None else self.policies.of_document(orjson.loads(ref.policy))
            if found.digest != ref.digest:
                raise RuntimeError(
                    f"policy {found.name} has digest {found.digest} here and {ref.digest} where it was read: the "
                    "operators of this job run different versions of Watchgate. Install one version on all TaskManagers"
                )
            if found.choices.key != ref.choices.key:
                found = self.policies.choose(found, ref.choices)
            if len(_COMPILED) >= _MOST:
                _COMPILED.clear()
            _COMPILED[key] = found
        return found
