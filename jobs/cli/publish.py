"""watchgate publish: a policy to the jobs that follow a config log, checked before it is sent."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.config_log import append, ask, effective, published
from jobs.cli.kafka_options import Properties, load_properties
from jobs.cli.policy_changes import policy_changes
from jobs.cli.shared import CommandError, RegistryOption, mendable
from jobs.policies import Policies
from operators.config_records import RefusedError, fits
from operators.plan import Program
from schemas.times import iso

EXAMPLE = "Example: `watchgate publish policy.yaml --config kafka://127.0.0.1:9092/shop.config --reason 'copied_text counts links' --wait`"


def command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    config: Annotated[
        str, typer.Option(help="The config log: a file, made if it does not exist, or kafka://HOST:PORT/TOPIC.")
    ],
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    by: Annotated[str | None, typer.Option(help="Who; the user's name unless given.")] = None,
    effective_at: Annotated[
        str | None, typer.Option(help="In force from this time on (ISO 8601, ingest time).")
    ] = None,
    in_: Annotated[
        str | None,
        typer.Option("--in", help="In force so long from now, for example 2s: all subtasks then switch at one event."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when every subtask of the job has it (Kafka).")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a rule acts that was not live.")] = False,
    registry: RegistryOption = None,
    client_properties: Properties = None,
) -> None:
    """Show what a policy changes against the last one that was published, and append it to a config log.

    A policy that is not sound, or that a running job could not take up, is refused before it is sent. A changed rule
    whose mode was set is shadow until it is set again. A policy with models needs the registry that the job has.
    """
    if not reason.strip():
        raise CommandError("error: --reason is empty. Say why, for whoever reads the log after an incident.")
    start = effective(effective_at, in_)
    properties = load_properties(client_properties)
    with mendable():
        policies = Policies.over(registry)
        program = policies.load(policy)
        policies.require(program)
        before = published(config, properties, policies)
    print("\n".join(_changes(before, program)))
    value = program.policy.model_dump(mode="json", exclude_defaults=True)
    if policies.of_document(value).digest != program.digest:
        raise AssertionError("the policy as it is sent is not the policy that was checked")
    acting = _would_act(before, program)
    if acting:
        print(f"live by the policy itself, unless a mode record says otherwise: {', '.join(acting)}")
        ask(f"publish {policy}?", yes)
    record = {
        "key": "policy",
        "value": value,
        "by": by or getpass.getuser(),
        "reason": reason.strip(),
        "at": iso(int(datetime.now(UTC).timestamp() * 1000)),
    }
    with mendable():
        done = append(config, record, start, properties, wait)
    print(f"policy {program.name} {program.digest} is published {done.when}; recorded in {config}")
    print("".join(f"{answer}\n" for answer in done.answers), end="")


def _changes(before: Program | None, after: Program) -> list[str]:
    """What differs, in words. Raises CommandError for what a running job would refuse."""
    if before is None:
        return [
            "no policy has been published to this log yet: a job runs the one that it was started with; compare the two "
            "with `watchgate rules diff`"
        ]
    try:
        fits(after, before)
    except RefusedError as error:
        raise CommandError(f"error: nothing was sent, a running job would refuse this policy: {error}") from None
    return policy_changes(before, after) or ["nothing that matters differs from the last policy that was published"]


def _would_act(before: Program | None, after: Program) -> list[str]:
    """Rules that are live by the policy and were not, as they are now, in the one before."""
    known = {(rule.digest, rule.mode) for rule in before.rules} if before else set()
    return [r.name for r in after.rules if r.mode.startswith("live") and (r.digest, r.mode) not in known]
