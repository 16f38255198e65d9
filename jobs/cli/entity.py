"""watchgate entity: what is known about one entity now."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from integration.rocks_state import RocksState
from jobs.cli.programs import compile_document
from jobs.cli.shared import CommandError, mendable
from operators.cooldowns import cooldown_key, read_row
from operators.keys import bytes_of
from operators.layout import Layout
from operators.observe import KindObserver
from schemas.problem import did_you_mean
from schemas.times import iso

app = typer.Typer(help="Look at what is known about an entity.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `show` a subcommand while it is the only one."""


@app.command(epilog="Example: `watchgate entity show account author_1f2e3d4c --state verdicts/state`")
def show(
    kind: Annotated[str, typer.Argument(help="Entity kind of the policy, for example account.")],
    key: Annotated[list[str], typer.Argument(help="The entity's key; one argument per column of the key.")],
    state: Annotated[
        Path, typer.Option(help="The state folder of a run; a running one may be looked at as of its last checkpoint.")
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show an entity's features now, its lists, and the rules that are cooling down for it."""
    with mendable():
        store = RocksState(state, read_only=True)
        try:
            document = _entity(store, state, kind, key)
        finally:
            store.close()
    if json:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return
    if document.pop("known", True) is False:
        print(
            f"{kind} {document['key']} is not known: no event that was judged names it, or none for so long that it was forgotten. Check the key; this is what a new {kind} has:\n"
        )
    for name, value in document.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for inner, one in value.items():
                print(f"  {inner:<28} {_shown(one)}")
        else:
            print(f"{name:<30} {_shown(value)}")


def _entity(store: RocksState, folder: Path, kind: str, key: list[str]) -> dict[str, object]:
    policy, engine = store.document("policy"), store.document("engine")
    if policy is None or engine is None:
        raise CommandError(f"error: {folder} holds no checkpoint yet. Run watchgate run with --state {folder} first.")
    program = compile_document(orjson.loads(policy))
    saved = orjson.loads(engine)
    if kind not in program.kinds:
        hint = did_you_mean(kind, program.kinds)
        raise CommandError(
            f"error: policy {program.name} has no entity {kind}; " + (hint or f"it has {', '.join(program.kinds)}")
        )
    plan = program.kinds[kind]
    try:
        ident = bytes_of(key, plan)
    except ValueError as error:
        raise CommandError(f"error: {error}") from None
    clock = saved["clock"]
    document: dict[str, object] = {"kind": kind, "key": "|".join(key), "as_of": None if clock is None else iso(clock)}
    if plan.stateful:
        observer = KindObserver(plan, store.family(f"rows:{kind}"))
        for description in orjson.loads(store.document(f"layouts:{kind}") or b"[]"):
            observer.know(Layout.from_description(description))
        known = observer.read(ident, clock or 0)
        features = known["features"]
        assert isinstance(features, dict)
        for ratio in program.ratios:
            if ratio.over in features and ratio.under in features:
                over, under = features[ratio.over], features[ratio.under]
                features[ratio.name] = over / under if over is not None and under else None
        document["known"] = known["first_seen"] is not None
        document |= known | {
            name: iso(ms) for name in ("first_seen", "last_seen") if isinstance(ms := known[name], int)
        }
    cooling = {}
    places = [(namespace, rule.name) for rule in program.rules for namespace in ("live", "shadow")]
    rows = store.family("cooldowns").get_many(
        [cooldown_key(namespace, rule, kind, ident) for namespace, rule in places]
    )
    for (namespace, rule), row in zip(places, rows, strict=True):
        if row is not None and clock is not None and read_row(row)[1] > clock:
            cooling[rule if namespace == "live" else f"{rule} (shadow)"] = iso(read_row(row)[1])
    document["cooling_until"] = cooling
    return document


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
