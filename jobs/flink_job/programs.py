"""Programs by digest: a policy travels with the events that it judges, and is compiled once a process."""

import orjson

from operators.plan import Program
from operators.program import compile_program
from schemas.policy_file import parse_policy

_COMPILED: dict[str, Program] = {}
"""Shared by the operators of a TaskManager, which live in one interpreter."""
_MOST = 32


def compile_text(text: str, name: str) -> Program:
    """The program of a policy file. Raises PolicyError."""
    return compile_program(parse_policy(text, name))


def compile_document(document: dict[str, object]) -> Program:
    """The program of a config record. Raises PolicyError."""
    return compile_text(orjson.dumps(document).decode(), "policy record")


def document_of(program: Program) -> bytes:
    """The policy as `Programs.of` takes it back."""
    return orjson.dumps(program.policy.model_dump(mode="json", exclude_defaults=True))


class Programs:
    """What operators ask for programs. `text` is the policy file that the job was started with."""

    def __init__(self, text: str, name: str) -> None:
        self.base = compile_text(text, name)
        _remember(self.base)

    def of(self, digest: str, policy: bytes | None) -> Program:
        """The program with this digest; `policy` is its document, None for the base."""
        if policy is None:
            return self.base
        found = _COMPILED.get(digest)
        if found is None:
            found = compile_document(orjson.loads(policy))
            if found.digest != digest:
                raise RuntimeError(
                    f"policy {found.name} has digest {found.digest} here and {digest} where it was read: the operators "
                    "of this job run different versions of Watchgate. Install one version on all TaskManagers"
                )
            _remember(found)
        return found


def _remember(program: Program) -> None:
    if len(_COMPILED) >= _MOST:
        _COMPILED.clear()
    _COMPILED[program.digest] = program
