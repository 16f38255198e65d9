"""watchgate list: who is on a list, as records of the lists topic."""

import getpass
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from integration.kafka.address import KafkaPlace, is_kafka, kafka_place
from integration.kafka.member_topic import follow_members, write_members
from integration.kafka.properties import ClientProperties
from integration.list_files import read_list
from jobs.cli.kafka_options import Properties, load_properties
from jobs.cli.shared import CommandError, mendable, parse_time
from schemas.members import Member, MemberError, member_key, parse_member
from schemas.problem import BadValueError, did_you_mean
from schemas.times import iso
from schemas.words import check_name

app = typer.Typer(help="Put entities on lists and take them off, while jobs run.", no_args_is_help=True)

_List = Annotated[str, typer.Argument(metavar="LIST", help="Name of the list in the policy.")]
_Entities = Annotated[
    list[str] | None, typer.Argument(metavar="ENTITY", help="Keys; the columns of a longer key are separated by |.")
]
_Lists = Annotated[str, typer.Option("--lists", help="The lists topic: kafka://HOST:PORT/TOPIC.")]
_File = Annotated[Path | None, typer.Option("--file", help="A file with one entity a line.")]


@app.command(
    epilog="Example: `watchgate list add vip u17 --lists kafka://127.0.0.1:9092/shop.lists --until 2026-12-31T00:00:00Z`"
)
def add(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    until: Annotated[
        str | None, typer.Option(help="Off the list again from this time on (ISO 8601, ingest time).")
    ] = None,
    file: _File = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; the user's name unless given.")] = None,
    client_properties: Properties = None,
) -> None:
    """Put entities on a list; one that is on it gets the new time, who and why."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    until_ms = None if until is None else parse_time(until, "--until")
    if until_ms is not None and until_ms <= now_ms:
        raise CommandError(
            f"error: --until {until} is over: name a later time, or take them off with: watchgate list remove"
        )
    value = {
        "until": None if until_ms is None else iso(until_ms),
        "by": by or getpass.getuser(),
        "reason": reason,
        "at": iso(now_ms),
    }
    given, before = _write(name, entities, file, lists, orjson.dumps(value), client_properties)
    print(f"{len(given):,} on list {name}" + (f" until {value['until']}" if until else ""))
    if name not in before:
        others = f" (there are {_records_of(before)})" if before else ""
        print(
            f"note: list {name} had no record yet{others}; a job whose policy has no list of that name refuses these, and its "
            "status topic says so: list_rejected",
            file=sys.stderr,
        )


@app.command(epilog="Example: `watchgate list remove vip u17 --lists kafka://127.0.0.1:9092/shop.lists`")
def remove(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    file: _File = None,
    client_properties: Properties = None,
) -> None:
    """Take entities off a list. One that stands in the policy's list file too stays until it is taken out there."""
    given, before = _write(name, entities, file, lists, None, client_properties)
    absent = [entity for entity in given if entity not in before.get(name, {})]
    more = ", ..." if len(absent) > 5 else ""
    print(
        f"{len(given) - len(absent):,} off list {name}"
        + (f"; by its records not on it: {', '.join(absent[:5])}{more}" if absent else "")
    )


@app.command(epilog="Example: `watchgate list show vip --lists kafka://127.0.0.1:9092/shop.lists`")
def show(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    client_properties: Properties = None,
) -> None:
    """Show who is on a list by the lists topic, until when, by whom and why. Exit 1 if no one that was asked for is."""
    _checked(name)
    with mendable():
        known = _members(lists, load_properties(client_properties))
    members = known.get(name, {})
    wanted = [entity for entity in (sorted(entities) if entities else sorted(members)) if entity in members]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("entity", "until", "by", "reason"):
        table.add_column(column, overflow="fold")
    for entity in wanted:
        member = members[entity]
        cells = (entity, "-" if member.until is None else iso(member.until), member.by, member.reason)
        table.add_row(*("".join(c if c.isprintable() else "\ufffd" for c in cell) for cell in cells))
    if wanted:
        Console(highlight=False, markup=False, soft_wrap=True).print(table)
    print(f"{len(wanted):,} on list {name}" + ("" if name in known else _unknown(name, known)))
    if entities and not wanted:
        raise typer.Exit(1)


def _unknown(name: str, known: Mapping[str, object]) -> str:
    """What is said beside of a list that the topic has no record of."""
    hint = did_you_mean(name, known)
    if hint:
        return f"; {hint}"
    others = f"; it has {_records_of(known)}" if known else ""
    return f", which the topic has no record of{others}"


def _records_of(known: Mapping[str, object]) -> str:
    """Some of the lists that the topic has records of."""
    return f"records of {', '.join(sorted(known)[:5])}"


def _members(lists: str, properties: ClientProperties | None) -> dict[str, dict[str, Member]]:
    """Who is on each list that the topic has a record of."""
    topic = follow_members(_place(lists), properties)
    try:
        records = topic.read_to_end()
    finally:
        topic.close()
    known: dict[str, dict[str, Member]] = {}
    for record in records:
        try:
            found = parse_member(record.key, record.value)
        except MemberError:
            continue  # a job says what is wrong with it
        members = known.setdefault(found.list, {})
        members.pop(found.entity, None)
        if found.member is not None:
            members[found.entity] = found.member
    return known


def _write(
    name: str,
    entities: list[str] | None,
    file: Path | None,
    lists: str,
    value: bytes | None,
    client_properties: Path | None,
) -> tuple[list[str], dict[str, dict[str, Member]]]:
    """The entities that a record was written for, and who was on which list before."""
    _checked(name)
    if file is not None and not file.is_file():
        raise CommandError(f"error: --file {file}: there is no such file. Make it, one entity a line")
    with mendable():
        given = [*(entities or ()), *(entity for (entity,) in (read_list(file, name, 1) if file else ()))]
        if not given:
            raise CommandError(f"error: who? Name entities, or a file of them with --file, for list {name}.")
        given = list(dict.fromkeys(given))
        try:
            keys = [member_key(name, entity) for entity in given]
        except MemberError as error:
            raise CommandError(f"error: {error}") from None
        properties = load_properties(client_properties)
        before = _members(lists, properties)
        write_members(_place(lists), ((key, value) for key in keys), properties)
    return given, before


def _checked(name: str) -> None:
    try:
        check_name(name)
    except BadValueError as error:
        raise CommandError(f"error: {error}" + (f"; {error.hint}" if error.hint else "")) from None


def _place(lists: str) -> KafkaPlace:
    if not is_kafka(lists):
        raise CommandError(
            f"error: {lists} is not a lists topic: write kafka://HOST:PORT/TOPIC. Without Kafka a list is a file: edit it, "
            "and a run takes it up when it starts."
        )
    return kafka_place(lists, "TOPIC")
