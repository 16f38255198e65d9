"""watchgate mode: what each rule may do, as records in a config log that is the audit trail as well."""

import getpass
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from integration.config_seen import Seen, bind, read_seen
from integration.kafka.address import is_kafka, kafka_place
from integration.kafka.properties import ClientProperties
from jobs.cli.config_log import append, ask, effective, open_log, prepared, published
from jobs.cli.kafka_options import Properties, load_properties
from jobs.cli.shadow import shadow_lines
from jobs.cli.shared import CommandError, RegistryOption, mendable, parse_time
from jobs.policies import Policies
from operators.modes import standing
from operators.plan import Program
from operators.timeline import Timeline
from schemas.config import ConfigError, parse_config
from schemas.counted import counted
from schemas.problem import did_you_mean
from schemas.times import iso

app = typer.Typer(help="Set and list the modes of rules.", no_args_is_help=True)

_HELD = {"rule_changed": "the rule changed since it was set", "ceiling": "the panic switch"}
_MODE = re.compile(r"off|shadow|live|live (\d{1,2}|100)%")


@app.command(
    "set",
    epilog="Example: `watchgate mode set copied_text live --config modes.jsonl --reason 'two weeks in shadow, precision 0.98'`",
)
def set_command(
    rule: Annotated[str, typer.Argument(help="Name of the rule, or '*' for all (the panic switch: shadow, or clear).")],
    mode: Annotated[
        str,
        typer.Argument(
            help="off, shadow, live, or 'live N%' (N percent of targets, always the same ones). '*' takes shadow or clear."
        ),
    ],
    config: Annotated[
        str, typer.Option(help="The config log: a file, made if it does not exist, or kafka://HOST:PORT/TOPIC.")
    ],
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    by: Annotated[str | None, typer.Option(help="Who; the user's name unless given.")] = None,
    effective_at: Annotated[
        str | None,
        typer.Option(
            help="In force from this time on (ISO 8601, ingest time); without it from where a job reads the record."
        ),
    ] = None,
    in_: Annotated[
        str | None,
        typer.Option("--in", help="In force so long from now, for example 2s: all subtasks then switch at one event."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The policy whose rule it is, where no job has run with the log and no policy was published to it."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when every subtask of the job has it (Kafka).")] = False,
    registry: RegistryOption = None,
    client_properties: Properties = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a rule goes live.")] = False,
) -> None:
    """Append a mode record to a config log. A job that reads the log follows it.

    Going live shows what the rule did in shadow and asks; without a terminal it needs --yes.
    """
    mode = re.sub(r"\s+", " ", mode.strip())
    if not reason.strip():
        raise CommandError("error: --reason is empty. Say why, for whoever reads the log after an incident.")
    start = effective(effective_at, in_)
    properties = load_properties(client_properties)
    with mendable():
        known = _rules(config, properties, registry) if policy is None else _of_policy(policy, registry)
    value: dict[str, object]
    if rule == "*":
        if mode not in ("shadow", "clear"):
            raise CommandError(f"error: '*' takes shadow (nothing acts, whatever its mode) or clear, not {mode!r}")
        value = {"ceiling": mode}
    else:
        if not _MODE.fullmatch(mode):
            raise CommandError(f"error: {mode!r} is not a mode: off, shadow, live, or 'live N%' with N from 0 to 100")
        value = {"mode": mode, "digest": known.digest(rule, mode) if known else None}
    record = {
        "key": f"mode/{rule}",
        "value": value,
        "by": by or getpass.getuser(),
        "reason": reason.strip(),
        "at": iso(int(datetime.now(UTC).timestamp() * 1000)),
    }
    prepared(record)  # before anybody is asked
    if mode == "clear" or mode.startswith("live"):
        with mendable():
            _show_shadow(rule, config, known, properties)
        ask(f"{'clear the panic switch' if rule == '*' else f'set {rule} to {mode}'}?", yes)
    with mendable():
        done = append(config, record, start, properties, wait)
    what = (
        {"shadow": "every rule is held in shadow", "clear": "the panic switch is cleared"}[mode]
        if rule == "*"
        else f"{rule} is set to {mode}"
    )
    print(f"{what} {done.when}; recorded in {config}")
    if rule != "*" and known is None:
        print(
            f"no policy is known that goes with {config}: the first job that reads the record takes it for the rule {rule} that it has, "
            f"and rejects it if it has none; --policy POLICY says which rule is meant"
        )
    print("".join(f"{answer}\n" for answer in done.answers), end="")


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules that a mode may be set for: those of a policy that was named or published, or of the last run on a file."""

    digests: dict[str, str]
    whose: str
    seen: Seen | None = None
    models: tuple[str, ...] = ()
    """Models that could not be looked at: the digests are not those that the job has."""

    @classmethod
    def of(cls, program: Program, whose: str, registry: Path | None) -> "_Rules":
        digests = {rule.name: rule.digest for rule in program.rules}
        return cls(digests, whose, models=() if registry else tuple(program.models))

    def digest(self, rule: str, mode: str) -> str | None:
        """Of the rule as the job has it. None, for the rule as it is in force then, where that is not known and the mode
        lets nothing act."""
        if rule not in self.digests:
            hint = did_you_mean(rule, self.digests)
            raise CommandError(
                f"error: {self.whose} has no rule {rule}"
                + (f"; {hint}" if hint else f". It has {', '.join(self.digests)}.")
            )
        if not self.models:
            return self.digests[rule]
        if mode.startswith("live"):
            raise CommandError(
                f"error: {self.whose} has models ({', '.join(self.models)}), which say what version of {rule} may act: "
                "give --registry DIR, the one that the job has"
            )
        return None


def _rules(config: str, properties: ClientProperties | None, registry: Path | None) -> _Rules | None:
    """None where nothing is known of the rules: the job says then whether there is such a rule."""
    if not is_kafka(config):
        seen = read_seen(Path(config))
        if seen is not None:
            digests = {name: rule.digest for name, rule in seen.rules.items()}
            return _Rules(digests, f"policy {seen.policy}, which last ran with {config},", seen)
    program = published(config, properties, Policies.over(registry))
    if program is None:
        return None
    return _Rules.of(program, f"policy {program.name}, the last one published to {config},", registry)


def _of_policy(policy: Path, registry: Path | None) -> _Rules:
    program = Policies.over(registry).load(policy)
    return _Rules.of(program, f"policy {program.name} in {policy}", registry)


def _show_shadow(rule: str, config: str, known: _Rules | None, properties: ClientProperties | None) -> None:
    """What was seen of a rule in shadow, for whoever is about to let it act."""
    if is_kafka(config):
        for line in shadow_lines(kafka_place(config, "TOPIC"), None if rule == "*" else rule, properties):
            print(line)
    elif known is None or known.seen is None:
        print("no job has run with this config log yet, so what happened in shadow is not known")
    else:
        seen = known.seen
        for name in list(seen.rules) if rule == "*" else [rule]:
            found = seen.rules[name]
            acted = f"{counted(found.hits, 'live hit')}, {counted(found.acted, 'action')}; " if found.hits else ""
            print(
                f"{name}: {acted}{counted(found.shadow_hits, 'shadow hit')} in {seen.judged:,} events up to {seen.at or 'now'}; live it would have acted {found.shadow_acted:,} times ({found.mode} now)"
            )


@app.command("list", epilog="Example: `watchgate mode list policy.yaml --config modes.jsonl --at 2026-03-01T12:00:00Z`")
def list_command(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML or JSON.")],
    config: Annotated[
        str | None,
        typer.Option(
            help="The config log, a file or kafka://HOST:PORT/TOPIC; without it the modes that the policy writes."
        ),
    ] = None,
    at: Annotated[str | None, typer.Option(help="As of this time; without it after all records.")] = None,
    registry: RegistryOption = None,
    client_properties: Properties = None,
) -> None:
    """Show the mode of each rule, who set it and why."""
    moment = None if at is None else parse_time(at, "--at")
    with mendable():
        policies = Policies.over(registry)
        program = policies.load(policy)
        source = open_log(config, load_properties(client_properties)) if config else None
        timeline = Timeline(
            program, policies.of_document, source.timeline if source else "0", source is not None, policies.choose
        )
        seen = read_seen(Path(config)) if config and not is_kafka(config) else None
        bound = seen.bound if seen is not None and seen.timeline == timeline.timeline_id else {}
        records: dict[str, tuple[str, str]] = {}
        timed: set[int] = set()
        untimed = 0
        refused: list[str] = []
        for number, line in enumerate(source.read_to_end() if source else (), start=1):
            try:
                record = parse_config(line.data)
            except ConfigError as error:
                refused.append(f"record {number}: {error}")
                continue
            # A record in a file that has no time of its own is in force from where a job reads it: from the first
            # event on for a job that starts with this log, and that is what is shown.
            since = record.effective_ms if record.effective_ms is not None else line.appended_ms
            untimed += since is None
            if moment is not None and since is not None and since > moment:
                continue
            statuses = timeline.offer(bind(line.data, bound), since if record.effective_ms is None else None)
            rejected = [s["message"] for s in statuses if s["kind"] == "config_rejected"]
            refused += [f"record {number}: {message}" for message in rejected]
            if not rejected:
                records[record.key] = (record.by, record.reason)
                if record.effective_ms is not None:
                    timed.add(record.effective_ms)
    epoch = timeline.at(2**62 if moment is None else moment)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rule", "mode", "held in shadow by", "set by", "reason"):
        table.add_column(name, overflow="fold")
    for rule in epoch.program.rules:
        stand = standing(rule, epoch)
        who, why = records.get(f"mode/{rule.name}", ("the policy", ""))
        doubt = _HELD.get(stand.doubt, stand.doubt) if stand.doubt not in (None, "mode") else ""
        table.add_row(rule.name, stand.mode, doubt, who, why)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)
    if epoch.ceiling:
        who, why = records["mode/*"]
        console.print(f"the panic switch is on, thrown by {who}: {why}")
    # Of a record without a time only the job that read it knows from when it was in force.
    console.print(
        f"epoch {epoch.id}" + (f", in force since {iso(epoch.in_force_ms)}" if epoch.in_force_ms in timed else "")
    )
    if untimed:
        having = "record has" if untimed == 1 else "records have"
        print(
            f"{untimed} {having} no time: a job has one in force from where it reads it; shown is a job that starts with this log",
            file=sys.stderr,
        )
    if program.models and registry is None:
        models = ", ".join(program.models)
        print(f"rules over models ({models}) may be shown as changed: give --registry DIR", file=sys.stderr)
    for message in refused:
        print(f"refused: {message}", file=sys.stderr)
