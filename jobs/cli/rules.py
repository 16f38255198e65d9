"""watchgate rules: check, test, diff and explain a policy before it acts on anybody."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from integration.logs import configure_logs
from integration.sources import SourceError
from jobs.cli.policy_changes import policy_changes
from jobs.cli.programs import load_program
from jobs.cli.shared import CommandError, RegistryOption, mendable
from jobs.engine import EngineError
from jobs.explaining import explain_event, sentence
from jobs.label_feed import check_labels
from jobs.policies import Policies
from jobs.policy_files import file_problems
from jobs.simulation import Simulation
from operators.plan import Program
from schemas.counted import counted
from schemas.policy_file import PolicyError, load_policy
from schemas.problem import did_you_mean

app = typer.Typer(help="Check, test, compare and explain rules.", no_args_is_help=True)

PolicyPath = Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")]
ListsOption = Annotated[
    Path | None, typer.Option("--lists", help="Folder of the policy's list files, the policy's own unless given.")
]


@app.command(epilog="Example: `watchgate rules check policy.yaml`")
def check(
    policy: PolicyPath,
    lists: ListsOption = None,
    files: Annotated[
        bool,
        typer.Option(
            "--files", help="Refuse it too where a list file is missing or wrong, or the data of its tests is missing."
        ),
    ] = False,
    registry: RegistryOption = None,
) -> None:
    """Exit 0 if a policy is sound, else 2 and every error with its place and the nearest valid name.

    Its list files are read as a run reads them, and the data of its tests is looked for: what is wrong there is told, and is an error with
    --files. With a registry its models are loaded and checked too.
    """
    with mendable():
        policies = Policies.over(registry)
        file = load_policy(policy)
        program = policies.of_file(file)
        problems = file_problems(file, policy.parent, lists)
        if problems and files:
            raise PolicyError(problems, file)
        if registry is not None:
            policies.require(program)
    if program.models and registry is None:
        print(
            f"{policy}: its models ({', '.join(program.models)}) are not checked: give --registry DIR", file=sys.stderr
        )
    if problems:
        print(PolicyError(problems, file).render(), file=sys.stderr)
        print("(no mistake of the policy itself: with --files this is an error)", file=sys.stderr)
    print(
        f"{policy}: sound: {counted(len(program.rules), 'rule')}, {counted(len(program.features), 'feature')}, {counted(len(program.kinds), 'entity', 'entities')}, digest {program.digest}"
    )


@app.command(epilog="Example: `watchgate rules test policy.yaml`")
def test(policy: PolicyPath, lists: ListsOption = None, registry: RegistryOption = None) -> None:
    """Run the policy's own tests: each names a data file and how often each rule must fire on it. Exit 1 if one fails."""
    configure_logs("warning")
    with mendable():
        policies, program = _with_models(policy, registry)
        if not program.policy.tests:
            raise CommandError(
                f"error: {policy} has no tests. Add tests: [{{given: events.jsonl, expect: {{RULE: 3}}}}] with a data file beside the policy."
            )
        failed = 0
        for spec in program.policy.tests:
            simulation = Simulation(
                program,
                policies.of_document,
                str(policy.parent / spec.given),
                lists or policy.parent,
                labels=None if spec.labels is None else str(policy.parent / spec.labels),
                scorers=policies.scorers,
            )
            try:
                check_labels(program, spec.labels is not None, "Name their file in the test: labels: FILE.")
                for _ in simulation:
                    pass
            except (EngineError, SourceError) as error:
                raise CommandError(f"error: {policy}, tests, given {spec.given}: {error}") from None
            assert simulation.engine is not None
            fired = simulation.engine.rules
            for rule, expected in spec.expect.items():
                got = fired[rule, "live"] + fired[rule, "shadow"]
                failed += got != expected
                print(
                    f"{'ok  ' if got == expected else 'FAIL'} {spec.given}: {rule} fired {counted(got, 'time')}"
                    + ("" if got == expected else f", expected {expected}")
                )
    if failed:
        print(f"{counted(failed, 'expectation')} failed", file=sys.stderr)
        sys.exit(1)


@app.command("diff", epilog="Example: `watchgate rules diff policy.yaml new-policy.yaml`")
def diff_command(
    old: Annotated[Path, typer.Argument(help="The policy in force.")],
    new: Annotated[Path, typer.Argument(help="The policy to come.")],
) -> None:
    """Say in words what a new policy changes: rules, features and their state."""
    with mendable():
        before, after = load_program(old), load_program(new)
    lines = policy_changes(before, after)
    print("\n".join(lines) if lines else "nothing that matters differs")


@app.command(epilog="Example: `watchgate rules explain policy.yaml copied_text --input comments.jsonl --event z12abc`")
def explain(
    policy: PolicyPath,
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    input: Annotated[str, typer.Option(help="Events, as for `watchgate run`.")],
    event: Annotated[str, typer.Option(help="Id of the event.")],
    labels: Annotated[str | None, typer.Option(help="Labels, as for `watchgate run`.")] = None,
    config: Annotated[Path | None, typer.Option(help="Config log, for the mode the rule stood in.")] = None,
    lists: ListsOption = None,
    registry: RegistryOption = None,
) -> None:
    """Say why a rule fired for an event or did not: each term with its value, and what would have flipped it."""
    configure_logs("warning")
    with mendable():
        policies, program = _with_models(policy, registry)
        if rule not in program.policy.rules:
            hint = did_you_mean(rule, program.policy.rules)
            raise CommandError(f"error: {policy} has no rule {rule}" + (f"; {hint}" if hint else ""))
        check_labels(program, labels is not None)
        simulation = Simulation(
            program,
            policies.of_document,
            input,
            lists or policy.parent,
            config=config,
            labels=labels,
            scorers=policies.scorers,
            choose=policies.choose,
        )
        explained = explain_event(simulation, rule, event)
    print(sentence(explained))
    print()
    for term in explained.explanation.terms:
        mark = {True: "true ", False: "false", None: "null "}[term.value]
        values = ", ".join(f"{name} = {_shown(value, name in program.pii)}" for name, value in term.operands)
        print(f"  {mark}  {term.text}" + (f"    [{values}]" if values else ""))
    for name, told in explained.scores.items():
        print(f"\n  {name} {_number(told.value)}" + (f", version {told.version}" if told.version else ""))
        for one in told.because:
            shown = "" if one["value"] is None else f" = {_shown(one['value'], False)}"
            print(f"    {one['effect']:+.6g}  {one['input']}{shown}")
    if explained.explanation.flips:
        print()
    for flip in explained.explanation.flips:
        print(f"  {flip}")
    print()
    why = explained.shadow_reason if explained.shadow_reason != "mode" else None  # its own mode says it already
    print(f"  mode: {explained.mode}" + (f" ({why})" if why else ""))


def _with_models(policy: Path, registry: Path | None) -> tuple[Policies, Program]:
    """The program of a policy, its models loaded."""
    policies = Policies.over(registry)
    program = policies.load(policy)
    policies.require(program)
    return policies, program


def _number(value: float | None) -> str:
    return "has no score" if value is None else f"{value:.6f}"


def _shown(value: object, personal: bool) -> str:
    """A value for the terminal; personal data stays hidden there too."""
    if value is None:
        return "NULL"
    if personal:
        return "(hidden)"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
